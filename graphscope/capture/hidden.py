"""Module calls whose inside is not recorded: compiled code, fused inference paths, other threads -> why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graphscope.capture.rows import CallRow
from graphscope.capture.taps import Tap
from graphscope.capture.values import tensors_in

if TYPE_CHECKING:
    from graphscope.capture.ops import OpRecorder

COMPILED = "compiled by torch.compile: its inside runs as one piece of generated code"
FUSED = "may take torch's fused inference path in eval mode, which looking inside would switch off"
OTHER_THREAD = "ran in another thread, where this recording does not see ops"
FUSES = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def why_hidden(tap: Tap, module: nn.Module) -> str:
    """Why a call is not looked into; empty if it is."""
    if tap.compiled:
        return COMPILED
    if not isinstance(module, FUSES) or module.training:
        return ""
    # The conditions of torch that can be read from outside; inputs decide the rest.
    learns = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
    return "" if learns else FUSED


def type_name(module: Any) -> str:
    """Class of a module, also of one that was compiled, scripted or traced."""
    try:
        inner = getattr(module, "_orig_mod", module)
        return str(getattr(inner, "original_name", "")) or type(inner).__name__
    except Exception:  # a user's own __getattr__, which may raise anything
        return type(module).__name__


class OtherThreads:
    """Calls that the forward made in threads of its own, until its own thread goes on."""

    def __init__(self, busy: Any = None) -> None:
        self.home = threading.get_ident()
        self._busy = busy
        """Thread-local of the watch: its ``value`` is true in a thread that runs another forward of the model."""
        self._under_way: set[int] = set()
        self._done: list[tuple[Tap, nn.Module, tuple[Any, ...], Any, Any]] = []

    @property
    def waiting(self) -> bool:
        """Whether there is something to drain."""
        return bool(self._done)

    def around(self, tap: Tap, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        """One call in another thread; of nested ones the outermost is kept."""
        me = threading.get_ident()
        if me in self._under_way or module is None or getattr(self._busy, "value", False):
            return call(*args, **kwargs)
        self._under_way.add(me)
        try:
            output = call(*args, **kwargs)
        finally:
            self._under_way.discard(me)
        self._done.append((tap, module, args, kwargs, output))
        return output

    def drain(self, ops: OpRecorder) -> None:
        """Draws what other threads did, by module path: their order in time is not the same twice."""
        if not self._done or not ops.stack:
            return
        done, self._done = self._done, []
        for tap, module, args, kwargs, output in sorted(done, key=lambda call: call[0].fqn):
            number = len(ops.calls)
            nth = sum(call.fqn == tap.fqn for call in ops.calls)
            ops.calls.append(CallRow(tap.fqn, nth, ops.stack[-1], OTHER_THREAD))
            row = ops.opaque_row(
                type_name(module), number, OTHER_THREAD, tensors_in((args, kwargs)), tensors_in(output)
            )
            ops.calls[number].outputs = row.outputs
