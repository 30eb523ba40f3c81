"""Graph -> what a picture of it shows: calls opened as far as they fit, equal blocks folded, long levels shortened.

A module call is one thing with its ops inside; opened, it is a frame around them. Things stand in the order in which
they ran, and each is a stretch of that order, so lines between them never go backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphscope.graph import Graph, OpNode
from graphscope.reports.details import CLOSED

THINGS = 40
"""Things up to which further calls are opened; a level longer than this is folded and shortened."""
DEEPEST = 5
"""Frames inside each other."""
FOLDED_FROM = 3
"""Equal blocks in a row from which the second and all later ones become one thing."""


@dataclass(slots=True)
class Thing:
    """One box of the picture: an op, a module call, equal calls folded, or things left out."""

    kind: str
    """``op``, ``call``, ``fold`` or ``more``."""
    ops: list[OpNode]
    call: int | None = None
    """Number of the (first) module call."""
    count: int = 1
    """Calls of a fold; things left out."""
    period: int = 1
    """Of how many things the repeated pattern of a fold consists."""
    inside: list[Thing] | None = None
    """What the frame holds; None where it is closed."""
    depth: int = 0
    members: list[Thing] = field(default_factory=list)
    """What a fold stands for."""

    @property
    def failed(self) -> bool:
        return any(op.failed for op in self.ops)


class _Calls:
    """What each call holds, bottom up: its own things in order, all of its ops, and a signature for equal blocks."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        size = len(graph.calls)
        # A file may claim anything; callers come before what they call, else the call stands by itself.
        self.parent = [c.parent if c.parent is not None and 0 <= c.parent < c.id else -1 for c in graph.calls]
        own: list[list[OpNode]] = [[] for _ in range(size)]
        for node in graph.nodes:
            own[node.scope].append(node)
        called: list[list[int]] = [[] for _ in range(size)]
        self.op_count = [len(ops) for ops in own]
        self.first = [ops[0].id if ops else len(graph.nodes) for ops in own]
        for c in range(size - 1, -1, -1):
            parent = self.parent[c]
            if parent >= 0 and self.op_count[c]:
                called[parent].append(c)
                self.op_count[parent] += self.op_count[c]
                self.first[parent] = min(self.first[parent], self.first[c])
        self.own = own
        self.called = [sorted(calls, key=lambda c: self.first[c]) for calls in called]
        self.types = {module.fqn: module.type for module in graph.modules}
        self.signature = [0] * size
        for c in range(size - 1, -1, -1):
            ops = tuple(node.op for node in own[c])
            inner = tuple(self.signature[k] for k in self.called[c])
            self.signature[c] = hash((self.types.get(graph.calls[c].fqn, ""), ops, inner))

    def roots(self) -> list[int]:
        calls = [c for c, parent in enumerate(self.parent) if parent < 0 and self.op_count[c]]
        return sorted(calls, key=lambda c: self.first[c])

    def ops_of(self, call: int) -> list[OpNode]:
        ops, todo = [], [call]
        while todo:
            c = todo.pop()
            ops += self.own[c]
            todo += self.called[c]
        return sorted(ops, key=lambda node: node.id)

    def opens(self, call: int) -> bool:
        return self.op_count[call] > 1 and self.types.get(self.graph.calls[call].fqn, "") not in CLOSED

    def things(self, call: int, depth: int) -> list[Thing]:
        """What a call holds, in order: its own ops and the calls it made, folded and shortened if there are many."""
        found = [Thing("op", [node], depth=depth) for node in self.own[call]]
        found += [Thing("call", self.ops_of(c), call=c, depth=depth) for c in self.called[call]]
        found.sort(key=lambda thing: thing.ops[0].id)
        return self.shortened(self.folded(found))

    def shape_of(self, thing: Thing) -> object:
        if thing.kind == "call" and thing.call is not None:
            return self.signature[thing.call]
        return thing.ops[0].op

    def folded(self, things: list[Thing]) -> list[Thing]:
        """Equal blocks in a row: the first stays, the others become one. In a long level, any repeated pattern."""
        patterns = (1,) if len(things) <= THINGS else (1, 2, 3, 4, 6, 8)
        for period in patterns:
            shapes = [self.shape_of(thing) for thing in things]
            out, at = [], 0
            while at < len(things):
                repeats = 1
                while shapes[at : at + period] == shapes[at + repeats * period : at + (repeats + 1) * period]:
                    repeats += 1
                block = len(things) > THINGS or len(things[at].ops) > 1
                if repeats < FOLDED_FROM or not block or any(t.kind == "fold" for t in things[at : at + period]):
                    out.append(things[at])
                    at += 1
                    continue
                out += things[at : at + period]
                rest = things[at + period : at + repeats * period]
                fold = Thing("fold", [op for t in rest for op in t.ops], rest[0].call, repeats - 1, period)
                fold.depth, fold.members = rest[0].depth, rest
                out.append(fold)
                at += repeats * period
            things = out
        return things

    def shortened(self, things: list[Thing]) -> list[Thing]:
        """A level that is still long: its beginning and end, and between them one thing for all the others."""
        if len(things) <= THINGS:
            return things
        head, tail = THINGS // 2, THINGS // 2 - 1
        middle = things[head : len(things) - tail]
        more = Thing("more", [op for t in middle for op in t.ops], count=len(middle), depth=things[0].depth)
        return [*things[:head], more, *things[len(things) - tail :]]


def outline(graph: Graph) -> list[Thing]:
    """The things of the outermost level. Equal calls are opened together, the smallest first, while they fit."""
    calls = _Calls(graph)
    top: list[Thing] = []
    for root in calls.roots():
        top += calls.things(root, 0)
    top = calls.shortened(top)
    level, shown = top, len(top)
    for depth in range(1, DEEPEST + 1):
        alike: dict[object, list[tuple[Thing, list[Thing]]]] = {}
        for thing in level:
            if thing.kind == "call" and thing.call is not None and calls.opens(thing.call):
                inside = calls.things(thing.call, depth)
                alike.setdefault(calls.shape_of(thing), []).append((thing, inside))
        level = []
        for group in sorted(alike.values(), key=lambda group: sum(len(inside) for _, inside in group)):
            more = sum(len(inside) - 1 for _, inside in group)
            if shown + more <= THINGS:
                shown += more
                for thing, inside in group:
                    thing.inside = inside
                    level += inside
    return top
