"""linear-without-nonlinearity: two linear layers follow each other with nothing but linear ops between them.

Why it matters: a linear map of a linear map is one linear map. The two layers can express no more than a single one.
When it is fine: a narrow layer in the middle (less than half of both sides) is a low-rank factor on purpose, and a
convolution with groups next to a 1×1 convolution is a separable one: neither is accused.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import VIEWS, Flow, at, named
from graphscope.rules.news import News
from graphscope.schema import Finding

LAYERS = ("linear", "conv1d", "conv2d", "conv3d")
LINEAR_OPS = VIEWS | {"batch_norm", "dropout", "dropout1d", "dropout2d", "avg_pool1d", "avg_pool2d",
                      "adaptive_avg_pool1d", "adaptive_avg_pool2d", "identity"}  # fmt: skip
"""Ops between two layers that keep the whole linear (BatchNorm and Dropout are, in evaluation)."""


def linear_without_nonlinearity(news: News) -> Iterator[Finding]:
    """Layer -> (linear ops, each read by one op only) -> layer, in every new graph."""
    for graph in news.graphs:
        flow = news.flow(graph)
        for second in flow.ops(*LAYERS):
            first = _layer_before(flow, second)
            if first is None or not _same_kind(first, second) or _on_purpose(graph, first, second):
                continue
            yield news.finding(
                graph,
                second,
                rule="linear-without-nonlinearity",
                severity="warning",
                title="Two linear layers without a nonlinearity",
                message=f"{named(first)}{at(first)} feeds {named(second)}{at(second)} with only linear ops between "
                "them: together they can express no more than one such layer.",
                advice="Put an activation such as ReLU between them, or leave one of them out.",
                why="A linear map of a linear map is one linear map. It is fine where the layer in the middle is "
                "narrow on purpose (a low-rank factor), or where convolutions are separable.",
                fix="- x = self.second(self.first(x))\n+ x = self.second(F.relu(self.first(x)))",
            )


def _layer_before(flow: Flow, layer: OpNode) -> OpNode | None:
    """The layer whose output reaches this one through linear ops alone and nothing else."""
    value = layer.inputs[0] if layer.inputs else None
    for _ in range(16):
        node = flow.maker.get(value.id) if value is not None else None
        if node is None or value is None or len(flow.readers.get(value.id, [])) != 1:
            return None
        if node.op in LAYERS:
            return node
        if node.op not in LINEAR_OPS or len(node.outputs) != 1 or not node.inputs:
            return None
        value = node.inputs[0]
    return None


def _same_kind(first: OpNode, second: OpNode) -> bool:
    return (first.op == "linear") == (second.op == "linear") and bool(first.params and second.params)


def _on_purpose(graph: Graph, first: OpNode, second: OpNode) -> bool:
    """A low-rank factor, or a separable convolution."""
    if any(node.attrs.get("groups", 1) != 1 for node in (first, second)):
        return True
    axis = -1 if first.op == "linear" else 1
    try:
        width_in, middle, width_out = (v.shape[axis] for v in (first.inputs[0], first.outputs[0], second.outputs[0]))
    except IndexError:
        return True
    # A depthwise convolution shows in its weight too: one input channel a filter.
    weights = [v.shape for v in first.inputs[1:2] + second.inputs[1:2]]
    if first.op != "linear" and any(len(w) > 1 and w[1] == 1 and first.inputs[0].shape[axis] > 1 for w in weights):
        return True
    return 2 * middle < min(width_in, width_out)
