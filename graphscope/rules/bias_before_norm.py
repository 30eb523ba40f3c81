"""bias-before-norm: a Linear or convolution with a bias directly in front of a BatchNorm.

Why it matters: BatchNorm subtracts the mean of each channel, and the bias with it; its gradient is zero but for
rounding. The parameters are stored, updated and decayed for nothing.
When it is fine: it does no harm. Layers whose output goes elsewhere too are not accused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import Flow, at, type_of, where
from graphscope.rules.news import News
from graphscope.schema import Finding

STRUCTURAL = True


def bias_before_norm(news: News) -> Iterator[Finding]:
    """One finding a graph, at the first such layer, with the number of them all."""
    for graph in news.graphs:
        found = _biased_layers(graph, news.flow(graph))
        if not found:
            continue
        first = found[0]
        sizes = {p.name: p.count for module in graph.modules for p in module.parameters}
        wasted = sum(sizes.get(_bias(node) or "", 0) for node in found)
        others = f", and so in {len(found) - 1} more" if len(found) > 1 else ""
        file, line = where(first)
        kind = type_of(graph, first.fqn) or "Conv2d"
        yield Finding(
            rule="bias-before-norm",
            severity="info",
            title="Bias in front of BatchNorm",
            message=f"The bias of {first.fqn or first.op}{at(first)} has no effect: the BatchNorm behind it subtracts "
            f"it again{others}. Together {wasted:,} parameters are trained for nothing (limit 0).",
            advice="Create the layer with bias=False.",
            why="BatchNorm subtracts the mean of each channel, so the bias never reaches its output and its gradient "
            "is zero but for rounding. It does no harm beyond memory and time.",
            fqn=first.fqn,
            call=first.call,
            node=first.id,
            graph_id=graph.graph_id,
            step=news.first_step(graph),
            value=float(wasted),
            limit=0.0,
            file=file,
            line=line,
            fix=f"- nn.{kind}(...)\n+ nn.{kind}(..., bias=False)",
        )


def _biased_layers(graph: Graph, flow: Flow) -> list[OpNode]:
    found: list[OpNode] = []
    for norm in flow.ops("batch_norm"):
        if norm.attrs.get("training") is False or not norm.inputs:
            continue  # running averages are fixed numbers: the bias does reach the output
        value = norm.inputs[0]
        node = flow.maker.get(value.id)
        if node is None or node.op not in ("linear", "conv1d", "conv2d", "conv3d") or _bias(node) is None:
            continue
        same_channels = math.prod(value.shape) > 0 and len(flow.readers.get(value.id, [])) == 1
        if same_channels and node.fqn not in {other.fqn for other in found}:
            found.append(node)
    return found


def _bias(node: OpNode) -> str | None:
    return next((name for name in node.params if name.rpartition(".")[2] == "bias"), None)
