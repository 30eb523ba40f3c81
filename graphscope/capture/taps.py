"""Module calls under way -> one function around each, for one forward; nothing hangs on the model when it ends.

A tap is the ``_compiled_call_impl`` of a module: an instance attribute that ``nn.Module.__call__`` looks at first and
that ``__getstate__`` drops, so copies and pickles made meanwhile are untapped. Unlike module hooks it sees keyword
arguments, is left on every exception, and makes neither Dynamo nor the fused inference paths take another way. Setting
and deleting one costs a tenth of a microsecond; hooking each module each time costs 1.6x on a tiny GPT.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from graphscope.capture.compiled import compiled_functions, is_compiled
from graphscope.capture.modules import Walked, walk_modules

SLOT = "_compiled_call_impl"
Around = Callable[["Tap", Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""around(tap, module, call, args, kwargs) -> what ``call(*args, **kwargs)`` returns."""


class Tap:
    """Takes the place of one module's call, or of one compiled function that a module holds."""

    __slots__ = ("around", "compiled", "earlier", "fqn", "owner", "slot")

    def __init__(self, around: Around, fqn: str, owner: nn.Module, slot: str, compiled: bool) -> None:
        self.around: Around | None = around
        self.fqn = fqn
        self.owner = owner
        self.slot = slot
        self.compiled = compiled
        self.earlier: Any = owner.__dict__.get(slot)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What ``nn.Module.__call__`` runs instead of ``_call_impl``."""
        # The caller's self, not ours: DataParallel copies a module's attributes, this one too, into its replicas.
        module: Any = sys._getframe(1).f_locals.get("self", self.owner)
        around = self.around
        if around is None or module is not self.owner or self.earlier is not None or torch.compiler.is_compiling():
            return self.run(module, args, kwargs)
        return around(self, module, module._call_impl, args, kwargs)

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of a module, on behalf of whoever was called."""
        call = self._inner(module)
        if self.around is None or module is not self.owner or torch.compiler.is_compiling():
            return call(*args, **kwargs)
        return self.around(self, module, call, args, kwargs)

    def _inner(self, module: Any) -> Callable[..., Any]:
        watcher: Any = getattr(self.earlier, "__self__", None)
        if watcher is not None and hasattr(watcher, "run"):  # a watch of this very module, or another forward's tap
            return lambda *args, **kwargs: watcher.run(module, args, kwargs)
        return module._call_impl if self.earlier is None else self.earlier

    def function(self, *args: Any, **kwargs: Any) -> Any:
        """What stands in for a compiled function."""
        if self.around is None:
            return self.earlier(*args, **kwargs)
        return self.around(self, None, self.earlier, args, kwargs)


class Taps:
    """All taps of one forward."""

    def __init__(self, root: nn.Module, around: Around, walked: Iterable[Walked] | None = None) -> None:
        self._taps: list[Tap] = []
        self.root: Tap | None = None
        inside: set[str] = set()
        for fqn, module, parent in walk_modules(root) if walked is None else walked:
            if parent in inside:  # what is compiled is not looked into
                inside.add(fqn)
                continue
            compiled = is_compiled(module)
            if compiled:
                inside.add(fqn)
            self._taps += [Tap(around, fqn, module, name, True) for name, _ in compiled_functions(module)]
            tap = Tap(around, fqn, module, SLOT, compiled)
            if parent is None:
                self.root = tap  # the root's own slot is the watch's; the capture is inside its call
            else:
                self._taps.append(tap)

    def attach(self) -> None:
        """Sets every tap, in front of what is there: another watch, or the fingerprint's tap."""
        for tap in self._taps:
            attributes = tap.owner.__dict__
            tap.earlier = attributes.get(tap.slot)
            attributes[tap.slot] = tap.call if tap.slot is SLOT else tap.function

    def detach(self) -> None:
        """Takes every tap off, and leaves what is not a tap of this forward."""
        for tap in reversed(self._taps):
            attributes = tap.owner.__dict__
            if getattr(attributes.get(tap.slot), "__self__", None) is tap:
                if tap.earlier is None:
                    del attributes[tap.slot]
                else:
                    attributes[tap.slot] = tap.earlier

    def end(self) -> None:
        """A tap that somebody copied passes calls on from now on and holds nothing."""
        self.detach()
        for tap in self._taps:
            tap.around = None
        if self.root is not None:
            self.root.around = None
