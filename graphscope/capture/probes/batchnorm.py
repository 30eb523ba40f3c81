"""BatchNorm calls -> BatchNormStats: the batch's own mean and variance beside the running ones that eval() uses.

The batch statistics are computed from the layer's input, not read from autograd: in eval mode the layer computes none,
and it is then that the difference matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphscope.capture import native
from graphscope.capture.arrival import Deferred
from graphscope.capture.summary import stays, why_not
from graphscope.schema import BatchNormStats

LAYERS = (nn.modules.batchnorm._BatchNorm,)


def before(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Nothing: BatchNorm does not write into its input."""


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance per channel and the values per channel, as the batch is normalised with them.

    Shapes: x [N, C, ...] -> mean [C], var [C], in float64 (float32 where a device lacks it).
    Source: torch.nn.BatchNorm2d: the biased variance normalises, the unbiased one updates running_var.
    """
    x = x.detach()
    count = x.numel() // max(1, x.shape[1])
    if not why_not(x) and (moments := native.channel_moments(x)) is not None:
        return *moments, count
    if x.dim() > 2 and x.dtype == torch.float32 and not stays(x):  # on a GPU the comparison would wait
        mean, variance = _from_norms(x.reshape(x.shape[0], x.shape[1], -1))
        if bool((variance > 1e-3 * mean.square()).all()):
            return mean, variance, count
    # Where the mean dwarfs the spread the difference above is rounding; var_mean is 20 times slower and exact.
    wide = x if x.device.type == "mps" else x.double()
    variance, mean = torch.var_mean(wide, dim=[d for d in range(x.dim()) if d != 1], correction=0)
    return mean, variance, count


def _from_norms(rows: Tensor) -> tuple[Tensor, Tensor]:
    """[N, C, L] -> mean [C] and variance [C] out of sums and norms of the rows, added up in float64."""
    n = rows.shape[0] * rows.shape[2]
    mean = rows.sum(dim=2).double().sum(dim=0) / n
    squares = torch.linalg.vector_norm(rows, dim=2).double().square().sum(dim=0) / n
    return mean, squares - mean.square()


def after(
    step: int, fqn: str, call: int, module: Any, args: tuple[Any, ...], output: Any, state: None
) -> Deferred | None:
    """One call of the layer -> its statistics; None for an input that has no values."""
    x = args[0] if args else None
    if not isinstance(x, Tensor) or x.dim() < 2 or not x.numel() or x.device.type == "meta":
        return None
    mean, variance, count = channel_moments(x)
    names = ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
    kept = {name: value for name in names if (value := _copy(getattr(module, name))) is not None}
    training = module.training or module.running_mean is None
    momentum, eps = module.momentum, module.eps

    def make(arrays: Sequence[np.ndarray]) -> list[BatchNormStats]:
        columns: dict[str, Any] = {**dict.fromkeys(names), **dict(zip(kept, arrays[2:], strict=True))}
        tracked = columns.pop("num_batches_tracked")
        return [BatchNormStats(
            step=step, fqn=fqn, call=call, training=training, momentum=momentum, eps=eps, count=count,
            batches_tracked=None if tracked is None else int(tracked[0]),
            batch_mean=arrays[0], batch_var=arrays[1], **columns,
        )]  # fmt: skip

    return Deferred([mean, variance, *kept.values()], make)


def _copy(value: Tensor | None) -> Tensor | None:
    """The value as it is now: the optimizer changes weight and bias before the step ends."""
    return None if value is None else value.detach().clone()
