"""grad_fn and next_functions -> numbers and names: the autograd graph of one pass, walked without recursion.

The nodes are held while they are walked, since one that is let go would come back as another Python object; nothing
that is returned holds a node or a tensor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphscope.graph import AutogradGraph, AutogradNode, OpNode
from graphscope.graph.autograd import boundaries_of

MOST_NODES = 20_000
"""Nodes of a pass that are touched. Each node that Python ever had in its hands is freed by one more level of recursion
inside torch (2.13: some 50,000 on one chain end the process), also long after the walk."""
Maker = tuple[str, int]
"""Name of a backward node, and the number of the value that its op made."""


@dataclass(slots=True)
class BackwardWalk:
    """Nodes in the order in which the walk met them."""

    names: list[str]
    makers: list[int | None]
    """The value that the op of a node made, if it is known."""
    variables: list[str]
    next: list[tuple[tuple[int | None, int], ...]]
    roots: tuple[int, ...]
    cut: bool = False

    def graph(self, ops: Sequence[OpNode]) -> AutogradGraph:
        """As the second graph of the ops that made it."""
        owner = {value.id: op.id for op in ops for value in op.outputs}
        rows = zip(self.names, self.makers, self.variables, self.next, strict=True)
        nodes = tuple(
            AutogradNode(i, name, None if maker is None else owner.get(maker), variable, following)
            for i, (name, maker, variable, following) in enumerate(rows)
        )
        return AutogradGraph(nodes, self.roots, boundaries_of(ops, nodes), self.cut)


def walked(
    tensors: Iterable[Tensor], made: Mapping[int, Maker], started: int, name_of: Callable[[Tensor], str]
) -> BackwardWalk:
    """The autograd graph behind some tensors.

    ``made``: sequence numbers of the backward nodes of what ops returned. An op may have more of them behind that one;
    they were made just before it, so their numbers lie between it and the op before. ``started``: the first sequence
    number of this forward; what is older is no op's of it. ``name_of`` names the variable of a leaf.
    """
    last = sorted(made)
    numbers: dict[Any, int] = {}
    order: list[Any] = []

    def number(fn: Any) -> int:
        known = numbers.get(fn)
        if known is None:
            known = numbers[fn] = len(order)
            order.append(fn)
        return known

    roots = tuple(dict.fromkeys(number(t.grad_fn) for t in tensors if t.grad_fn is not None))
    walk = BackwardWalk([], [], [], [], roots)
    at = 0
    while at < len(order):
        fn = order[at]
        at += 1
        name = type(fn).__name__
        variable = getattr(fn, "variable", None) if name == "AccumulateGrad" else None
        walk.names.append(name)
        walk.variables.append("" if variable is None else name_of(variable))
        walk.makers.append(None if name == "AccumulateGrad" else _maker(fn, name, made, last, started))
        if len(order) >= MOST_NODES:
            walk.cut = True
            walk.next.append(())
            continue
        walk.next.append(tuple([(None if f is None else number(f), slot) for f, slot in fn.next_functions]))
    return walk


def _maker(fn: Any, name: str, made: Mapping[int, Maker], last: list[int], started: int) -> int | None:
    sequence = fn._sequence_nr()
    found = made.get(sequence)
    if found is not None and found[0] == name:
        return found[1]
    # A node of an autograd.Function that no op is known to have made is nobody's: checkpointing makes such.
    if sequence < started or getattr(type(fn), "_forward_cls", None) is not None:
        return None
    place = bisect_left(last, sequence)
    return made[last[place]][1] if place < len(last) else None
