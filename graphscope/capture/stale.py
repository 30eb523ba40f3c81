"""Were gradients of an earlier step still there when this step's backward began?

A gradient is stale if it is the very tensor that was there after the last optimizer step, unwritten since (same
version) and not all zero. ``zero_grad`` before the forward, after it or with ``set_to_none=False`` all clear it; a
second backward of the same step (accumulation) is not looked at.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

from graphscope.capture.modules import walk_modules

MOST = 3
"""Parameters looked at: a loop clears all of them or none."""


class StaleGradients:
    """Remembers gradients at the end of a step and looks for them in the next."""

    def __init__(self) -> None:
        self._kept: list[tuple[weakref.ref[nn.Parameter], weakref.ref[Tensor], int]] = []
        self._stale: bool | None = None

    def remember(self, root: nn.Module) -> None:
        """At the end of a step."""
        self._stale = None
        self._kept = []
        for _, module, _ in walk_modules(root):
            for parameter in module._parameters.values():
                gradient = None if parameter is None else parameter.grad
                if parameter is not None and gradient is not None and gradient.layout == torch.strided:
                    self._kept.append((weakref.ref(parameter), weakref.ref(gradient), gradient._version))
                    if len(self._kept) == MOST:
                        return

    def look(self) -> None:
        """At the beginning of a step's first backward."""
        if self._stale is None and self._kept:
            self._stale = any(self._is_stale(*kept) for kept in self._kept)

    @staticmethod
    def _is_stale(parameter: weakref.ref[nn.Parameter], gradient: weakref.ref[Tensor], version: int) -> bool:
        p, g = parameter(), gradient()
        if p is None or g is None or p.grad is not g or g._version != version:
            return False
        return g.device.type == "cpu" and bool(torch.count_nonzero(g))

    def verdict(self) -> bool | None:
        """What was seen in this step; None if nothing was looked at."""
        return self._stale
