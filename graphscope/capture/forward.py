"""One captured forward of the root -> its Graph, its statistics and what its layers did.

Taps keep the path of the module that runs and statistics are taken when a call returns, before a later in-place op
overwrites the tensor. Everything comes off in ``__exit__``, which runs on every way out of the forward,
KeyboardInterrupt included.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode

from graphscope.capture.activations import Activations
from graphscope.capture.backward_walk import BackwardWalk, Maker, walked
from graphscope.capture.gradients import in_backward
from graphscope.capture.guard import Guard
from graphscope.capture.hidden import COMPILED, OtherThreads, type_name, why_hidden
from graphscope.capture.modules import ModuleTree, Walked
from graphscope.capture.op_gradients import Measured, OpGradientTap
from graphscope.capture.ops import OpRecorder
from graphscope.capture.origins import TRANSFORMED
from graphscope.capture.plan import Selection
from graphscope.capture.probes import Pending, probe_of
from graphscope.capture.recording import Recording, resting_collector
from graphscope.capture.rows import CallRow
from graphscope.capture.source import around_calls
from graphscope.capture.taps import Tap, Taps
from graphscope.capture.values import ValueTable, tensors_in
from graphscope.graph import Graph, OpNode, Value

DEEPER = 3
"""How much deeper the stack may get: torch and the model have three frames a module level, taps add up to five."""
_now = time.perf_counter
UNSEEN = "{} ran code that PyTorch does not show to Python (scripted, or another library)"


def error_text(error: BaseException) -> str:
    """Type and text of the user's exception in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def bound_arguments(root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a forward is given, by the names of its parameters; ``input0`` ... where they cannot be told."""
    forward = inspect.getattr_static(type(root), "forward", None)  # a scripted module's runs code when it is looked up
    if type(forward) is FunctionType and not kwargs and not forward.__dict__ and "forward" not in root.__dict__:
        code = forward.__code__  # as inspect would have it, at a hundredth of the time
        if len(args) < code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
            return dict(zip(code.co_varnames[1:], args, strict=False))
    try:
        return inspect.signature(root.forward).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # no signature, or a call that the forward itself will refuse
        return {**{f"input{i}": arg for i, arg in enumerate(args)}, **kwargs}


class _Opened:
    """A call under way."""

    __slots__ = ("call", "hidden", "module", "probe", "rows", "state", "tap")

    def __init__(
        self, tap: Tap, module: nn.Module | None, call: int, hidden: str, rows: int, probe: Any = None,
        state: Any = None,
    ) -> None:  # fmt: skip
        self.tap = tap
        self.module = module
        self.call = call
        self.hidden = hidden
        self.rows = rows
        self.probe = probe
        self.state = state


class ForwardCapture:
    """Watches one call of the root while it is entered, and its backward until ``finish``."""

    def __init__(
        self, root: nn.Module, tree: ModuleTree, step: int, selection: Selection, guard: Guard, busy: Any = None,
        walked: Iterable[Walked] | None = None,
    ) -> None:  # fmt: skip
        self.tree = tree
        self.step = step
        self.selection = selection
        self.guard = guard
        self.values = ValueTable(tree.parameters, tree.buffers)
        self.ops = self._recorder()
        measured = Measured()
        self.activations = Activations(selection, guard, measured)
        self.gradients = OpGradientTap(selection, guard, measured)
        if selection.op_gradients:
            self.ops.gradients = self.gradients
        self._structure_only = not (selection.activations or selection.gradients)
        self.walk: BackwardWalk | None = None
        """The autograd graph, once ``look_behind`` was called."""
        self.pending: list[Pending] = []
        self.inputs: list[Value] = []
        self.outputs: list[int] = []
        self.error: str | None = None
        self.error_fqn: str | None = None
        self.self_seconds = 0.0
        self._taps = Taps(root, self._around, walked)
        self._elsewhere = OtherThreads(busy)
        self.ops.origins.drain = lambda: self._elsewhere.drain(self.ops)
        self._raised: tuple[BaseException, str] | None = None
        self._call_counts: dict[str, int] = {}
        self._resting = resting_collector()
        self._depth = 0

    def _recorder(self) -> OpRecorder:
        return OpRecorder(self.values, self.guard)

    def __enter__(self) -> ForwardCapture:
        self._resting.__enter__()
        # Taps are more Python frames a module level; a model that just fits must fit while it is watched.
        self._depth = sys.getrecursionlimit()
        sys.setrecursionlimit(self._depth * DEEPER + 200)
        self.guard.run(self._taps.attach)
        self.ops.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if _get_current_function_mode() is self.ops:
            self.ops.__exit__(kind, error, trace)
        self.guard.undo(self._taps.end)
        if sys.getrecursionlimit() == self._depth * DEEPER + 200:
            sys.setrecursionlimit(self._depth)
        self._resting.__exit__(None, None, None)
        if error is not None:
            self.error = error_text(error)
            if self._raised is not None and self._raised[0] is error:
                self.error_fqn = self._raised[1]
        self._raised = None
        self.guard.run(self._end)

    def _end(self) -> None:
        self._elsewhere.drain(self.ops)
        self.ops.origins.leave_region()
        self.ops.stack.clear()

    def run(self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The root's own call, watched. To be called while entered."""
        assert self._taps.root is not None
        self._taps.root.earlier = None
        return self._taps.root.run(root, args, kwargs)

    def take_inputs(self, root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Names the tensors given to the root after its forward's arguments."""
        with torch._C.DisableTorchFunction():
            for name, thing in bound_arguments(root, args, kwargs).items():
                tensors = tensors_in(thing)
                for i, tensor in enumerate(tensors):
                    label = name if len(tensors) == 1 else f"{name}[{i}]"
                    self.inputs.append(self.values.value(self.values.make(tensor, "input", label)))

    # Calls of modules. What is raised here would take the place of the user's own, so all of ours is guarded.

    def _around(self, tap: Tap, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        if threading.get_ident() != self._elsewhere.home:
            return self._elsewhere.around(tap, module, call, args, kwargs)
        if in_backward():
            return call(*args, **kwargs)
        return self._watched(tap, module, call, args, kwargs)

    @around_calls
    def _watched(self, tap: Tap, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        started, opened = _now(), None
        if self.guard.failure is None:
            try:
                opened = self._enter_module(tap, module, args)
            except Exception as error:
                self.guard.caught(error)
        self.self_seconds += _now() - started
        try:
            if opened is None or not opened.hidden:
                output = call(*args, **kwargs)
            else:
                with self._aside():
                    output = call(*args, **kwargs)
        except BaseException as error:
            self._timed(self._leave_raising, opened, error)
            raise
        started = _now()
        if opened is not None and self.guard.failure is None:
            try:
                self._leave_module(opened, args, kwargs, output)
            except Exception as error:
                self.guard.caught(error)
        self.self_seconds += _now() - started
        return output

    def _timed(self, work: Callable[..., Any], *args: Any) -> Any:
        started = _now()
        result = self.guard.run(work, *args)
        self.self_seconds += _now() - started
        return result

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Nothing of ours is on: code that would see the mode or a tap takes another way (compiled, fused)."""
        self._taps.detach()
        ours = _get_current_function_mode() is self.ops
        if ours:
            self.ops.__exit__(None, None, None)
        try:
            yield
        finally:
            if ours:
                self.ops.__enter__()
            self._taps.attach()

    def _enter_module(self, tap: Tap, module: nn.Module | None, args: Any) -> _Opened:
        ops = self.ops
        if self._elsewhere.waiting:
            with torch._C.DisableTorchFunction():
                self._elsewhere.drain(ops)
        if module is None:  # a compiled function: no module call of its own
            return _Opened(tap, None, -1, COMPILED, 0)
        nth = self._call_counts[tap.fqn] = self._call_counts.get(tap.fqn, -1) + 1
        hidden = why_hidden(tap, module)
        opaque = TRANSFORMED if torch._C._are_functorch_transforms_active() else hidden
        number = len(ops.calls)
        ops.calls.append(CallRow(tap.fqn, nth, ops.stack[-1] if ops.stack else None, opaque))
        ops.stack.append(number)
        probe = probe_of(module) if self.selection.layers else None
        state = None
        if probe is not None:
            with torch._C.DisableTorchFunction():  # our own torch calls are not the user's ops
                state = probe.before(module, args)
        return _Opened(tap, module, number, hidden, len(ops.tape), probe, state)

    def _leave_raising(self, opened: _Opened | None, error: BaseException) -> None:
        if opened is not None and opened.module is not None:
            self._drop(opened.call)
            if self._raised is None or self._raised[0] is not error:
                self._raised = error, opened.tap.fqn

    def _drop(self, call: int) -> None:
        """A call is over, and those inside that ended without a word."""
        stack = self.ops.stack
        if stack[-1] == call:
            stack.pop()
        else:
            del stack[stack.index(call) :]

    def _leave_module(self, opened: _Opened, args: Any, kwargs: Any, output: Any) -> None:
        ops = self.ops
        if self._structure_only and type(output) is Tensor and opened.module is not None and ops.origins.open is None:
            entry = self.values.known.get(id(output))
            if entry is not None and entry[0]() is output:  # nothing to look at: what most calls come to in a trace
                call = ops.calls[opened.call]
                if call.opaque != TRANSFORMED and not self._elsewhere.waiting:
                    self._drop(opened.call)
                    call.outputs = (entry[1],)
                    if call.parent is None:
                        self.outputs = [entry[1]]
                    return
        with torch._C.DisableTorchFunction():  # our own torch calls are not the user's ops
            self._look_at_output(opened, args, kwargs, output)

    def _look_at_output(self, opened: _Opened, args: Any, kwargs: Any, output: Any) -> None:
        ops = self.ops
        self._elsewhere.drain(ops)
        tensors = tensors_in(output)
        if opened.module is None:
            ops.opaque_row(opened.tap.slot, ops.stack[-1], opened.hidden, tensors_in((args, kwargs)), tensors)
            return
        module, fqn = opened.module, opened.tap.fqn
        values = self._output_values(opened, args, kwargs, tensors)
        self._drop(opened.call)
        call = ops.calls[opened.call]
        call.outputs = values
        if call.parent is None:
            self.outputs = list(values)
        if not self._structure_only and self.selection.wants(fqn):
            for i, tensor in enumerate(tensors):
                self.activations.take(tensor, (fqn, call.call, i))
            if opened.probe is not None:
                pending = opened.probe.after(self.step, fqn, call.call, module, args, output, opened.state)
                if pending is not None:
                    self.pending.append(pending)

    def _output_values(self, opened: _Opened, args: Any, kwargs: Any, tensors: list[Tensor]) -> list[int]:
        """The values a module returned; what no recorded op made comes out of an opaque node, never of a gap."""
        ops, call = self.ops, opened.call
        ops.origins.leave_region()
        wrapped = ops.calls[call].opaque == TRANSFORMED
        tree = self.tree
        unknown = [
            t for t in tensors
            if self.values.get(t) is None and id(t) not in tree.parameters and id(t) not in tree.buffers
        ]  # fmt: skip
        if unknown and not wrapped and not ops.tape.ran_in(call, opened.rows):
            kind = type_name(opened.module)
            ops.opaque_row(kind, call, opened.hidden or UNSEEN.format(kind), tensors_in((args, kwargs)), unknown)
        return [] if wrapped else [self.values.read(t) for t in tensors]

    def look_behind(self, roots: Iterable[Tensor], losses: Mapping[int, Maker] | None = None) -> None:
        """Walks the autograd graph of the forward from some tensors: its outputs, or the loss and its ops' nodes.

        To be called before ``graph``.
        """
        ops = self.ops
        ops.origins.leave_region()
        made = {**ops.origins.made(), **ops.origins.first, **(losses or {})}
        self.walk = walked(roots, made, ops.origins.started, self._variable_name)

    def _variable_name(self, tensor: Tensor) -> str:
        name = self.tree.parameters.get(id(tensor))
        if name is None:
            value = self.values.get(tensor)
            name = "" if value is None else self.values.value(value).name
        return name

    def graph(self, loss_nodes: tuple[OpNode, ...] = ()) -> Graph:
        """What ran, as a Graph; with the ops between the output and the loss where backward showed them."""
        recording = Recording(self.ops.end(), self.ops.calls, self.values, self.tree.rows)
        recording.inputs, recording.outputs, recording.behind = tuple(self.inputs), tuple(self.outputs), loss_nodes
        recording.walk = self.walk
        return Graph.later(recording.parts, partial=self.error or "")

    def more_records(self, pass_index: int, graph_id: str) -> list[Any]:
        """Records of a kind of capture that looks at more than the graph and its statistics."""
        return []

    def take_seconds(self) -> float:
        """Time spent in our code on the training thread since the last call."""
        parts = (self, self.ops, self.activations, self.gradients)
        seconds = sum(part.self_seconds for part in parts)
        for part in parts:
            part.self_seconds = 0.0
        return seconds

    def finish(self) -> None:
        """Lets go of the backward: hooks that still hang on the user's tensors do nothing from now on."""
        self.activations.finish()
        self.gradients.finish()
