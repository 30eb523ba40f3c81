"""bias-before-norm: a Linear or convolution with a bias directly in front of a BatchNorm.

Why it matters: BatchNorm subtracts the mean of each channel, and the bias with it; its gradient is zero but for
rounding. The parameters are stored, updated and decayed for nothing.
When it is fine: it does no harm. Layers whose output goes elsewhere too are not accused, nor biases that are frozen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphscope.graph import Graph, OpNode, ParameterInfo
from graphscope.rules.flow import Flow, at, type_of
from graphscope.rules.news import News
from graphscope.schema import Finding


def bias_before_norm(news: News) -> Iterator[Finding]:
    """One finding a graph, at the first such layer, with the number of them all."""
    for graph in news.graphs:
        found = _biased_layers(graph, news.flow(graph))
        if not found:
            continue
        first = found[0]
        sizes = {name: parameter.count for name, parameter in _parameters(graph).items()}
        wasted = sum(sizes.get(_bias(node) or "", 0) for node in found)
        others = f", and so in {len(found) - 1} more" if len(found) > 1 else ""
        kind = type_of(graph, first.fqn) or "Conv2d"
        yield news.finding(
            graph,
            first,
            rule="bias-before-norm",
            severity="info",
            title="Bias in front of BatchNorm",
            message=f"The bias of {first.fqn or first.op}{at(first)} has no effect: the BatchNorm behind it subtracts "
            f"it again{others}. Together {wasted:,} parameters are trained for nothing.",
            advice="Create the layer with bias=False.",
            why="BatchNorm subtracts the mean of each channel, so the bias never reaches its output and its gradient "
            "is zero but for rounding. It does no harm beyond memory and time.",
            value=float(wasted),
            fix=f"- nn.{kind}(...)\n+ nn.{kind}(..., bias=False)",
        )


def _biased_layers(graph: Graph, flow: Flow) -> list[OpNode]:
    found: list[OpNode] = []
    parameters = _parameters(graph)
    for norm in flow.ops("batch_norm"):
        if norm.attrs.get("training") is False or not norm.inputs:
            continue  # running averages are fixed numbers: the bias does reach the output
        value = norm.inputs[0]
        node = flow.maker.get(value.id)
        bias = _bias(node) if node is not None else None
        if node is None or node.op not in ("linear", "conv1d", "conv2d", "conv3d") or bias is None:
            continue
        if bias in parameters and not parameters[bias].requires_grad:
            continue  # frozen: it is not trained at all, and a pretrained layer has to keep it
        same_channels = math.prod(value.shape) > 0 and len(flow.readers.get(value.id, [])) == 1
        if same_channels and node.fqn not in {other.fqn for other in found}:
            found.append(node)
    return found


def _parameters(graph: Graph) -> dict[str, ParameterInfo]:
    return {parameter.name: parameter for module in graph.modules for parameter in module.parameters}


def _bias(node: OpNode) -> str | None:
    return next((name for name in node.params if name.rpartition(".")[2] == "bias"), None)
