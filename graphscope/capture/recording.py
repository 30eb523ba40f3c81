"""What a captured forward left behind -> the parts of its Graph, made when somebody looks at one of them.

Most graphs are compared, stored or thrown away without anybody reading a node; making 20,000 of them takes as long as
recording them. Nothing here holds a tensor.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graphscope.capture.backward_walk import BackwardWalk
from graphscope.capture.modules import module_infos
from graphscope.capture.rows import CallRow
from graphscope.capture.tape import Tape
from graphscope.capture.values import ValueTable
from graphscope.graph import ModuleCall, OpNode, Value


@contextmanager
def resting_collector() -> Iterator[None]:
    """Without garbage collection: it would walk over all records again and again (2.5x on a forward of 20,000 ops)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Recording:
    """Ops, calls, values and modules of one pass."""

    def __init__(
        self, tape: Tape, calls: Sequence[CallRow], values: ValueTable, modules: Sequence[tuple[Any, ...]]
    ) -> None:
        self.tape = tape
        self.calls = calls
        self.values = values
        self.modules = modules
        self.inputs: tuple[Value, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self.behind: tuple[OpNode, ...] = ()
        """Ops between the output and the loss."""
        self.walk: BackwardWalk | None = None
        """The autograd graph, where it was looked at."""

    def parts(self) -> dict[str, Any]:
        """The fields of Graph; to be called once, since rows turn into what they stand for."""
        with resting_collector():
            values = self.values.all()
            calls = tuple(
                ModuleCall(i, c.fqn, c.call, c.parent, tuple([values[v] for v in c.outputs]), c.opaque or None)
                for i, c in enumerate(self.calls)
            )
            nodes = (*self.tape.nodes(self.calls, values), *self.behind)
            return {
                "modules": module_infos(self.modules),
                "calls": calls,
                "nodes": nodes,
                "inputs": self.inputs,
                "outputs": tuple([values[v] for v in self.outputs]),
                "autograd": None if self.walk is None else self.walk.graph(nodes),
            }
