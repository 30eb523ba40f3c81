"""A Graph -> who makes and who reads each value, and the way back through ops that change no value."""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.graph import Graph, OpNode, Value

VIEWS = frozenset(
    {
        "alias", "as_strided", "atleast_1d", "atleast_2d", "bfloat16", "broadcast_to", "chunk", "clone", "contiguous",
        "cpu", "cuda", "detach", "double", "expand", "flatten", "float", "getitem", "half", "index_select", "movedim",
        "narrow", "permute", "ravel", "reshape", "select", "slice", "split", "squeeze", "swapaxes", "t", "to",
        "transpose", "type", "type_as", "unbind", "unflatten", "unsafe_view", "unsqueeze", "view", "view_as",
    }
)  # fmt: skip
"""Ops that change no value: they rearrange, pick, copy or convert."""


class Flow:
    """Makers and readers of the values of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.maker: dict[int, OpNode] = {}
        self.readers: dict[int, list[OpNode]] = {}
        for node in graph.nodes:
            for value in node.outputs:
                self.maker.setdefault(value.id, node)
            for value in node.inputs:
                self.readers.setdefault(value.id, []).append(node)

    def source(self, value: Value | None) -> tuple[OpNode | None, bool]:
        """The op that computed a value, behind any views; and whether there were views."""
        seen: set[int] = set()
        viewed = False
        while value is not None and value.id not in seen:
            seen.add(value.id)
            node = self.maker.get(value.id)
            if node is None or node.op not in VIEWS or not node.inputs:
                return node, viewed
            value, viewed = node.inputs[0], True
        return None, viewed

    def source_of_data(self, node: OpNode) -> tuple[OpNode | None, bool]:
        """The op that computed what an op works on: its first input."""
        return self.source(node.inputs[0] if node.inputs else None)

    def ops(self, *names: str) -> Iterator[OpNode]:
        """Ops of these names, in order."""
        return (node for node in self.graph.nodes if node.op in names)


def plain_targets(flow: Flow, loss: OpNode) -> bool:
    """Whether a loss can reach 0, as with one class a sample: targets are neither smoothed nor shares, as far as seen.

    Behind a model, autograd keeps no targets; a smoothed cross_entropy shows there as a log_softmax beside it.
    """
    if loss.op == "log_softmax":
        readers = [reader.op for value in loss.outputs for reader in flow.readers.get(value.id, [])]
        return bool(readers) and all(op.startswith("nll_loss") for op in readers)
    if loss.attrs.get("label_smoothing"):
        return False
    target = loss.inputs[1] if len(loss.inputs) > 1 else None
    if loss.op == "cross_entropy" and target is not None and target.shape == loss.inputs[0].shape:
        return False  # a share for each class
    beside = flow.readers.get(loss.inputs[0].id, []) if loss.inputs else []
    return not any(node.op == "log_softmax" for node in beside)


def type_of(graph: Graph, fqn: str) -> str:
    """Class name of a module; empty if the graph does not have it."""
    module = graph.module(fqn)
    return module.type if module is not None else ""


def where(node: OpNode) -> tuple[str, int | None]:
    """File and line of an op for a Finding."""
    return node.source if node.source is not None else ("", None)


def at(node: OpNode) -> str:
    """`` (net.py:12)``, or nothing where the line is unknown."""
    file, line = where(node)
    name = file.replace("\\", "/").rpartition("/")[2]
    return f" ({name}:{line})" if name else ""


def named(node: OpNode) -> str:
    """How a person would call an op: its module's path, or the op itself."""
    if not node.fqn or node.fqn.rpartition(".")[2] == node.op:
        return node.fqn or node.op
    return f"{node.fqn} ({node.op})"
