"""A tensor that no recorded op made -> the value it is: never a gap where something hidden made it in this forward.

Autograd knows: a hidden tensor's backward chain leads to tensors that are known, so an opaque node between the two is
drawn. Without gradients a tensor of unknown origin is a constant from outside, except behind an opaque region that
still has to show its result.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphscope.capture.loss_ops import backward_name
from graphscope.capture.regions import Region
from graphscope.capture.source import user_line

if TYPE_CHECKING:
    from graphscope.capture.ops import OpRecorder

HIDDEN = "made by code that PyTorch does not show to Python (scripted, or another library); named after its backward"
TRANSFORMED = "runs under torch.func: its ops are part of the transform's node"
LIMIT = 1_000
"""Backward nodes looked at."""


class Origins:
    """Where tensors came from that the mode did not see being made."""

    def __init__(self, ops: OpRecorder) -> None:
        self.ops = ops
        self._made: dict[int, tuple[str, int]] = {}
        self.first: dict[int, tuple[str, int]] = {}
        """The same of nodes that a later op passed on: dropout in eval mode returns the tensor that it was given."""
        self.started = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        self.drain: Callable[[], None] = lambda: None
        """Draws what other threads did meanwhile."""
        self.open: Region | None = None
        self._done: list[Region] = []

    def made(self) -> dict[int, tuple[str, int]]:
        """Sequence number of a grad_fn -> (its name, the value it made). Numbers: a node would keep tensors alive."""
        self.ops.tape.tell_makers(self._made)
        return self._made

    # Regions.

    def region(self, frame: FrameType, name: str, read: list[Tensor]) -> Region:
        """The region of a frame: the open one, or a new one that reads these tensors."""
        if self.open is not None and self.open.frame is frame:
            return self.open
        self.leave_region()
        ops = self.ops
        scope = ops.stack[-1]
        while (parent := ops.calls[scope].parent) is not None and ops.calls[scope].opaque == TRANSFORMED:
            scope = parent  # a module called inside the transform: the node stands where the transform was called
        row = ops.opaque_row(name, scope, "", [], [])
        row.source = user_line(frame=frame.f_back)
        region = self.open = Region(frame, name, row)
        row.opaque = (
            f"under torch.func.{name}: its tensors have values only when the transform ends"
            if region.transform
            else f"a torch.autograd.Function: its forward runs without autograd, its backward is {name}.backward"
        )
        for tensor in read:
            self.reads(region, tensor)
        return region

    def reads(self, region: Region, tensor: Tensor) -> None:
        """Adds what a region reads from outside."""
        values = self.ops.values
        known = values.get(tensor)
        outside = id(tensor) in values.parameters or id(tensor) in values.buffers or not region.transform
        if known is None and not outside:
            return
        value = values.read(tensor) if known is None else known
        if value not in region.row.inputs and value not in region.row.outputs:
            region.row.inputs.append(value)

    def leave_region(self) -> None:
        """The open region is over: its results have their grad_fn now."""
        region, self.open = self.open, None
        if region is None:
            return
        function = region.function
        for reference, value in region.made:
            tensor = reference()
            if tensor is None:
                continue
            self.ops.values.refresh(value, tensor)
            grad_fn = tensor.grad_fn
            if function is not None and isinstance(grad_fn, function._backward_cls):
                self.ops.link(region.row, [tensor], [value])
        region.frame = None  # it holds the function's tensors
        self._done.append(region)

    def prune(self) -> None:
        """Of the tensors made inside a region only those are its outputs that something else reads or returns."""
        if not self._done:
            return
        used = self.ops.tape.used()
        used.update(value for call in self.ops.calls for value in call.outputs)
        for region in self._done:
            row = region.row
            row.outputs = [value for value in row.outputs if value in used] or row.outputs[-1:]

    # Tensors of unknown origin.

    def value(self, tensor: Tensor) -> int | None:
        """The value of a tensor that was not seen before; None if it comes from outside this forward."""
        self.drain()
        known = self.ops.values.get(tensor)
        if known is not None:
            return known
        region = self._done[-1] if self._done else None
        grad_fn = tensor.grad_fn
        if grad_fn is None:
            if region is not None and region.transform and not region.row.outputs:
                return self._result(region, tensor)
            return None
        number = grad_fn._sequence_nr()
        for region in reversed(self._done):
            if region.transform and region.first <= number <= region.last + 2:
                return self._result(region, tensor)
            if region.function is not None and isinstance(grad_fn, region.function._backward_cls):
                return self._result(region, tensor)  # made from what left torch inside (numpy, another library)
        return self._hidden(tensor, grad_fn, number)

    def _result(self, region: Region, tensor: Tensor) -> int:
        value = self.ops.values.make(tensor, "op")
        region.row.outputs.append(value)
        if tensor.grad_fn is not None:
            self.ops.link(region.row, [tensor], [value])
        return value

    def _hidden(self, tensor: Tensor, grad_fn: Any, number: int) -> int | None:
        known: list[int] = []
        parameters: list[int] = []
        seen: set[Any] = set()
        todo = [grad_fn]
        made = self.made()
        while todo and len(seen) < LIMIT:
            fn = todo.pop()
            if fn in seen:
                continue
            seen.add(fn)
            name, value = made.get(fn._sequence_nr(), ("", -1))
            if name == type(fn).__name__:
                known.append(value)
            elif hasattr(fn, "variable"):
                leaf = self.ops.values.get(fn.variable)
                if leaf is not None:
                    known.append(leaf)
                elif id(fn.variable) in self.ops.values.parameters:
                    parameters.append(self.ops.values.read(fn.variable))
            else:
                todo.extend(f for f, _ in fn.next_functions if f is not None)
        if not known and not (parameters and self.started <= number < 2**63):
            return None
        function = getattr(type(grad_fn), "_forward_cls", None)
        op = backward_name(grad_fn) if function is None else function.__name__
        row = self.ops.opaque_row(op, self.ops.stack[-1] if self.ops.stack else 0, HIDDEN, [], [tensor])
        row.inputs = list(dict.fromkeys([*reversed(known), *parameters]))
        return row.outputs[0]
