"""Module calls of a graph in the order in which they finished: what gave out a number first."""

from __future__ import annotations

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import Flow
from graphscope.run import Address

MOST_OPS = 200
"""Ops looked at on the way back from a call to what is known."""


class CallOrder:
    """When each call of one graph finished, and the ops in it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._number = {(call.fqn, call.call): call.id for call in graph.calls}
        self._parent = [c.parent if c.parent is not None and c.parent < c.id else None for c in graph.calls]
        self._own: list[list[OpNode]] = [[] for _ in graph.calls]
        for node in graph.nodes:
            self._own[node.scope].append(node)
        self._last = [ops[-1].id if ops else -1 for ops in self._own]
        self._depth = [0] * len(graph.calls)
        for call in range(len(graph.calls)):
            parent = self._parent[call]
            self._depth[call] = 0 if parent is None else self._depth[parent] + 1
        for call in range(len(graph.calls) - 1, 0, -1):
            parent = self._parent[call]
            if parent is not None:
                self._last[parent] = max(self._last[parent], self._last[call])
        self._maker = {value.id: node.id for node in graph.nodes for value in node.outputs}

    def call(self, address: Address) -> int | None:
        """Number of the call that gave out what an address names."""
        return self._number.get((address.fqn, address.call))

    def finished(self, address: Address) -> tuple[int, int]:
        """Sorts calls by when they finished: by their last op, the inner one first."""
        call = self.call(address)
        return (self._last[call], -self._depth[call]) if call is not None else (len(self.graph.nodes), 0)

    def made(self, address: Address) -> tuple[int, int]:
        """Sorts outputs by the op that made them; of calls that give out the same value, the innermost is last."""
        call = self.call(address)
        outputs = self.graph.calls[call].outputs if call is not None else ()
        return max((self._maker.get(v.id, -1) for v in outputs), default=-1), self._depth[
            call
        ] if call is not None else 0

    def ops(self, call: int) -> list[OpNode]:
        """All ops of a call and the calls inside it, in order."""
        inside = {call}
        for number in range(call + 1, len(self._parent)):
            if self._parent[number] in inside:
                inside.add(number)
        return sorted((node for number in inside for node in self._own[number]), key=lambda node: node.id)

    def fed_by(self, call: int, known: set[int], flow: Flow) -> list[OpNode]:
        """Ops outside a call that led to what it read, back to values that are known, in order."""
        inside = self.ops(call)
        numbers = {node.id for node in inside}
        todo = [value.id for node in inside for value in node.inputs]
        found: dict[int, OpNode] = {}
        while todo and len(found) < MOST_OPS:
            value = todo.pop()
            node = flow.maker.get(value)
            if value in known or node is None or node.id in numbers or node.id in found:
                continue
            found[node.id] = node
            todo += [read.id for read in node.inputs]
        return [found[number] for number in sorted(found)]
