"""Were gradients of an earlier step still there when this step's backward began?

A gradient is stale if it is the very tensor that was there after the last optimizer step, unwritten since (same
version) and not all zero. ``zero_grad`` before the forward, after it or with ``set_to_none=False`` all clear it; in a
later backward of the same step (accumulation) it was written, and tells nothing.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

from graphscope.capture.modules import walk_modules
from graphscope.capture.summary import stays

MOST = 3
"""Parameters looked at: a loop clears all of them or none."""


Kept = tuple[weakref.ref[nn.Parameter], weakref.ref[Tensor], int]


def _kept(ref: weakref.ref[nn.Parameter]) -> Kept | None:
    """A parameter with its gradient and the version of that; None if it has no ordinary one."""
    parameter = ref()
    gradient = None if parameter is None else parameter.grad
    if gradient is None or gradient.layout != torch.strided:
        return None
    return ref, weakref.ref(gradient), gradient._version


class StaleGradients:
    """Remembers gradients at the end of a step and looks for them in the next."""

    def __init__(self) -> None:
        self._parameters: list[weakref.ref[nn.Parameter]] = []
        """The ones looked at, so that not every step walks over the modules."""
        self._kept: list[Kept] = []
        self._stale: bool | None = None

    def remember(self, root: nn.Module) -> None:
        """At the end of a step."""
        self._stale = None
        self._kept = [kept for ref in self._parameters if (kept := _kept(ref))]
        if len(self._kept) == MOST:
            return
        self._parameters, self._kept = [], []  # the first step, or other parameters have gradients now
        for _, module, _ in walk_modules(root):
            for parameter in module._parameters.values():
                if parameter is not None and (kept := _kept(ref := weakref.ref(parameter))):
                    self._parameters.append(ref)
                    self._kept.append(kept)
                    if len(self._kept) == MOST:
                        return

    def look(self) -> None:
        """At the beginning of each backward of a step.

        The last word counts: a GAN's generator sends its gradient through a discriminator whose own gradients are
        cleared afterwards, before the discriminator's step.
        """
        if self._kept:
            seen = [self._is_stale(*kept) for kept in self._kept]
            if any(seen) or False in seen:
                self._stale = any(seen)

    @staticmethod
    def _is_stale(parameter: weakref.ref[nn.Parameter], gradient: weakref.ref[Tensor], version: int) -> bool | None:
        """None where nothing can be told: written since, by an accumulation."""
        p, g = parameter(), gradient()
        if p is None or g is None or p.grad is not g or stays(g):
            return False
        if not torch.count_nonzero(g):
            return False
        return True if g._version == version else None

    def verdict(self) -> bool | None:
        """What was seen in this step; None if nothing was looked at."""
        return self._stale
