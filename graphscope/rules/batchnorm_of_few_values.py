"""batchnorm-of-few-values: a BatchNorm in train mode normalises each channel with a handful of values.

Why it matters: with n values the mean of a batch is off by 1/√n standard deviations: 0.35 for eight, 0.71 for two. With
two values every output is +1 or -1, whatever went in. The running averages, used in evaluation, fit none of it.
When it is fine: a short last batch now and then is not accused, and neither are images, where all positions count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphscope.rules.flow import type_of
from graphscope.rules.news import News
from graphscope.schema import BatchNormStats, Finding

IN_A_ROW = 3
"""Recorded steps in a row."""
LIMIT = 8
"""Values a channel, below which it fires."""


def batchnorm_of_few_values(news: News) -> Iterator[Finding]:
    """One finding, at the first such layer, seen at every recorded step that ends three of them."""
    memory = news.memory.setdefault("batchnorm-of-few-values", {})
    for step in sorted({stats.step for stats in news.stats}):
        small: list[BatchNormStats] = []
        for one in news.run.records_at(step):
            if not isinstance(one, BatchNormStats):
                continue
            few = one.training and one.count < LIMIT
            memory[one.fqn] = memory.get(one.fqn, 0) + 1 if few else 0
            if memory[one.fqn] >= IN_A_ROW:
                small.append(one)
        if small:
            yield _finding(news, small, step)


def _finding(news: News, small: list[BatchNormStats], step: int) -> Finding:
    first = min(small, key=lambda one: one.count)
    graph = news.graph_at(step)
    kind = (type_of(graph, first.fqn) if graph is not None else "") or "BatchNorm"
    others = f", and so do {len(small) - 1} more" if len(small) > 1 else ""
    effect = (
        "every output is +1 or -1, whatever went in"
        if first.count == 2
        else f"the mean of a batch is off by {1 / math.sqrt(first.count):.2f} standard deviations"
    )
    return Finding(
        rule="batchnorm-of-few-values",
        severity="warning",
        title="BatchNorm of few values",
        message=f"{first.fqn or kind} normalises with {first.count:,} values a channel at step {step:,} (limit "
        f"{LIMIT}, {IN_A_ROW} recorded steps in a row){others}: {effect}.",
        advice="Train with larger batches, or use a normalisation that looks at one sample: LayerNorm or GroupNorm. "
        "Accumulating gradients does not help: each pass normalises by itself.",
        why="The statistics of a batch are an estimate with an error of 1/√n. In evaluation the running averages take "
        "their place, and fit the noisy ones badly.",
        fqn=first.fqn,
        call=first.call,
        graph_id=graph.graph_id if graph is not None else None,
        step=step,
        value=float(first.count),
        limit=float(LIMIT),
        fix=f"- nn.{kind}(...)\n+ nn.{'LayerNorm' if kind.endswith('1d') else 'GroupNorm'}(...)",
    )
