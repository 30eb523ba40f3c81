"""activation-on-logits: a sigmoid, tanh or ReLU squeezes the outputs in front of a loss that wants them raw.

Why it matters: cross_entropy and binary_cross_entropy_with_logits contain their own softmax or sigmoid. A sigmoid in
front of them bounds the loss from below (0.3133 for a positive, 0.6931 for a negative of the binary one), a tanh bounds
it too, and a ReLU gives no gradient to classes whose logit is negative.
When it is fine: a sigmoid in front of binary_cross_entropy (without logits) is right and not accused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import at, named, plain_targets, type_of
from graphscope.rules.news import News
from graphscope.schema import Finding

LOSSES = ("cross_entropy", "binary_cross_entropy_with_logits")
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hardsigmoid": (0.0, 1.0), "hardtanh": (-1.0, 1.0)}
"""Activations with bounds on both sides."""
CLASSES = {
    "relu": "ReLU", "relu6": "ReLU6", "sigmoid": "Sigmoid", "tanh": "Tanh", "hardsigmoid": "Hardsigmoid",
    "hardtanh": "Hardtanh",
}  # fmt: skip
"""Op -> how its module is written."""


def activation_on_logits(news: News) -> Iterator[Finding]:
    """Activation -> (views) -> a loss that takes logits, in every new graph."""
    for graph in news.graphs:
        flow = news.flow(graph)
        for loss in flow.ops(*LOSSES):
            node, _ = flow.source_of_data(loss)
            if node is not None and (node.op in RANGES or node.op in ("relu", "relu6")):
                yield _finding(news, graph, loss, node)


def _finding(news: News, graph: Graph, loss: OpNode, node: OpNode) -> Finding:
    floor = _floor(loss, node) if plain_targets(news.flow(graph), loss) else None
    name = node.fqn.rpartition(".")[2]
    is_module = type_of(graph, node.fqn).lower() == node.op and not name.isdigit()
    if floor is not None:
        harm = f"the loss cannot fall below {floor[0]:.4f}{floor[1]}, where 0 is the best it should reach"
    elif node.op in RANGES:
        low, high = RANGES[node.op]
        harm = f"outputs stay between {low:g} and {high:g}, so the loss cannot fall as low as it should"
    else:
        harm = "outputs below 0 become 0 and get no gradient"
    return news.finding(
        graph,
        node,
        rule="activation-on-logits",
        severity="error" if "sigmoid" in node.op else "warning",
        title=f"{CLASSES.get(node.op, node.op)} in front of a loss on logits",
        message=f"{named(node)}{at(node)} feeds {loss.op}{at(loss)}, which wants raw outputs (logits): {harm}.",
        advice=f"Leave the {node.op} out of the forward"
        + (", or use binary_cross_entropy, which wants probabilities." if "binary" in loss.op else "."),
        why=f"{loss.op} contains its own {'sigmoid' if 'binary' in loss.op else 'softmax'}. An activation in front of "
        "it bounds what the model can say. A sigmoid before binary_cross_entropy, without logits, would be right.",
        value=floor[0] if floor is not None else None,
        fix=f"- x = self.{name}(x)" if is_module else f"- return torch.{node.op}(x)\n+ return x",
    )


def _floor(loss: OpNode, node: OpNode) -> tuple[float, str] | None:
    """Lowest loss that outputs in these bounds can reach, and for what."""
    if node.op not in RANGES:
        return None
    low, high = RANGES[node.op]
    if "binary" in loss.op:
        return math.log1p(math.exp(-high)), f" for a positive and {math.log1p(math.exp(low)):.4f} for a negative"
    shape = loss.inputs[0].shape
    classes = (shape[1] if len(shape) > 1 else shape[0]) if shape else 0
    return (math.log1p((classes - 1) * math.exp(low - high)), f" with {classes} classes") if classes else None
