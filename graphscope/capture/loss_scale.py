"""The number on which backward was called -> the loss before a GradScaler multiplied it by its scale.

``scaler.scale(loss).backward()`` makes backward begin at the product. The scale doubles every 2,000 steps and halves
where gradients overflow, so the product is no loss: it jumps where nothing happened. Who steps through a scaler is told
by the frames under the optimizer's step; until ``scaler.update()`` the scale is the one that the loss was given. So a
weight of the user's own stays in the loss, also where a scaler of an earlier loop is still alive.
Source: torch.amp.GradScaler: ``outputs * self._scale``, float32 without dimensions; ``step`` calls the optimizer's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType

from torch import Tensor
from torch.amp.grad_scaler import GradScaler

NEAR = 24
"""Frames looked at: ours, torch's wrappers of ``step``, those of a library that wraps the optimizer."""
CALLERS = ("_maybe_opt_step", "step")


def are_products(roots: Iterable[Tensor]) -> bool:
    """Whether all numbers on which backward was called are products with something that needs no gradient."""
    numbers = [root.grad_fn for root in roots if root.numel() == 1]
    return bool(numbers) and all(
        type(made_by).__name__ == "MulBackward0" and made_by.next_functions[1][0] is None
        for made_by in numbers
        if made_by is not None
    )  # fmt: skip


def scale_of_step() -> Tensor | None:
    """The scale of the GradScaler that calls the optimizer's step now under way; None where none does."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(NEAR):
        if frame is None:
            return None
        if frame.f_code.co_name in CALLERS:
            caller = frame.f_locals.get("self")
            if isinstance(caller, GradScaler):
                scale = getattr(caller, "_scale", None)
                return scale if isinstance(scale, Tensor) else None
        frame = frame.f_back
    return None
