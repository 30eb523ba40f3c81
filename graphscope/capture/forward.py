"""One captured forward of the root -> its Graph, its statistics and what its layers did.

Global module hooks (not one per module: installing those each time costs 1.6x on a tiny GPT) keep the path of the
module that runs and take statistics inside the hook, before a later in-place op overwrites the tensor. Everything
comes off in ``__exit__``, which runs on every way out of the forward, KeyboardInterrupt included; module hooks with
``always_call`` do not.
"""

from __future__ import annotations

import inspect
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from graphscope.capture.gradients import GradientHook, hook_gradient, in_backward
from graphscope.capture.guard import Guard
from graphscope.capture.modules import ModuleTree
from graphscope.capture.ops import OpRecorder
from graphscope.capture.plan import Selection
from graphscope.capture.probes import Pending, probe_of
from graphscope.capture.summary import Row, measure
from graphscope.capture.values import ValueTable, tensors_in
from graphscope.graph import Graph, ModuleCall, OpNode, Value

Address = tuple[str, int, int]
Key = tuple[Address, str]
"""What a row of statistics belongs to: address and role."""


def error_text(error: BaseException) -> str:
    """Type and text of the user's exception in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


@dataclass(slots=True)
class _Seen:
    """A tensor whose statistics were taken: a container returns the same one as its last child."""

    tensor: weakref.ref[Tensor]
    version: int
    row: Row | None
    addresses: list[Address]


class ForwardCapture:
    """Watches one call of the root while it is entered, and its backward until ``finish``."""

    def __init__(self, root: nn.Module, tree: ModuleTree, step: int, selection: Selection, guard: Guard) -> None:
        self.tree = tree
        self.step = step
        self.selection = selection
        self.guard = guard
        self.values = ValueTable(tree.parameters, tree.buffers)
        self.ops = OpRecorder(self.values, guard)
        self.rows: dict[Key, Row] = {}
        self.pending: list[Pending] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.error: str | None = None
        self.error_fqn: str | None = None
        self.self_seconds = 0.0
        self._root = id(root)
        self._thread = threading.get_ident()
        self._call_counts: dict[str, int] = {}
        self._probe_states: dict[int, Any] = {}
        self._seen: dict[int, _Seen] = {}
        self._hooks: list[GradientHook] = []
        self._handles: list[Any] = []

    def __enter__(self) -> ForwardCapture:
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        self.ops.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self.ops.__exit__(kind, error, trace)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if error is not None:
            self.error = error_text(error)
            if self.ops.stack and self.error_fqn is None:
                self.error_fqn = self.ops.calls[self.ops.stack[-1]].fqn
        self.ops.stack.clear()
        self._probe_states.clear()

    def take_inputs(self, root: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Names the tensors given to the root after its forward's arguments."""
        try:
            bound: Mapping[str, Any] = inspect.signature(root.forward).bind_partial(*args, **kwargs).arguments
        except (TypeError, ValueError):  # no signature, or a call that the forward itself will refuse
            bound = {**{f"input{i}": arg for i, arg in enumerate(args)}, **kwargs}
        for name, thing in bound.items():
            tensors = tensors_in(thing)
            for i, tensor in enumerate(tensors):
                label = name if len(tensors) == 1 else f"{name}[{i}]"
                self.inputs.append(self.values.make(tensor, "input", label))

    # Module hooks. They return nothing: a value returned here would replace the user's own.

    def _before(self, module: nn.Module, args: Any) -> None:
        self._timed(self._enter_module, module, args)

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        self._timed(self._leave_module, module, args, output)

    def _timed(self, work: Any, *args: Any) -> None:
        if threading.get_ident() != self._thread or in_backward():
            return
        started = time.perf_counter()
        with torch._C.DisableTorchFunction():  # our own torch calls are not the user's ops
            self.guard.run(work, *args)
        self.self_seconds += time.perf_counter() - started

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        fqn = self.tree.fqn_of.get(id(module))
        if fqn is None:  # a module from outside the tree: its ops belong to the module that called it
            return
        stack = self.ops.stack
        nth = self._call_counts[fqn] = self._call_counts.get(fqn, -1) + 1
        call = ModuleCall(len(self.ops.calls), fqn, nth, stack[-1] if stack else None)
        self.ops.calls.append(call)
        stack.append(call.id)
        probe = probe_of(module)
        if probe is not None:
            self._probe_states[call.id] = probe.before(module, args)

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        fqn = self.tree.fqn_of.get(id(module))
        stack = self.ops.stack
        if fqn is None or not any(self.ops.calls[number].fqn == fqn for number in stack):
            return
        while self.ops.calls[stack[-1]].fqn != fqn:  # calls that ended without their hook (an exception caught inside)
            stack.pop()
        call = self.ops.calls[stack.pop()]
        if output is None:
            if self.error_fqn is None and self.ops.nodes and self.ops.nodes[-1].failed:
                self.error_fqn = self.ops.nodes[-1].fqn
            return
        tensors = tensors_in(output)
        self.ops.calls[call.id] = replace(call, outputs=tuple(self._output_value(call, module, t) for t in tensors))
        if self.selection.wants(fqn):
            for i, tensor in enumerate(tensors):
                self._take(tensor, (fqn, call.call, i))
            probe = probe_of(module)
            state = self._probe_states.pop(call.id, None)
            if probe is not None and self.selection.layers:
                pending = probe.after(self.step, fqn, call.call, module, args, output, state)
                if pending is not None:
                    self.pending.append(pending)
        if call.parent is None:
            self.outputs = list(self.ops.calls[call.id].outputs)

    def _output_value(self, call: ModuleCall, module: nn.Module, tensor: Tensor) -> Value:
        """The value a module returned; one that no recorded op made becomes an opaque node, never a gap."""
        value = self.values.get(tensor)
        if value is not None:
            return value
        if id(tensor) in self.tree.parameters or id(tensor) in self.tree.buffers:
            return self.values.read(tensor)
        value = self.values.make(tensor, "op")
        kind = type(module).__name__
        nodes = self.ops.nodes
        if nodes and nodes[-1].opaque and nodes[-1].scope == call.id and nodes[-1].op == kind:
            nodes[-1] = replace(nodes[-1], outputs=(*nodes[-1].outputs, value))
        else:
            why = f"{kind} ran code that PyTorch does not show to Python (compiled, scripted or another library)"
            grad_fn = type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None
            nodes.append(
                OpNode(len(nodes), kind, call.id, call.fqn, call.call, (), (value,), grad_fn=grad_fn, opaque=why)
            )
        return value

    def _take(self, tensor: Tensor, address: Address) -> None:
        seen = self._seen.get(id(tensor))
        version = tensor._version if not tensor.is_inference() else 0
        if seen is not None and seen.tensor() is tensor and seen.version == version:
            seen.addresses.append(address)
            if seen.row is not None:
                self.rows[address, "activation"] = seen.row
            return
        row = None
        if self.selection.activations:
            row = self.rows[address, "activation"] = measure(tensor)
        addresses = [address]
        self._seen[id(tensor)] = _Seen(weakref.ref(tensor), version, row, addresses)
        if self.selection.gradients:
            hooked = hook_gradient(tensor, self._take_gradient, addresses)
            if hooked is not None:
                self._hooks.append(hooked[0])

    def _take_gradient(self, addresses: list[Address], gradient: Tensor) -> None:
        started = time.perf_counter()
        self.guard.run(self._measure_gradient, addresses, gradient)
        self.self_seconds += time.perf_counter() - started

    def _measure_gradient(self, addresses: list[Address], gradient: Tensor) -> None:
        row = measure(gradient)
        for address in addresses:
            self.rows[address, "gradient"] = row

    def graph(self, loss_nodes: tuple[OpNode, ...] = ()) -> Graph:
        """What ran, as a Graph; with the ops between the output and the loss where backward showed them."""
        return Graph(
            modules=self.tree.infos,
            calls=tuple(self.ops.calls),
            nodes=(*self.ops.nodes, *loss_nodes),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            partial=self.error or "",
        )

    def take_seconds(self) -> float:
        """Time spent in our code on the training thread since the last call."""
        seconds = self.self_seconds + self.ops.self_seconds
        self.self_seconds = self.ops.self_seconds = 0.0
        return seconds

    def finish(self) -> None:
        """Lets go of the backward: hooks that still hang on the user's tensors do nothing from now on."""
        for hook in self._hooks:
            hook.release()
        self._hooks.clear()
        self._seen.clear()
