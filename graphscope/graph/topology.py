"""Graph -> its content hash, and two Graphs -> what changed between them. Sizes count in neither."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphscope.graph.nodes import OpNode

if TYPE_CHECKING:
    from graphscope.graph.graph import Graph

SIZED_OPS = frozenset(
    {
        "arange", "as_strided", "broadcast_to", "chunk", "empty", "expand", "eye", "full", "getitem", "index_select",
        "interpolate", "linspace", "narrow", "new_empty", "new_full", "new_ones", "new_zeros", "normal", "ones", "pad",
        "rand", "randint", "randn", "randperm", "repeat", "repeat_interleave", "reshape", "resize", "select", "setitem",
        "split", "split_with_sizes", "tensor_split", "tile", "tril", "triu", "unflatten", "unfold", "view", "zeros",
    }
)  # fmt: skip
"""Ops whose integer arguments are sizes or positions, which follow the batch and the sequence: those are not hashed."""


def structural_attrs(node: OpNode) -> dict[str, Any]:
    """The arguments of an op that make another topology when they differ."""
    if node.op not in SIZED_OPS:
        return dict(node.attrs)
    return {name: value for name, value in node.attrs.items() if isinstance(value, bool)}


def topology_hash(graph: Graph) -> str:
    """Sixteen hexadecimal digits of sha256 over modules, calls, ops, structural attributes and edges."""
    digest = hashlib.sha256()

    def feed(*parts: Any) -> None:
        digest.update(json.dumps(parts, default=str, ensure_ascii=True).encode() + b"\n")

    feed(graph.traced, graph.partial)
    for module in graph.modules:
        feed(module.fqn, module.type)
    for call in graph.calls:
        feed(call.fqn, call.call, call.parent, call.opaque)
    number: dict[int, Any] = {value.id: f"in{i}" for i, value in enumerate(graph.inputs)}
    for node in graph.nodes:
        read = [number.get(v.id, (v.kind, v.name)) for v in node.inputs]
        flags = (node.inplace, node.view, node.failed)
        feed(node.op, node.scope, read, node.params, structural_attrs(node), node.opaque, flags)
        for i, value in enumerate(node.outputs):
            number[value.id] = f"{node.id}.{i}"
    feed([number.get(v.id, (v.kind, v.name)) for v in graph.outputs])
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """What a second graph has more, less and different."""

    appeared: tuple[OpNode, ...]
    """Ops of the second graph."""
    vanished: tuple[OpNode, ...]
    """Ops of the first graph."""
    changed: tuple[tuple[OpNode, OpNode], ...]
    """Ops that are in both with other attributes, inputs or flags: (first, second)."""

    def __bool__(self) -> bool:
        return bool(self.appeared or self.vanished or self.changed)


_Key = tuple[str, int, str, int]


def _keys(graph: Graph) -> dict[_Key, OpNode]:
    """(fqn, call, op, n-th of those) -> op."""
    seen: dict[tuple[str, int, str], int] = {}
    keys = {}
    for node in graph.nodes:
        base = (node.fqn, node.call, node.op)
        nth = seen[base] = seen.get(base, -1) + 1
        key = (*base, nth)
        keys[key] = node
    return keys


def _shape_free(graph: Graph, keys: dict[_Key, OpNode]) -> dict[_Key, Any]:
    """What is compared of each op: attributes, flags, and which ops its inputs come from."""
    made_by = {value.id: key for key, node in keys.items() for value in node.outputs}
    return {
        key: (
            structural_attrs(node),
            (node.inplace, node.failed, node.opaque, node.params),
            [made_by.get(value.id, (value.kind, value.name)) for value in node.inputs if made_by.get(value.id) != key],
        )
        for key, node in keys.items()
    }


def difference(first: Graph, second: Graph) -> GraphDiff:
    """Ops matched by module call, name and order -> those that appeared, vanished or changed."""
    a, b = _keys(first), _keys(second)
    facts_a, facts_b = _shape_free(first, a), _shape_free(second, b)
    return GraphDiff(
        appeared=tuple(node for key, node in b.items() if key not in a),
        vanished=tuple(node for key, node in a.items() if key not in b),
        changed=tuple((a[key], b[key]) for key in a if key in b and facts_a[key] != facts_b[key]),
    )
