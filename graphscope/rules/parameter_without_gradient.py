"""parameter-without-gradient: parameters that the optimizer updates never got a gradient, while others did.

Why it matters: the optimizer skips them without a word, so a part of the model stays as it was initialised.
When it is fine: parts that are trained later, or used now and then, such as the experts of a mixture. Parameters with
requires_grad=False are not accused, and neither is a parameter that ever had a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphscope.graph import Graph, OpNode
from graphscope.rules.flow import Flow, at, named
from graphscope.rules.news import News
from graphscope.schema import ROLES, Finding

STEPS = 5
"""Recorded steps without a gradient, and never one before, from which on it fires."""
SHOWN = 3
"""Parameters named in the message."""


def parameter_without_gradient(news: News) -> Iterator[Finding]:
    """Those that are read but cut off from the loss, and those that no op reads; one sight of each a recorded step."""
    memory = news.memory.setdefault("parameter-without-gradient", {"without": {}, "had": set()})
    counts: dict[int, int] = memory["without"]  # by the number of its address, as a row has it
    for stats in news.stats:
        having, own = (
            set(stats.address[stats.role == ROLES.index(role)].tolist()) for role in ("parameter_gradient", "parameter")
        )
        if not having:
            continue  # the optimizer stepped without a backward, or gradients are not recorded
        memory["had"] |= having
        for number in own - memory["had"]:
            counts[number] = counts.get(number, 0) + 1
        without = {
            news.address(n).fqn: times for n, times in counts.items() if times >= STEPS and n not in memory["had"]
        }
        graph = news.graph_at(stats.step) if without else None
        if graph is None or not graph.nodes:
            continue
        trainable = [p.name for module in graph.modules for p in module.parameters if p.requires_grad and not p.tied_to]
        names = [name for name in trainable if name in without]
        if names:
            yield from _findings(news, graph, names, stats.step, without)


def _findings(news: News, graph: Graph, names: list[str], step: int, without: dict[str, int]) -> Iterator[Finding]:
    readers = {name: node for node in reversed(graph.nodes) for name in node.params}
    read = [name for name in names if name in readers]
    unread = [name for name in names if name not in readers]
    if read:
        node = readers[read[-1]]
        end = _cut(news.flow(graph), node)
        where = (
            f"the way to the loss ends at {named(end)}{at(end)}, whose output needs no gradient"
            if end is not None
            else f"what {named(node)}{at(node)} makes of it does not reach the loss"
        )
        yield _finding(
            news, graph, end or node, "warning", "Cut off from the loss", read, step, without[read[0]],
            f"used in the forward, but {where}",
            "Take out what cuts it: detach(), .data, .item(), numpy(), torch.no_grad(), or an op without a gradient "
            "such as argmax or round. If the part is to stay as it is, leave it out of the optimizer.",
            _owner(read[0]),
        )  # fmt: skip
    if unread:
        yield _finding(
            news, graph, None, "info", "Parameters that nothing uses", unread, step, without[unread[0]],
            "not read by any op of the forward",
            "Use them in the forward, or leave them out of the model and the optimizer.",
            _owner(unread[0]),
        )  # fmt: skip


def _finding(
    news: News, graph: Graph, node: OpNode | None, severity: str, title: str, names: list[str], step: int, steps: int,
    reason: str, advice: str, fqn: str,
) -> Finding:  # fmt: skip
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
    said: dict[str, Any] = {
        "rule": "parameter-without-gradient",
        "severity": severity,
        "title": title,
        "message": f"{len(names):,} parameter{'s' if len(names) > 1 else ''} of the optimizer had no gradient in any "
        f"of {steps:,} recorded steps up to {step:,} (limit {STEPS}): {shown}; {reason}.",
        "advice": advice,
        "why": "The optimizer skips a parameter without a gradient, so it stays as it was initialised. That is fine "
        "for parts that are trained later or used now and then.",
        "fqn": fqn,
        "call": 0,
        "step": step,
        "value": float(steps),
        "limit": float(STEPS),
    }
    return news.finding(graph, node, **said) if node is not None else Finding(graph_id=graph.graph_id, **said)


def _cut(flow: Flow, start: OpNode) -> OpNode | None:
    """The first op on the way from an op on that needs gradients and gives out only what does not."""
    todo, seen = [start], {start.id}
    while todo:
        node = todo.pop(0)
        if node.outputs and not any(value.requires_grad for value in node.outputs):
            return node
        for value in node.outputs:
            for reader in flow.readers.get(value.id, []):
                if reader.id not in seen:
                    seen.add(reader.id)
                    todo.append(reader)
    return None


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]
