"""What came into a Run since the rules last looked, so that a look after every step costs the step and not the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import Flow, where
from graphscope.rules.sizes import Sizes
from graphscope.run import Address, Run
from graphscope.schema import Finding, PassRecord, StepRecord, StepStats


@dataclass(slots=True)
class News:
    """New records of a run, for one look of all rules."""

    run: Run
    graphs: list[Graph] = field(default_factory=list)
    """Graphs seen for the first time."""
    passes: list[PassRecord] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    stats: list[StepStats] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    """What rules keep from look to look, by their names."""
    sizes: Sizes = field(default_factory=Sizes)
    """How large outputs, weights and gradients were at every step up to now."""
    _flows: dict[str, Flow] = field(default_factory=dict)
    _ids: dict[int, str] | None = None

    def flow(self, graph: Graph) -> Flow:
        """Who makes and who reads each value of a graph; worked out once for all rules."""
        return self._flows.setdefault(graph.graph_id, Flow(graph))

    def finding(self, graph: Graph, node: OpNode, **said: Any) -> Finding:
        """A Finding about one op of a graph; ``said`` are its words and numbers."""
        file, line = where(node)
        place = {"fqn": node.fqn, "call": node.call, "node": node.id, "graph_id": graph.graph_id}
        return Finding(**{**place, "step": self.first_step(graph), "file": file, "line": line, **said})

    def graph_at(self, step: int) -> Graph | None:
        """The graph of the last captured pass of a step; None if that step has none."""
        if self._ids is None:
            self._ids = {one.step: one.graph_id for one in self.passes if one.graph_id is not None}
        if step not in self._ids:
            for one in reversed(self.run.passes):
                if one.step < step:
                    break
                if one.step == step and one.graph_id is not None:
                    self._ids[step] = one.graph_id
                    break
        return self.run.graphs.get(self._ids.get(step) or "")

    def address(self, number: int) -> Address:
        """What a row of statistics belongs to; an address without a name if its record was lost."""
        table = self.run.address_table
        return table[number] if number < len(table) else Address("(unknown)")

    def first_step(self, graph: Graph) -> int | None:
        """The step at which a graph was first seen."""
        of_graph = (one.step for one in self.run.passes if one.graph_id == graph.graph_id)
        return next(of_graph, None)


Rule = Callable[[News], Any]


class Progress:
    """How far the rules have read in one run."""

    def __init__(self) -> None:
        self._graphs: set[str] = set()
        self._passes = 0
        self._steps = 0
        self._stats: dict[int, int] = {}
        """Step -> how many StepStats of it were looked at; only steps that may still get more are kept."""
        self._memory: dict[str, Any] = {}
        self._sizes = Sizes()
        self.counted: dict[tuple[str, str, int], Finding] = {}
        """The latest state of each finding."""
        self.told: dict[tuple[str, str, int], int] = {}
        """How often each was seen when it was last said."""
        self.fresh = True
        """Whether this is the first look: a run out of a file holds findings already."""

    def news(self, run: Run) -> News:
        """What is new, which counts as looked at from now on."""
        graphs = run.graphs
        new_graphs = [graph for graph_id, graph in graphs.items() if graph_id not in self._graphs]
        self._graphs.update(graphs)
        passes = run.passes[self._passes :]
        self._passes += len(passes)
        steps: Sequence[StepRecord] = run.step_records[self._steps :]
        self._steps += len(steps)
        captured = {one.step for one in passes if one.graph_id is not None}
        captured |= {step.step for step in steps if step.captured}
        stats: list[StepStats] = []
        for step in sorted(captured | {step for step in self._stats if step >= max(self._stats) - 1}):
            found = [record for record in run.records_at(step) if isinstance(record, StepStats)]
            stats += found[self._stats.get(step, 0) :]
            self._stats[step] = len(found)
        for step in sorted(self._stats)[:-4]:
            del self._stats[step]
        for one in stats:
            self._sizes.add(one, run.address_table)
        for done in steps:
            self._sizes.add_step(done)
        return News(run, new_graphs, passes, list(steps), stats, self._memory, self._sizes)
