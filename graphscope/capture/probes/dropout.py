"""Dropout calls -> DropoutStats: the share of units a Dropout layer really dropped.

Counted from non-zero values before and after, not read from ``layer.p``: a layer left in eval mode keeps its ``p`` and
drops nothing, and that is the bug users look for. Counting before and after also serves ``inplace=True``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphscope.capture.arrival import Deferred
from graphscope.capture.values import tensors_in
from graphscope.schema import DropoutStats

LAYERS = (nn.modules.dropout._DropoutNd,)
_CHANNELWISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
_SETS_TO_OTHER_THAN_ZERO = (nn.AlphaDropout, nn.FeatureAlphaDropout)


def before(module: nn.Module, args: tuple[Any, ...]) -> Tensor | None:
    """Number of non-zero inputs, on their device."""
    x = args[0] if args else None
    if not isinstance(x, Tensor) or isinstance(module, _SETS_TO_OTHER_THAN_ZERO) or x.device.type == "meta":
        return None
    return torch.count_nonzero(x.detach())


def after(
    step: int, fqn: str, call: int, module: Any, args: tuple[Any, ...], output: Any, state: Tensor | None
) -> Deferred | None:
    """One call of the layer -> its statistics; None for a layer whose dropped units are not zero."""
    outputs = tensors_in(output)
    if state is None or not outputs:
        return None
    y = outputs[0]
    left = torch.count_nonzero(y.detach())
    shape, count = tuple(y.shape), y.numel()
    p, training = float(module.p), bool(module.training)
    # torch reads [N, C, ...] (and unbatched [C, L]); on a 2-D input Dropout2d drops single values.
    whole_channels = isinstance(module, _CHANNELWISE) and len(shape) > 2
    units = shape[0] * shape[1] if whole_channels else count

    def make(arrays: Sequence[np.ndarray]) -> list[DropoutStats]:
        nonzero, kept = int(arrays[0][0]), int(arrays[1][0])
        return [DropoutStats(
            step=step, fqn=fqn, call=call, p=p, training=training, nonzero=nonzero, count=count, units=units,
            dropped=(nonzero - kept) / nonzero if nonzero else None, drops="channels" if whole_channels else "values",
        )]  # fmt: skip

    return Deferred([state, left], make)
