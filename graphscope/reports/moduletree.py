"""Modules -> the rows of an indented tree, for a model of which no pass was recorded."""

from __future__ import annotations

from dataclasses import dataclass

from graphscope.graph import Graph
from graphscope.reports.details import module_detail
from graphscope.reports.words import count_text

ROWS = 60
"""Rows shown; the outer modules first, then as much of the inner ones as fits."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree."""

    name: str
    detail: str
    depth: int
    parent_row: int | None
    quiet: bool = False
    """Says how many are left out instead of naming a module."""


def tree_lines(graph: Graph) -> list[Row]:
    """Rows in the order of the tree; where there are too many, deep levels are left out with their number."""
    number = {module.fqn: i for i, module in enumerate(graph.modules)}
    depth: list[int] = []
    children: list[list[int]] = [[] for _ in graph.modules]
    for i, module in enumerate(graph.modules):
        parent = number.get(module.parent, -1) if module.parent is not None else -1
        # A file may claim anything: a parent that does not come before its child is none.
        parent = parent if 0 <= parent < i else -1
        depth.append(depth[parent] + 1 if parent >= 0 else 0)
        if parent >= 0:
            children[parent].append(i)
    own = [sum(p.count for p in m.parameters if p.tied_to is None) for m in graph.modules]
    below = [1] * len(graph.modules)
    for i in range(len(graph.modules) - 1, -1, -1):
        own[i] += sum(own[c] for c in children[i])
        below[i] += sum(below[c] for c in children[i])

    deepest = max(depth, default=0)
    while deepest > 1 and sum(d <= deepest for d in depth) > ROWS:
        deepest -= 1
    rows: list[Row] = []
    todo: list[tuple[int, int | None]] = [(i, None) for i in reversed(range(len(depth))) if depth[i] == 0]
    while todo:
        i, above = todo.pop()
        left_out = sum(below[k] for k, _ in todo) + below[i]
        if len(rows) == ROWS:
            shown_depth = rows[above].depth + 1 if above is not None else 0
            rows.append(Row(f"{count_text(left_out)} more modules", "", shown_depth, above, quiet=True))
            break
        module = graph.modules[i]
        size = f"{count_text(own[i])} parameters" if own[i] else ""
        parts = [module.type if module.name != module.type else "", size]
        if not children[i] and module_detail(module) not in ("", module.type):
            parts.insert(1, module_detail(module))
        inside = below[i] - 1
        hidden = f"{count_text(inside)} modules inside" if depth[i] >= deepest and inside else ""
        rows.append(Row(module.name, ", ".join(part for part in [*parts, hidden] if part), depth[i], above))
        if not hidden:
            todo += [(c, len(rows) - 1) for c in reversed(children[i])]
    return rows
