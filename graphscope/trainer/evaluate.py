"""A network and test batches -> loss, accuracy and per-class recall over all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphscope.trainer.data.batches import Batch
from graphscope.trainer.distributed import Ranks
from graphscope.trainer.tasks import Outcome, Task, by_class


class Totals:
    """Adds up what an evaluation saw; every figure is over inputs, so batches may differ in size."""

    def __init__(self, n_classes: int | None) -> None:
        self.images = 0
        self.seconds = 0.0
        """Wall time of the forwards and losses alone."""
        self._n_classes = n_classes
        self._loss = 0.0
        self._parts: dict[str, float] = {}
        self._counts: Tensor | None = None  # int64 [2, classes]: seen, right

    def add(self, outcome: Outcome, labels: Tensor, images: int) -> None:
        """One batch."""
        self.images += images
        self._loss += outcome.loss.item() * images
        for name, part in outcome.parts.items():
            self._parts[name] = self._parts.get(name, 0.0) + part.item() * images
        if outcome.correct is not None:
            counts = by_class(labels, outcome.correct, self._n_classes or int(labels.max()) + 1).cpu()
            self._counts = counts if self._counts is None else _added(self._counts, counts)

    def over(self, ranks: Ranks, device: torch.device) -> Totals:
        """Itself, with what all processes saw of their shares added up; all must call this, with the same classes."""
        if ranks.several:
            counts = self._counts.flatten().tolist() if self._counts is not None else []
            numbers = torch.tensor(
                [self.images, self._loss, *self._parts.values(), *counts], dtype=torch.float64, device=device
            )
            images, self._loss, *rest = ranks.summed(numbers).tolist()
            self.images = int(images)
            self._parts = dict(zip(self._parts, rest, strict=False))
            if self._counts is not None:
                self._counts = torch.tensor(rest[len(self._parts) :]).round().to(torch.int64).view_as(self._counts)
        return self

    @property
    def loss(self) -> float:
        """Mean over all inputs; NaN without any."""
        return self._loss / self.images if self.images else math.nan

    @property
    def parts(self) -> dict[str, float]:
        """The loss's terms by name, each the mean over all inputs."""
        return {name: part / self.images for name, part in self._parts.items()}

    @property
    def accuracy(self) -> float | None:
        """Share of inputs classified rightly; None where nothing was classified."""
        if self._counts is None:
            return None
        seen, right = self._counts.sum(dim=1).tolist()
        return right / seen if seen else None

    @property
    def recall(self) -> tuple[float | None, ...]:
        """Per class the share of its inputs classified as it; None for a class without any."""
        if self._counts is None:
            return ()
        seen, right = self._counts.tolist()
        return tuple(r / s if s else None for r, s in zip(right, seen, strict=True))


def evaluated(
    model: nn.Module,
    task: Task,
    batches: Iterable[Batch],
    n_classes: int | None,
    autocast: AbstractContextManager[object] | None = None,
) -> Totals:
    """All batches through ``model`` in eval mode, without gradients; it is left in the mode it was in."""
    totals = Totals(n_classes)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for x, y in batches:
                start = time.perf_counter()
                with autocast or nullcontext():
                    outcome = task.outcome(model, x, y)
                totals.add(outcome, y, len(x))  # waits for the device
                totals.seconds += time.perf_counter() - start
    finally:
        model.train(training)
    return totals


def _added(a: Tensor, b: Tensor) -> Tensor:
    """Sum of two tables of counts, of which one may know of more classes."""
    wide = max(a.shape[1], b.shape[1])
    return torch.add(F.pad(a, (0, wide - a.shape[1])), F.pad(b, (0, wide - b.shape[1])))
