"""Torch function calls of one forward -> OpNodes, through a TorchFunctionMode.

The mode patches nothing and is thread-local: another thread's ops are not seen. It records after the op ran, so what
an op does to its tensors (in-place writes, views) is read from the tensors and not guessed from the name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from graphscope.capture.guard import Guard
from graphscope.capture.op_names import OPAQUE, op_attrs, op_name
from graphscope.capture.source import user_line
from graphscope.capture.values import ValueTable, tensors_in
from graphscope.graph import ModuleCall, OpNode

SAME_TENSOR_IS_NO_OP = frozenset(
    {"to", "contiguous", "float", "double", "half", "bfloat16", "cuda", "cpu", "type", "type_as", "requires_grad"}
)
"""Conversions that return their input where there is nothing to convert: then nothing happened."""
ALIASING = frozenset({"detach", "set", "view_as", "expand_as"})
BOOKKEEPING_BUFFER = "num_batches_tracked"
"""BatchNorm's batch counter: adding one to it is no step of the computation, and the BatchNorm panel shows it."""


class OpRecorder(TorchFunctionMode):
    """Records every op that runs while it is entered; scopes are the module calls under way."""

    def __init__(self, values: ValueTable, guard: Guard) -> None:
        super().__init__()
        self.values = values
        self.guard = guard
        self.nodes: list[OpNode] = []
        self.calls: list[ModuleCall] = []
        self.stack: list[int] = []
        """Numbers of the module calls under way, innermost last."""
        self.self_seconds = 0.0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.guard.run(self._failed, func, args, kwargs)
            raise
        if isinstance(result, Tensor | tuple | list | dict) or getattr(func, "__name__", "") == "__setitem__":
            started = time.perf_counter()
            self.guard.run(self._record, func, args, kwargs, result)
            self.self_seconds += time.perf_counter() - started
        return result

    def _record(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        named = op_name(func)
        if named is None or not self.stack:
            return
        op, inplace = named
        read = tensors_in(args) + (tensors_in(kwargs) if kwargs else [])
        if op == "setitem":
            outputs = read[:1]
        else:
            outputs = tensors_in(result)
        if not outputs:
            return
        target = read[0] if read else None
        same = [t for t in outputs if any(t is r for r in read)]
        if same and not inplace:
            if op in SAME_TENSOR_IS_NO_OP:
                return
            # It wrote into its input (relu with inplace=True, out=) or left it alone (dropout in eval mode).
            inplace = bool(kwargs.get("inplace")) or "out" in kwargs or _asked_inplace(func, args)
        if inplace and target is not None and self.values.buffers.get(id(target), "").endswith(BOOKKEEPING_BUFFER):
            return
        inputs = tuple(self.values.read(t) for t in read)
        view = False
        made = []
        for output in outputs:
            if inplace and any(output is r for r in read):
                made += self.values.written(output)
            else:
                if output._is_view() or op in ALIASING:
                    view = self.values.share(output, read) or view
                made.append(self.values.make(output, "op"))
        grad_fn = outputs[0].grad_fn
        self._append(
            op, inputs, tuple(made), func, args, kwargs, type(grad_fn).__name__ if grad_fn else None, inplace, view
        )

    def _append(
        self, op: str, inputs: Any, outputs: Any, func: Callable[..., Any], args: tuple[Any, ...],
        kwargs: Mapping[str, Any], grad_fn: str | None, inplace: bool = False, view: bool = False, failed: bool = False,
    ) -> None:  # fmt: skip
        scope = self.calls[self.stack[-1]]
        params = dict.fromkeys(value.name for value in inputs if value.kind == "parameter")
        self.nodes.append(
            OpNode(
                id=len(self.nodes), op=op, scope=scope.id, fqn=scope.fqn, call=scope.call,
                inputs=inputs, outputs=outputs, params=tuple(params),
                attrs=op_attrs(func, op, args, kwargs), source=user_line(4),
                grad_fn=grad_fn, opaque=OPAQUE.get(op), inplace=inplace, view=view, failed=failed,
            )
        )  # fmt: skip

    def _failed(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The op that raised, with what it was given: the last node of a partial graph."""
        named = op_name(func)
        if named is None or not self.stack or (self.nodes and self.nodes[-1].failed):
            return
        inputs = tuple(self.values.read(t) for t in tensors_in(args) + tensors_in(dict(kwargs)))
        self._append(named[0], inputs, (), func, args, kwargs, None, named[1], failed=True)


def _asked_inplace(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether an ``inplace`` argument of a torch.nn.functional function was given by position."""
    code = getattr(func, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return "inplace" in names and names.index("inplace") < len(args) and args[names.index("inplace")] is True
