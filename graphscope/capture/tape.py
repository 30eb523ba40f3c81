"""Ops while they are recorded -> one flat list, ten things an op; OpNodes are made from it when somebody looks.

An object an op costs a microsecond to make and gives the garbage collector something to walk; adding ten things to a
list takes a tenth of that. What can be worked out later from what is kept (lines of files, argument names, texts) is.
Rare ops, which change after they were recorded or made more than one tensor, are an ``OpRow`` on the tape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphscope.capture.op_names import Named, op_attrs
from graphscope.capture.rows import NO_ATTRS, CallRow, OpRow
from graphscope.capture.source import Lines
from graphscope.graph import OpNode, Value

WIDTH = 10
"""What ``flat`` holds an op: its ``Named`` (or the OpRow, and then nothing else but the call), the call in which it
ran, code object and offset of the user's place, arguments that are no tensors, type and sequence number of its grad_fn,
whether it made a view, how many of ``inputs`` are its, the value it made.

Arguments are None; the positional ones behind the tensors as a tuple; a list of how many tensors came first, that tuple
and those by keyword; or a dict of all, with their names.
"""


class Tape:
    """The ops of one pass in the order in which they ran."""

    __slots__ = ("_told", "flat", "inputs")

    def __init__(self) -> None:
        self.flat: list[Any] = []
        self.inputs: list[int] = []
        """Values read by the ops that are no OpRow, one op after the other."""
        self._told = 0

    def __len__(self) -> int:
        return len(self.flat) // WIDTH

    def add(self, row: OpRow) -> None:
        """One op that may still change."""
        self.flat += (row, row.scope, None, 0, None, None, 0, False, 0, 0)

    def last(self) -> OpRow | None:
        """The latest op, if it is an OpRow."""
        row = self.flat[-WIDTH] if self.flat else None
        return row if type(row) is OpRow else None

    def ran_in(self, call: int, since: int) -> bool:
        """Whether one of the ops behind the first ``since`` ran in a call itself."""
        return call in self.flat[since * WIDTH + 1 :: WIDTH]

    def rows(self) -> Iterator[OpRow]:
        """The rare ops."""
        return (row for row in self.flat[::WIDTH] if type(row) is OpRow)

    def tell_makers(self, made: dict[int, tuple[str, int]]) -> None:
        """Adds sequence number -> (name of the grad_fn, value it made) of the ops since the last call."""
        flat, start = self.flat, self._told
        self._told = len(flat)
        columns = (flat[start + i :: WIDTH] for i in (5, 6, 9))
        for kind, sequence, value in zip(*columns, strict=True):
            if kind is not None:
                made[sequence] = kind.__name__, value

    def used(self) -> set[int]:
        """Values that some op reads."""
        return set(self.inputs).union(*(row.inputs for row in self.rows()))

    def nodes(self, calls: Sequence[CallRow], values: Sequence[Value]) -> tuple[OpNode, ...]:
        """All ops as those of a Graph; rows turn into nodes, so only once."""
        lines, attrs = Lines(), _Attrs()
        inputs, at = self.inputs, 0
        nodes: list[OpNode] = []
        for known, call, code, offset, given, grad_fn, _, view, reads, value in zip(
            *[iter(self.flat)] * WIDTH, strict=True
        ):
            if type(known) is OpRow:
                row = known
            else:
                row = OpRow(known.op, call, inputs[at : at + reads], lines(code, offset))
                at += reads
                row.outputs = (value,)
                if given is not None:
                    row.attrs = given if type(given) is dict else attrs(known, reads, given)
                if grad_fn is not None:
                    row.grad_fn = grad_fn.__name__
                row.view, row.opaque = view, known.opaque
            nodes.append(row.frozen(len(nodes), calls[call], values))
        return tuple(nodes)


class _Attrs:
    """Positional arguments -> attributes by name, worked out once for all ops that were given the same."""

    def __init__(self) -> None:
        self._known: dict[Any, Mapping[str, Any]] = {}

    def __call__(self, known: Named, tensors: int, given: Any) -> Mapping[str, Any]:
        if type(given) is tuple:
            by_place, by_name = given, NO_ATTRS
        else:
            tensors, by_place, by_name = given
        # 1, 1.0 and True are equal, and so would be the keys.
        things = (*by_place, *by_name.values())
        types = [tuple(map(type, thing)) if type(thing) is tuple else type(thing) for thing in things]
        key = known.op, known.arguments, tensors, things, tuple(by_name), tuple(types)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = op_attrs(known.arguments, (*[None] * tensors, *by_place), by_name)
        return found
