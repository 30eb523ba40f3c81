"""The autograd graph of one pass: what backward runs, each node with the op that it belongs to.

The second graph of a Graph. A node's ``next`` is its ``grad_fn.next_functions``, place by place: a place without a
node is an input that needs no gradient, or one that was cut off (``boundaries`` says by which op).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphscope.graph.nodes import OpNode

FLOATING = ("float", "bfloat", "complex")
COLUMNS = (
    "backward_name", "backward_op", "backward_variable", "backward_next_ptr", "backward_next", "backward_input",
    "backward_roots",
)  # fmt: skip
"""Columns of GraphRecord that hold it; none of them where no backward was looked at."""


@dataclass(frozen=True, slots=True)
class AutogradNode:
    """One backward node."""

    id: int
    name: str
    """Class of the grad_fn, for instance ``AddmmBackward0``."""
    op: int | None
    """Op of the forward graph that made it; None for a leaf, and for what no recorded op made."""
    variable: str
    """Of a leaf (AccumulateGrad) the name of its parameter or input; empty for other nodes and unknown leaves."""
    next: tuple[tuple[int | None, int], ...]
    """(node, number of its output) of each input of the op; None where no gradient goes."""

    @property
    def is_leaf(self) -> bool:
        return self.name == "AccumulateGrad"


@dataclass(frozen=True, slots=True)
class AutogradEdge:
    """A gradient's way: from place ``slot`` of one node into input ``input`` of another."""

    source: int
    slot: int
    target: int
    input: int


@dataclass(frozen=True, slots=True)
class Boundary:
    """An op behind which no gradient comes: it reads what needs one, and makes nothing that does."""

    op: int
    why: str
    """``detach``, ``not differentiable`` (nothing floating was made), else ``no_grad``."""
    readers: tuple[int, ...]
    """Backward nodes of the ops that read what it made."""


@dataclass(frozen=True, repr=False)
class AutogradGraph:
    """What backward runs, from its roots to the leaves."""

    nodes: tuple[AutogradNode, ...]
    roots: tuple[int, ...]
    """Nodes of the loss, or where no backward ran, of the model's outputs."""
    boundaries: tuple[Boundary, ...] = ()
    cut: bool = False
    """Whether it goes on behind these nodes: of very large ones only the nodes near the roots are looked at."""

    def __repr__(self) -> str:
        more = ", cut" if self.cut else ""
        return (
            f"AutogradGraph({len(self.nodes)} backward nodes from {len(self.roots)} roots, "
            f"{len(self.boundaries)} boundaries{more})"
        )

    @cached_property
    def edges(self) -> tuple[AutogradEdge, ...]:
        """Where gradients go, without the places that get none."""
        return tuple(
            AutogradEdge(node.id, slot, target, number)
            for node in self.nodes
            for slot, (target, number) in enumerate(node.next)
            if target is not None
        )

    @cached_property
    def leaves(self) -> tuple[AutogradNode, ...]:
        """The nodes that add to the ``.grad`` of a parameter or an input."""
        return tuple(node for node in self.nodes if node.is_leaf)

    def of_op(self, op: int | OpNode) -> tuple[AutogradNode, ...]:
        """The backward nodes of one op, in the order in which backward comes by; empty if it has none."""
        return self._by_op.get(op.id if isinstance(op, OpNode) else op, ())

    @cached_property
    def _by_op(self) -> dict[int, tuple[AutogradNode, ...]]:
        found: dict[int, list[AutogradNode]] = {}
        for node in self.nodes:
            if node.op is not None:
                found.setdefault(node.op, []).append(node)
        return {op: tuple(nodes) for op, nodes in found.items()}


def boundaries_of(ops: Sequence[OpNode], nodes: Sequence[AutogradNode]) -> tuple[Boundary, ...]:
    """The ops that cut gradients off."""
    cut: dict[int, str] = {}
    made_by: dict[int, int] = {}
    for op in ops:
        asked = any(value.requires_grad for value in op.inputs)
        if op.failed or not op.outputs or not asked or any(value.requires_grad for value in op.outputs):
            continue
        if op.op.startswith("detach"):
            cut[op.id] = "detach"
        else:
            floating = any(value.dtype.startswith(FLOATING) for value in op.outputs)
            cut[op.id] = "no_grad" if floating else "not differentiable"
        made_by.update((value.id, op.id) for value in op.outputs)
    readers: dict[int, list[int]] = {op: [] for op in cut}
    by_op: dict[int, list[int]] = {}
    for node in nodes:
        if node.op is not None:
            by_op.setdefault(node.op, []).append(node.id)
    for op in ops:
        for maker in dict.fromkeys(made_by[value.id] for value in op.inputs if value.id in made_by):
            readers[maker] += by_op.get(op.id, ())
    return tuple(Boundary(op, why, tuple(dict.fromkeys(readers[op]))) for op, why in cut.items())


def autograd_columns(graph: AutogradGraph, text: Any) -> dict[str, Any]:
    """An AutogradGraph -> columns of GraphRecord; ``text`` numbers a text."""
    pointers = [0, *itertools.accumulate(len(node.next) for node in graph.nodes)]
    places = [place for node in graph.nodes for place in node.next]
    return {
        "backward_name": [text(node.name) for node in graph.nodes],
        "backward_op": [-1 if node.op is None else node.op for node in graph.nodes],
        "backward_variable": [text(node.variable) for node in graph.nodes],
        "backward_next_ptr": pointers,
        "backward_next": [-1 if target is None else target for target, _ in places],
        "backward_input": [number for _, number in places],
        "backward_roots": list(graph.roots),
        "backward_cut": graph.cut,
    }


def autograd_from_columns(c: Mapping[str, Any], text: Any, ops: Sequence[OpNode]) -> AutogradGraph | None:
    """The inverse; None where the columns are not there. Raises IndexError, ValueError where they do not fit."""
    columns: list[Any] = [c.get(name) for name in COLUMNS]
    if all(column is None for column in columns):
        return None
    if any(column is None for column in columns):
        raise ValueError(f"some of {', '.join(COLUMNS)} are missing")
    names, op_numbers, variables, pointers, following, inputs, roots = columns
    count = len(names)
    if len(pointers) != count + 1 or pointers[0] != 0 or pointers[-1] != len(following) or pointers != sorted(pointers):
        raise ValueError("backward_next_ptr does not partition backward_next")
    for name, numbers, low, high in (
        ("backward_next", following, -1, count), ("backward_op", op_numbers, -1, len(ops)),
        ("backward_roots", roots, 0, count),
    ):  # fmt: skip
        if any(not low <= number < high for number in numbers):
            raise IndexError(f"{name} points outside")
    places = [(None if t < 0 else t, number) for t, number in zip(following, inputs, strict=True)]
    nodes = tuple(
        AutogradNode(
            i, text(name), None if op < 0 else op, text(variable), tuple(places[pointers[i] : pointers[i + 1]])
        )
        for i, (name, op, variable) in enumerate(zip(names, op_numbers, variables, strict=True))
    )
    return AutogradGraph(nodes, tuple(roots), boundaries_of(ops, nodes), bool(c.get("backward_cut")))
