"""vanishing-gradient: gradients shrink from layer to layer on the way back, to a thousandth or less.

Why it matters: the first layers hardly learn while the last ones do. Sigmoid and tanh multiply a gradient by their
slope (a sigmoid's is at most 1/4), and many plain layers in a row with small weights do the same.
When it is fine: layers that are trained with a rate of their own. Only a steady fall over the layers is accused, not a
single layer with small gradients; embeddings and normalisations are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from graphscope.graph import Graph
from graphscope.rules.news import News
from graphscope.schema import ROLES, Finding, StepStats

LIMIT = 1e-3
"""First layers over last layers. AUTOTRAINER's limit; healthy trainings lie between 0.07 and 5."""
FLOOR = 1e-4
"""And this small in themselves, which AUTOTRAINER asks for too."""
WINDOW = 20
"""Recorded steps of which the middle value counts."""
LAYERS = 5
"""Weight matrices that a model must have at least: with fewer, depth says nothing."""
STEADY = 0.8
"""Correlation of a gradient's logarithm with depth from which on it is a fall with depth, not of a single layer."""
NO_MATRICES = frozenset({"embedding", "embedding_bag", "layer_norm", "batch_norm", "group_norm", "instance_norm"})
"""Ops whose weights are no matrices, or get gradients in a few rows only."""


def vanishing_gradient(news: News) -> Iterator[Finding]:
    """One sight for every recorded step at which the middle of the last twenty ratios is that small."""
    window: deque[float] = news.memory.setdefault("vanishing-gradient", deque(maxlen=WINDOW))
    for stats in news.stats:
        graph = news.graph_at(stats.step)
        sizes = _sizes(news, graph, stats) if graph is not None else {}
        if graph is None or len(sizes) < LAYERS:
            continue
        logs = np.log10(np.maximum(np.array(list(sizes.values())), 1e-45))
        third = len(logs) // 3
        first, last = 10 ** np.median(logs[:third]), 10 ** np.median(logs[-third:])
        window.append(float(first / last))
        ratio = float(np.median(np.array(window)))
        if len(window) < WINDOW or ratio >= LIMIT or first >= FLOOR or not logs.std():
            continue
        if np.corrcoef(np.arange(len(logs)), logs)[0, 1] >= STEADY:
            yield _finding(graph, stats.step, next(iter(sizes)), ratio, float(first), float(last))


def _finding(graph: Graph, step: int, name: str, ratio: float, first: float, last: float) -> Finding:
    return Finding(
        rule="vanishing-gradient",
        severity="warning",
        title="Gradients vanish towards the first layers",
        message=f"At step {step:,} gradients of the first layers (from {name} on) have a root mean square of "
        f"{first:.1e}, those of the last ones {last:.1e}; the middle ratio of the last {WINDOW} recorded steps is "
        f"{ratio:.1e} (limit {LIMIT:g}).",
        advice="Use ReLU or GELU in place of sigmoid or tanh, normalise between layers (BatchNorm, LayerNorm), add "
        "residual connections, and initialise for the activation (kaiming_normal_ for ReLU).",
        why="The first layers hardly learn while the last ones do. Each layer multiplies the gradient on its way back; "
        "a sigmoid by 1/4 at most.",
        fqn=name.rpartition(".")[0],
        graph_id=graph.graph_id,
        step=step,
        value=ratio,
        limit=LIMIT,
    )


def _sizes(news: News, graph: Graph, stats: StepStats) -> dict[str, float]:
    """Weight matrix -> root mean square of its gradient, in the order in which they are first read."""
    rows = np.flatnonzero(stats.role == ROLES.index("parameter_gradient")).tolist()
    row_of = {news.address(int(stats.address[row])).fqn: row for row in rows if stats.ndim[row] >= 2}
    if len(row_of) < LAYERS:
        return {}
    found: dict[str, float] = {}
    for node in graph.nodes:
        for name in node.params:
            row = row_of.get(name)
            if row is None or name in found or node.op in NO_MATRICES or not stats.count[row]:
                continue
            size = float(stats.l2[row]) / float(stats.count[row]) ** 0.5
            if np.isfinite(size):
                found[name] = size
    return found
