"""softmax-before-cross-entropy: the loss applies log_softmax to probabilities that a softmax made.

Why it matters: cross_entropy takes logits and normalises them itself. Probabilities lie between 0 and 1, so the second
softmax can never make the right class more than e times as likely as a wrong one: the loss cannot fall below
ln(1 + (C - 1) / e) for C classes (1.4612 for ten), and gradients are up to ten times smaller.
When it is fine: never in training. A softmax that only shows probabilities belongs behind the loss, and log_softmax in
front of cross_entropy is harmless (applying it twice changes nothing).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import at, named, plain_targets, type_of
from graphscope.rules.news import News
from graphscope.schema import Finding


def softmax_before_cross_entropy(news: News) -> Iterator[Finding]:
    """Softmax -> (views) -> cross_entropy or log_softmax, in every new graph."""
    for graph in news.graphs:
        flow = news.flow(graph)
        told: set[int] = set()
        for node in (*flow.ops("cross_entropy"), *flow.ops("log_softmax")):
            softmax, viewed = flow.source_of_data(node)
            if softmax is None or softmax.op not in ("softmax", "softmax2d"):
                continue
            if softmax.id in told or (not viewed and not _same_dim(softmax, node)):
                continue
            told.add(softmax.id)
            classes = _classes(node)
            smoothing = node.attrs.get("label_smoothing") or (0.0 if plain_targets(flow, node) else None)
            floor = _floor(classes, smoothing) if classes and smoothing is not None else None
            yield news.finding(
                graph,
                softmax,
                rule="softmax-before-cross-entropy",
                severity="error",
                title="Softmax before cross-entropy",
                message=f"{named(softmax)}{at(softmax)} turns logits into probabilities, and {node.op}{at(node)} "
                f"normalises them again. {_bound(classes, smoothing, floor)}; "
                "gradients shrink as well.",
                advice="Give the loss the logits: leave the softmax out of the forward. Where probabilities are "
                "wanted, for a prediction, apply softmax to the output there.",
                why="cross_entropy takes logits and normalises them itself. Probabilities lie between 0 and 1, so the "
                "second softmax can make the right class at most e times as likely as a wrong one. It is never right "
                "in training; log_softmax before cross_entropy would be harmless.",
                value=floor,
                fix=_fix(graph, softmax),
            )


def _floor(classes: int, smoothing: float) -> float | None:
    """Lowest loss that probabilities, taken for logits, can reach: that of a sure and right answer.

    With label smoothing the target is 1 - s + s/C for the right class and s/C for each other. None where it is so
    strong that a less sure answer is the best one.
    """
    total = math.e + classes - 1
    if 1 - smoothing < (math.e - 1) / total:
        return None
    return math.log(total) - (1 - smoothing + smoothing / classes)


def _bound(classes: int | None, smoothing: float | None, floor: float | None) -> str:
    if floor is None or classes is None or smoothing is None:
        return "The right class can become at most e times as likely as a wrong one, so the loss stays too high"
    best = 0.0
    if smoothing:
        shares = [1 - smoothing + smoothing / classes] + [smoothing / classes] * (classes - 1)
        best = -sum(share * math.log(share) for share in shares)
    smoothed = f" and label smoothing of {smoothing:g}" if smoothing else ""
    return (
        f"With {classes} classes{smoothed} the loss cannot fall below {floor:.4f}, where {best:.4g} is the best it "
        "should reach"
    )


def _classes(node: OpNode) -> int | None:
    """Number of classes: the size of dimension 1 of the logits, or of their only one."""
    shape = node.inputs[0].shape if node.inputs else ()
    return (shape[1] if len(shape) > 1 else shape[0]) if shape else None


def _same_dim(softmax: OpNode, node: OpNode) -> bool:
    """Whether both normalise over the same dimension; True where one of them is unknown."""
    ndim = len(softmax.outputs[0].shape) if softmax.outputs else 0
    dim = softmax.attrs.get("dim")
    other = node.attrs.get("dim") if node.op == "log_softmax" else (1 if ndim > 1 else 0)
    if not isinstance(dim, int) or not isinstance(other, int) or not ndim:
        return True
    return dim % ndim == other % ndim


def _fix(graph: Graph, softmax: OpNode) -> str:
    if "Softmax" in type_of(graph, softmax.fqn):
        name = softmax.fqn.rpartition(".")[2]
        if name.isdigit():
            return f"-     nn.Softmax(dim={softmax.attrs.get('dim', 1)}),"
        return f"- x = self.{name}(x)"
    dim = softmax.attrs.get("dim", 1)
    if {value.id for value in softmax.inputs} & {value.id for value in graph.outputs}:
        return (
            f"- loss = F.cross_entropy(F.softmax(output, dim={dim}), target)\n+ loss = F.cross_entropy(output, target)"
        )
    return f"- return F.softmax(x, dim={dim})\n+ return x"
