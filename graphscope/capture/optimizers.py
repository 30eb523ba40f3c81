"""Optimizers of a process -> whose steps are the session's, and which parameters of the model each one updates."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from torch import nn
from torch.optim.optimizer import Optimizer

from graphscope.capture.modules import trainable_parameters


class Optimizers:
    """What optimizers have to do with one root module; keeps neither alive."""

    def __init__(self, root: weakref.ref[nn.Module], given: Any) -> None:
        self._root = root
        self._primary = weakref.ref(_unwrapped(given)) if given is not None else None
        self._exists: bool | None = None

    def owned(self, optimizer: Optimizer) -> dict[str, nn.Parameter]:
        """Parameters of the model that an optimizer updates, by name."""
        root = self._root()
        if root is None:
            return {}
        mine = {id(p): name for name, p in trainable_parameters(root).items()}
        groups = optimizer.param_groups
        return {mine[id(p)]: p for group in groups for p in group["params"] if id(p) in mine}

    def is_primary(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer's steps are the session's: the one given, else the first that updates the model.

        Another one that updates the same parameters takes its place: people make a new optimizer for a second loop.
        One for other parameters (the second of a GAN) does not.
        """
        primary = self._primary() if self._primary is not None else None
        if primary is optimizer:
            return True
        owned = self.owned(optimizer)
        if not owned or (primary is not None and not owned.keys() & self.owned(primary).keys()):
            return False
        self._primary = weakref.ref(optimizer)
        return True

    def may_be_none(self) -> bool:
        """Whether none is known so far. Unlike ``any`` it looks at no object: that takes tenths of a second."""
        return self._primary is None and not self._exists

    def any(self) -> bool:
        """Whether some living optimizer updates the model, also one that has not stepped yet (accumulation)."""
        if self._primary is not None:
            return True
        if self._exists is None:
            found = (thing for thing in gc.get_objects() if issubclass(type(thing), Optimizer))
            self._exists = any(self.owned(optimizer) for optimizer in found)
        return self._exists


def _unwrapped(optimizer: Any) -> Optimizer:
    """The torch optimizer inside a wrapper such as Accelerate's."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return inner if isinstance(inner, Optimizer) else optimizer


def learning_rate(optimizer: Optimizer | None) -> dict[str, float]:
    """``lr`` of the first parameter group."""
    groups = optimizer.param_groups if optimizer is not None else []
    return {"lr": float(groups[0]["lr"])} if groups and "lr" in groups[0] else {}
