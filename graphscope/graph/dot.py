"""Graph -> DOT text: one node an op, one cluster a module call. Every name is quoted text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphscope.graph.graph import Graph


def _quoted(text: str) -> str:
    # DOT's quoted strings escape only the quote; a backslash would start an escape such as \N (the node's own name).
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def dot_of(graph: Graph) -> str:
    """DOT text of all ops; without ops, of the module tree. Nesting is written without recursion."""
    lines = ["digraph graphscope {", "  rankdir=TB; node [shape=box, fontname=Helvetica, fontsize=10];"]
    if not graph.traced:
        number = {module.fqn: i for i, module in enumerate(graph.modules)}
        lines += [f"  m{i} [label={_quoted(f'{m.name}: {m.type}')}];" for i, m in enumerate(graph.modules)]
        lines += [f"  m{number[m.parent]} -> m{number[m.fqn]};" for m in graph.modules if m.parent in number]
        return "\n".join([*lines, "}"]) + "\n"
    inside: dict[int, list[str]] = {}
    for node in graph.nodes:
        shapes = ", ".join("×".join(map(str, value.shape)) or "scalar" for value in node.outputs)
        inside.setdefault(node.scope, []).append(f"op{node.id} [label={_quoted(f'{node.op} {shapes}')}];")
    children: dict[int, list[int]] = {}
    for call in graph.calls:
        if call.parent is not None:
            children.setdefault(call.parent, []).append(call.id)
    todo: list[tuple[int, bool]] = [(call.id, True) for call in reversed(graph.calls) if call.parent is None]
    while todo:
        number_, opening = todo.pop()
        if not opening:
            lines.append("  }")
            continue
        call = graph.calls[number_]
        label = _quoted((call.fqn or graph.modules[0].type) + (f" call {call.call}" if call.call else ""))
        lines.append(f"  subgraph cluster_{number_} {{ label={label}; color=gray;")
        lines += [f"    {line}" for line in inside.get(number_, ())]
        todo.append((number_, False))
        todo += [(child, True) for child in reversed(children.get(number_, ()))]
    for value in graph.inputs:
        label = _quoted(f"{value.name} {json.dumps(list(value.shape))}")
        lines.append(f"  in{value.id} [label={label}, shape=oval];")
    inputs = {value.id for value in graph.inputs}
    lines += [f"  in{v.id} -> op{node.id};" for node in graph.nodes for v in node.inputs if v.id in inputs]
    lines += [f"  op{edge.source} -> op{edge.target};" for edge in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"
