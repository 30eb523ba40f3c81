"""dead-relu: a ReLU whose outputs were almost all zero in each of the last twenty recorded steps.

Why it matters: no gradient passes a zero output, so its units cannot recover, and what comes before learns nothing.
When it is fine: a ReLU that gates on purpose, so that few units are ever open. One directly behind a Dropout, which
hands it zeros, is not accused, and neither is one that is zero for the most part: healthy convolutions reach two
thirds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphscope.graph import Graph, OpNode
from graphscope.rules.calls import CallOrder
from graphscope.rules.flow import at, named
from graphscope.rules.news import News
from graphscope.run import Address
from graphscope.schema import ROLES, Finding

IN_A_ROW = 20
"""Recorded steps in a row."""
LIMIT = 0.99
"""Share of zeros from which on it fires."""
FEWEST = 1000
"""Outputs that the steps must hold together: a few units of a few samples may all be closed by chance."""


def dead_relu(news: News) -> Iterator[Finding]:
    """One sight for every recorded step that ends twenty such steps in a row."""
    memory = news.memory.setdefault("dead-relu", {"row": {}, "relus": {}})
    for stats in news.stats:
        graph = news.graph_at(stats.step)
        if graph is None:
            continue
        if graph.graph_id not in memory["relus"]:
            memory["relus"][graph.graph_id] = _relus(news, graph)
        relus: dict[Address, OpNode] = memory["relus"][graph.graph_id]
        if not relus:
            continue
        for row in np.flatnonzero((stats.role == ROLES.index("activation")) & (stats.count > 0)).tolist():
            address = news.address(int(stats.address[row]))
            node = relus.get(address)
            if node is None:
                continue
            count = int(stats.count[row])
            share = int(stats.zeros[row]) / count
            steps, seen, first = memory["row"].get(address, (0, 0, stats.step))
            memory["row"][address] = steps, seen, first = (
                (steps + 1, seen + count, first) if share > LIMIT else (0, 0, stats.step + 1)
            )
            if steps >= IN_A_ROW and seen >= FEWEST:
                yield _finding(news, graph, node, share, first, stats.step)


def _finding(news: News, graph: Graph, node: OpNode, share: float, first: int, step: int) -> Finding:
    return news.finding(
        graph,
        node,
        rule="dead-relu",
        severity="warning",
        title="Dead ReLU",
        message=f"{share:.1%} of the outputs of {named(node)}{at(node)} were 0 at step {step:,}, and over {LIMIT:.0%} "
        f"in each of the last {IN_A_ROW} recorded steps (limit {LIMIT:.0%}).",
        advice="Look at what comes into it: a bias that became very negative after too large a step, or inputs that "
        "are not scaled. Lower the learning rate and start again; LeakyReLU or GELU let a gradient through where it is "
        "closed.",
        why="No gradient passes a zero output, so its units cannot recover, and the layers before them get none "
        "through it. Where most of a layer is closed on purpose, as behind a gate, it is fine.",
        step=first,
        last_step=step,
        value=share,
        limit=LIMIT,
        fix="- nn.ReLU()\n+ nn.LeakyReLU(0.01)",
    )


def _relus(news: News, graph: Graph) -> dict[Address, OpNode]:
    """The innermost call that gives out what a ReLU made -> that ReLU; not those that read a Dropout."""
    flow, order = news.flow(graph), CallOrder(graph)
    found: dict[Address, OpNode] = {}
    for node in flow.ops("relu", "relu6"):
        before, _ = flow.source_of_data(node)
        if before is not None and "dropout" in before.op:
            continue
        made = {value.id for value in node.outputs}
        calls = [call for call in graph.calls if len(call.outputs) == 1 and call.outputs[0].id in made]
        if calls:
            inner = max((Address(call.fqn, call.call) for call in calls), key=order.made)
            found[inner] = node
    return found
