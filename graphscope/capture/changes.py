"""Parameters around an optimizer step -> rows of their updates, and the cosine of each gradient with the last one.

Updates are taken from what a parameter held before and after the step: of more than 65,536 numbers a sample of as many
is compared, and the row is marked as an estimate. Of each captured gradient at most 4,096 numbers at fixed positions
are kept until the next capture, so that no gradient outlives its step; the cosine of a larger one is an estimate, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from graphscope.capture import native
from graphscope.capture.device_rows import fields_of
from graphscope.capture.histogram import SAMPLE_RUNS, sample_index
from graphscope.capture.native import SAMPLE_RUN
from graphscope.capture.summary import Row, dense, on_cpu, stays, why_not
from graphscope.capture.values import dtype_of, shape_of
from graphscope.schema import COSINE_ESTIMATE, ESTIMATE

KEPT = 4_096
"""Most numbers that are kept of one gradient."""
MOST_KEPT = 1 << 22
"""Most numbers kept of all gradients (16 MiB); with very many parameters, fewer of each are."""


def sample(flat: Tensor, runs: int = SAMPLE_RUNS) -> Tensor:
    """A copy of a flat tensor, or of ``runs`` runs of 64 of its numbers at golden-ratio offsets."""
    n = flat.numel()
    return flat.clone() if n <= runs * SAMPLE_RUN else flat[sample_index(n, flat.device, runs)]


class Updates:
    """What one optimizer step changes of each parameter."""

    def __init__(self) -> None:
        self._bases: dict[str, Tensor] = {}

    def before(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Copies (of a sample) of the parameters as they are; of those that can be compared."""
        read: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            if why_not(parameter) or not parameter.numel():
                continue
            x = dense(parameter)
            if native.reads(x):
                read[name] = x
            else:
                with torch.no_grad():
                    self._bases[name] = sample(x.detach().reshape(-1))
        self._bases.update(zip(read, native.samples(list(read.values()), SAMPLE_RUNS) if read else (), strict=True))

    def after(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, Row]:
        """Rows of what changed since ``before``; nothing is kept."""
        bases, self._bases = self._bases, {}
        rows: dict[str, Row] = {}
        read: dict[str, Tensor] = {}
        for name, base in bases.items():
            parameter = parameters.get(name)
            if parameter is None or parameter.dtype != base.dtype or parameter.numel() < base.numel():
                continue  # replaced meanwhile
            x = dense(parameter)
            row = rows[name] = Row(shape_of(parameter), dtype_of(parameter), parameter.numel(), base.numel())
            row.flags |= ESTIMATE if row.read != row.count else 0
            if native.reads(x):
                read[name] = x
            else:
                row.values = _difference(sample(x.detach().reshape(-1)), base)
        if read:
            values = native.changes(list(read.values()), [bases[name] for name in read], SAMPLE_RUNS)
            for i, name in enumerate(read):
                rows[name].values = values[i]
        return rows


def _difference(now: Tensor, before: Tensor) -> tuple[float, ...] | Tensor:
    with torch.no_grad():
        change = now - before if now.dtype == torch.float64 else now.float() - before.float()
        return fields_of(change) if stays(change) else on_cpu(change)


class Directions:
    """Gradients of parameters from one capture to the next; one for a whole watch."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tensor, tuple[int, ...]]] = {}

    def forget(self, names: Iterable[str]) -> None:
        """What is kept of these is no whole step's gradient."""
        for name in names:
            self._kept.pop(name, None)

    def cosines(self, gradients: Mapping[str, Tensor], rows: Mapping[str, Row]) -> None:
        """Sets ``cosine`` of the gradients' rows: of each that was captured before, in -1 to 1; NaN is unknown."""
        runs = max(1, min(KEPT, MOST_KEPT // max(1, len(gradients))) // SAMPLE_RUN)
        read: dict[str, Tensor] = {}
        fresh: set[str] = set()
        for name, gradient in gradients.items():
            if why_not(gradient) or not gradient.numel():
                self._kept.pop(name, None)
                continue
            x = dense(gradient)
            numbers = min(x.numel(), runs * SAMPLE_RUN)
            kept = self._kept.get(name)
            if kept is None or kept[0].numel() != numbers or kept[1] != gradient.stride():
                fresh.add(name)
            if native.reads(x):
                read[name] = x
                if name in fresh:
                    self._kept[name] = torch.zeros(numbers), gradient.stride()
            else:
                with torch.no_grad():
                    now = sample(x.detach().reshape(-1), runs).float()
                if name not in fresh and kept is not None and kept[0].device == now.device:
                    rows[name].cosine = _cosine(now, kept[0])
                self._kept[name] = now, gradient.stride()
            if gradient.numel() != numbers:
                rows[name].flags |= COSINE_ESTIMATE
        if read:
            found = native.cosines(list(read.values()), [self._kept[name][0] for name in read], runs)
            for name, cosine in zip(read, found.tolist(), strict=True):
                rows[name].cosine = math.nan if name in fresh else cosine


def _cosine(now: Tensor, before: Tensor) -> Tensor:
    """[] on their device, unsynchronised; NaN where one is zero or not finite."""
    wide = torch.float32 if now.device.type == "mps" else torch.float64
    a, b = now.to(wide), before.to(wide)
    cosine = torch.dot(a, b) / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return cosine.clamp(-1, 1)
