"""BatchNorm calls -> BatchNormStats: the batch's own mean and variance beside the running ones that eval() uses.

The batch statistics are computed from the layer's input, not read from autograd: in eval mode the layer computes none,
and it is then that the difference matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphscope.capture import native
from graphscope.capture.summary import why_not
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
    if x.dim() > 2 and x.dtype == torch.float32:
        mean, variance = _from_norms(x.reshape(x.shape[0], x.shape[1], -1))
        if x.device.type == "cpu" and bool((variance > 1e-3 * mean.square()).all()):
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
) -> Callable[[], BatchNormStats] | None:
    """One call of the layer -> its statistics, read when the step ends; None for an input that has no values."""
    x = args[0] if args else None
    if not isinstance(x, Tensor) or x.dim() < 2 or not x.numel() or x.device.type == "meta":
        return None
    mean, variance, count = channel_moments(x)
    kept = {name: _copy(getattr(module, name)) for name in ("running_mean", "running_var", "weight", "bias")}
    tracked = _copy(module.num_batches_tracked)
    training = module.training or module.running_mean is None
    momentum, eps = module.momentum, module.eps

    def read() -> BatchNormStats:
        columns = {name: None if value is None else _numbers(value) for name, value in kept.items()}
        return BatchNormStats(
            step=step, fqn=fqn, call=call, training=training, momentum=momentum, eps=eps, count=count,
            batches_tracked=None if tracked is None else int(tracked),
            batch_mean=_numbers(mean), batch_var=_numbers(variance), **columns,
        )  # fmt: skip

    return read


def _numbers(value: Tensor) -> np.ndarray:
    """A copy: an array that shared the tensor's memory would keep the tensor for as long as the record."""
    return value.cpu().double().numpy().copy()


def _copy(value: Tensor | None) -> Tensor | None:
    """The value as it is now: the optimizer changes weight and bias before the step ends."""
    return None if value is None else value.detach().clone()
