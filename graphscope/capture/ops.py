"""Torch function calls of one forward -> rows of ops, through a TorchFunctionMode.

The mode patches nothing and is thread-local: another thread's ops are not seen. It records after the op ran, so what
an op does to its tensors (in-place writes, views) is read from the tensors and not guessed from the name.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.overrides import TorchFunctionMode

from graphscope.capture.backward_walk import MOST_NODES
from graphscope.capture.guard import Guard
from graphscope.capture.op_gradients import OpGradientTap
from graphscope.capture.op_names import ALIASING, FRESH, NO_TENSOR, Named, named, op_attrs, written_arguments
from graphscope.capture.origins import Origins
from graphscope.capture.regions import function_frame, transform_frame, unwrapped
from graphscope.capture.rows import CallRow, OpRow
from graphscope.capture.source import USERS, VERDICTS, Lines, place_of, user_line
from graphscope.capture.tape import Tape
from graphscope.capture.values import PLAIN, ValueTable, tensors_in

SAME_TENSOR_IS_NO_OP = frozenset(
    {"to", "contiguous", "float", "double", "half", "bfloat16", "cuda", "cpu", "type", "type_as"}
)
"""Conversions that return their input where there is nothing to convert: then nothing happened."""
BOOKKEEPING_BUFFER = "num_batches_tracked"
"""BatchNorm's batch counter: adding one to it is no step of the computation, and the BatchNorm panel shows it."""
TENSORS = frozenset({Tensor, Parameter})
KEPT = PLAIN - {slice, bytes}
"""Types of arguments that hold no tensor and never change."""
HANDLER_DEPTH = 3
"""Frames that are ours for certain above a function which ``__torch_function__`` has called."""

_transforms = torch._C._are_functorch_transforms_active
_grad_enabled = torch.is_grad_enabled
_now = time.perf_counter
_frame = sys._getframe
_ref = weakref.ref
_verdicts = VERDICTS


class OpRecorder(TorchFunctionMode):
    """Records every op that runs while it is entered; scopes are the module calls under way."""

    def __init__(self, values: ValueTable, guard: Guard) -> None:
        super().__init__()
        self.values = values
        self.guard = guard
        self.tape = Tape()
        self.lines = Lines()
        self.calls: list[CallRow] = []
        self.stack: list[int] = []
        """Numbers of the module calls under way, innermost last."""
        self.origins = Origins(self)
        self.gradients: OpGradientTap | None = None
        self.self_seconds = 0.0
        values.origin = self.origins.value

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            result = func(*args, **kwargs) if kwargs else func(*args)
        except Exception:
            self.guard.run(self._failed, func, args, kwargs or {})
            raise
        if type(result) not in NO_TENSOR and self.guard.failure is None:
            started = _now()
            try:
                if types:
                    with torch._C.DisableTorchFunctionSubclass():  # our looking is no call of the user's subclass
                        self._record(func, args, kwargs, result)
                else:
                    self._record(func, args, kwargs, result)
            except Exception as error:
                self.guard.caught(error)
            self.self_seconds += _now() - started
        return result

    def _record(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, result: Any
    ) -> None:
        """One op onto the tape. What follows is for one new plain tensor made of plain arguments; the rest is rare."""
        known = named(func)
        stack = self.stack
        if known is None or not stack:
            return
        if known.inplace and args and self.values.buffers.get(id(args[0]), "").endswith(BOOKKEEPING_BUFFER):
            return
        if type(result) is not Tensor or known.inplace or _transforms() or not _grad_enabled() or self.origins.open:
            return self._record_any(known, func, args, kwargs or {}, result)
        values, inputs = self.values, self.tape.inputs
        tensors = values.known
        before = len(inputs)
        given: Any = None
        mixed = False
        for argument in args:
            kind = type(argument)
            if (kind is Tensor or kind is Parameter) and argument is not result:
                entry = tensors.get(id(argument))
                value = entry[1] if entry is not None and entry[0]() is argument else values.read(argument)
                inputs.append(value)
                mixed = mixed or given is not None
            elif kind in KEPT or (kind is tuple and _holds_no_tensor(argument)):
                given = args
            else:
                del inputs[before:]
                return self._record_any(known, func, args, kwargs or {}, result)
        if given is not None:
            given = args[len(inputs) - before :]
        if kwargs:
            plain = {}
            for name, argument in kwargs.items():
                kind = type(argument)
                if (kind is Tensor or kind is Parameter) and argument is not result:
                    inputs.append(values.read(argument))
                elif kind in KEPT:
                    plain[name] = argument
                else:
                    del inputs[before:]
                    return self._record_any(known, func, args, kwargs, result)
            given = [0, (), plain] if given is None else [len(args) - len(given), given, plain]
        if mixed:  # a tensor behind another argument: its place is not known any more afterwards
            given = op_attrs(known.arguments, args, kwargs or {})
        reads = len(inputs) - before
        number = values.count
        grad_fn = result.grad_fn if number < MOST_NODES else None
        values.count = number + 1
        try:
            shape: Any = result.shape
        except RuntimeError:  # nested tensors refuse to tell
            shape = ()
        shape = values.shapes.setdefault(shape, shape)
        values.rows += (
            "op", "", shape, result.dtype, result.device, grad_fn is not None or result.requires_grad,
        )  # fmt: skip
        tensors[id(result)] = _ref(result), number
        view = not known.fresh and (result._is_view() or known.aliases) and values.share((result,), tensors_in(args))
        frame = _frame(2)
        code: CodeType | None = frame.f_code
        offset = frame.f_lasti
        if _verdicts.get(id(code)) != USERS:
            code, offset = place_of(frame, stack, self.calls)
        tape = self.tape.flat
        if grad_fn is not None and self.gradients is not None:
            self.gradients.follow_one(grad_fn, number, self.calls[stack[-1]].fqn)
        if grad_fn is None:
            tape += (known, stack[-1], code, offset, given, None, 0, view, reads, number)
        else:
            tape += (
                known, stack[-1], code, offset, given, type(grad_fn), grad_fn._sequence_nr(), view, reads, number,
            )  # fmt: skip

    def _record_any(
        self, known: Named, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        op, inplace = known.op, known.inplace
        read: list[Tensor] = []
        for argument in args:
            if isinstance(argument, Tensor):
                read.append(argument)
            elif type(argument) not in PLAIN:
                read += tensors_in(argument)
        if kwargs:
            read += tensors_in(kwargs)
        if result is None:
            outputs = written_arguments(func, inplace, args, kwargs)
            inplace = True
        else:
            outputs = [result] if isinstance(result, Tensor) else tensors_in(result)
        if not outputs:
            return
        if (_transforms() or not _grad_enabled()) and self._inside_region(op, read, outputs):
            return
        if self.origins.open is not None:
            self.origins.leave_region()
        if not inplace and _shared(outputs, read):
            if op in SAME_TENSOR_IS_NO_OP:
                return
            # It wrote into its input (relu with inplace=True, out=) or left it alone (dropout in eval mode).
            inplace = bool(kwargs.get("inplace")) or "out" in kwargs or _asked_inplace(func, args)
        inputs = [self.values.read(t) for t in read]
        row = OpRow(op, self.stack[-1], inputs, self._line(_frame(3)))
        self._add_outputs(row, read, outputs, inplace)
        if kwargs or len(args) > len(read):
            row.attrs = op_attrs(known.arguments, args, kwargs)
        if known.opaque:
            row.opaque = known.opaque
        self.tape.add(row)

    def _line(self, frame: FrameType) -> tuple[str, int] | None:
        return self.lines(*place_of(frame, self.stack, self.calls))

    def _add_outputs(self, row: OpRow, read: list[Tensor], outputs: list[Tensor], inplace: bool) -> None:
        """Values of what an op made; the node of the first one's gradient is the op's."""
        values = self.values
        if inplace:
            row.inplace = True
        if row.op not in FRESH:
            views = [
                t for t in outputs if (t._is_view() or row.op in ALIASING) and not (inplace and _shared([t], read))
            ]
            row.view = bool(views) and values.share(views, read)
        for output in outputs:
            if inplace and _shared([output], read):
                row.outputs += values.written(output)
            else:
                row.outputs.append(values.make(output, "op"))
        if not inplace or _grad_enabled():  # a write that autograd does not see leaves the tensor its old node
            self.link(row, outputs, row.outputs, inplace)

    def link(self, row: OpRow, outputs: list[Tensor], values: list[int], inplace: bool = False) -> None:
        """The backward node of what an op made; the node of its first output is the op's."""
        if self.values.count > MOST_NODES:
            return
        first, whole = outputs[0], True
        if inplace and first._is_view() and first._base is not None:
            # Asked for its grad_fn, a view that was written into makes a node that nothing may ever use: the write is
            # a node (CopySlices) of the tensor that it is a view of.
            base = first._base
            known = self.values.get(base)
            whole = known is not None or base.numel() == first.numel()  # the same numbers in another shape
            outputs, values, first = [base], [values[0] if known is None else known], base
        grad_fn = first.grad_fn
        if grad_fn is not None:
            row.grad_fn = type(grad_fn).__name__
            made = self.origins.made()
            for tensor, value in zip(outputs, values, strict=False):
                node = tensor.grad_fn
                if node is not None and (node is not grad_fn or tensor is first):
                    sequence = node._sequence_nr()
                    if sequence in made:
                        self.origins.first.setdefault(sequence, made[sequence])
                    made[sequence] = type(node).__name__, value
        if self.gradients is not None:
            self.gradients.follow(outputs, values, self.calls[row.scope].fqn, whole)

    def opaque_row(self, op: str, scope: int, why: str, read: list[Tensor], outputs: list[Tensor]) -> OpRow:
        """A node for code whose ops PyTorch does not show: what went in and what came out."""
        inputs = [self.values.read(t) for t in read]
        row = OpRow(op, scope, inputs, user_line(HANDLER_DEPTH))
        row.opaque = why
        self.tape.add(row)
        if outputs:
            self._add_outputs(row, read, outputs, _shared(outputs, read))
        return row

    def _inside_region(self, op: str, read: list[Tensor], outputs: list[Tensor]) -> bool:
        """Whether the op is part of an opaque node (see regions.py), to which it was added."""
        if torch._C._are_functorch_transforms_active():
            found = transform_frame(HANDLER_DEPTH)
            if found is None:
                return False
            region = self.origins.region(*found, list(map(unwrapped, read)))
            for tensor in map(unwrapped, read):
                self.origins.reads(region, tensor)
        else:
            frame = function_frame(HANDLER_DEPTH)
            if frame is None:
                return False
            cls = frame.f_locals["cls"]
            region = self.origins.region(frame, cls.__name__, tensors_in(frame.f_locals["args"]))
            for output in outputs:
                if _shared([output], read):
                    region.row.inplace = True
                    written = self.values.written(output)
                    region.row.outputs += written
                    region.made.append((weakref.ref(output), written[0]))
                else:
                    if output._is_view():
                        self.values.share((output,), read)
                    value = self.values.make(output, "op")
                    region.row.outputs.append(value)
                    region.made.append((weakref.ref(output), value))
        region.note(op)
        return True

    def _failed(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The op that raised, with what it was given: the last node of a partial graph."""
        known = named(func)
        last = self.tape.last()
        if known is None or not self.stack or (last is not None and last.failed):
            return
        read = [self.values.read(t) for t in tensors_in(args) + tensors_in(dict(kwargs))]
        row = OpRow(known.op, self.stack[-1], read, self._line(_frame(HANDLER_DEPTH)))
        row.attrs = op_attrs(known.arguments, args, kwargs)
        row.inplace, row.failed = known.inplace, True
        self.tape.add(row)

    def end(self) -> Tape:
        """What was recorded, when nothing is any more; circles are ended, so that it goes without a collection."""
        self.origins.leave_region()
        self.origins.prune()
        self.values.end()
        self.gradients = None
        self.origins.drain = _nothing
        del self.origins
        return self.tape


def _nothing() -> None:
    return None


def _shared(outputs: list[Tensor], read: list[Tensor]) -> bool:
    """Whether one of the outputs is one of the tensors read, the very object."""
    for output in outputs:
        for tensor in read:
            if output is tensor:
                return True
    return False


def _holds_no_tensor(items: tuple[Any, ...]) -> bool:
    """Whether a tuple holds plain things alone, so that it never changes."""
    return all([type(item) in KEPT for item in items])


def _asked_inplace(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether an ``inplace`` argument of a torch.nn.functional function was given by position."""
    code = getattr(func, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return "inplace" in names and names.index("inplace") < len(args) and args[names.index("inplace")] is True
