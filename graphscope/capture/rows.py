"""Ops, values and module calls while they are being recorded: mutable, with values as numbers.

A frozen dataclass sets each field through ``object.__setattr__``: 3.6 us for an ``OpNode``, half of what an op costs to
record. So rows have the very slots of ``OpNode`` and ``Value`` and turn into them in place when the step is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from graphscope.graph import OpNode, Value

NO_ATTRS: Mapping[str, Any] = {}


class OpRow:
    """One op; inputs and outputs are numbers of values."""

    __slots__ = OpNode.__slots__

    def __init__(self, op: str, scope: int, inputs: list[int], source: tuple[str, int] | None = None) -> None:
        self.op = op
        self.scope = scope
        self.inputs: Any = inputs
        self.outputs: Any = []
        self.source = source
        self.attrs = NO_ATTRS
        self.grad_fn: str | None = None
        self.opaque: str | None = None
        self.inplace = self.view = self.failed = False

    def frozen(self, number: int, call: CallRow, values: Sequence[Value]) -> OpNode:
        """This row itself as an ``OpNode``; it is no row any more."""
        self.id = number
        self.fqn, self.call = call.fqn, call.call
        inputs = [values[i] for i in self.inputs]
        params = [value.name for value in inputs if value.kind == "parameter"]
        self.params = tuple(dict.fromkeys(params)) if params else ()
        self.inputs, self.outputs = tuple(inputs), tuple([values[i] for i in self.outputs])
        self.__class__ = OpNode  # type: ignore[assignment]
        return cast(OpNode, self)


class ValueRow:
    """One value, with shape, dtype and device as torch has them."""

    __slots__ = Value.__slots__

    def __init__(
        self, number: int, kind: str, name: str, shape: Any, dtype: Any, device: Any, requires_grad: bool
    ) -> None:
        self.id = number
        self.kind = kind
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.requires_grad = requires_grad

    def frozen(self, dtype: str, device: str) -> Value:
        """This row itself as a ``Value``; it is no row any more."""
        self.dtype, self.device = dtype, device
        self.__class__ = Value  # type: ignore[assignment]
        return cast(Value, self)


class CallRow:
    """One call of a module; ``parent`` is the number of the call during which it was made."""

    __slots__ = ("call", "fqn", "opaque", "outputs", "parent", "place")

    def __init__(self, fqn: str, call: int, parent: int | None, opaque: str = "") -> None:
        self.fqn = fqn
        self.call = call
        self.parent = parent
        self.opaque = opaque
        self.outputs: Sequence[int] = ()
        self.place: Any = None
        """Where in the user's code it was called (``source.Place``), once an op inside has asked."""
