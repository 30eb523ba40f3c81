"""A drawn graph <-> a Graph: the text above each model of the zoo is what its graph is compared with.

One line a chain, ops in the order in which they run::

    q, k, v = x -> norm:layer_norm -> qkv:linear -> chunk
    q -> matmul(k) -> softmax -> matmul(v) -> relu#1:relu! -> out

``fqn#call:op`` is an op in a module call (no fqn: the root itself, no call: the first), ``!`` wrote into its input,
``?`` is opaque, ``(names)`` is what it reads beside the value before the arrow. ``a, b = ...`` names the outputs of the
last op, ``... -> out`` returns its value, ``out = a, b`` returns several. ``*w`` is a parameter; parameters are
compared only for ops that draw one. A chain may begin with an op that reads nothing: ``-> zeros``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphscope.graph import Graph, OpNode

OP = re.compile(r"^(?:(?P<fqn>[\w.]+)(?:#(?P<call>\d+))?:)?(?P<op>[\w.]+)(?P<flags>[!?]*)(?:\((?P<reads>[^)]*)\))?$")


@dataclass
class Drawn:
    """One op as drawn."""

    fqn: str
    call: int
    op: str
    inplace: bool
    opaque: bool
    reads: frozenset[str]

    def __str__(self) -> str:
        place = f"{self.fqn}#{self.call}:" if self.fqn else ""
        flags = "!" * self.inplace + "?" * self.opaque
        return f"{place}{self.op}{flags}({', '.join(sorted(self.reads))})"


def parsed(text: str) -> tuple[list[Drawn], list[str]]:
    """A drawing -> its ops and what it returns; values are called ``op3`` (or ``op3.1``), inputs by their names."""
    ops: list[Drawn] = []
    names: dict[str, str] = {}
    out: list[str] = []

    def value(name: str) -> str:
        return names.get(name.strip(), name.strip())

    for line in text.strip().splitlines():
        line = line.strip()
        if not line or line.startswith("--"):  # a remark
            continue
        left, _, right = line.rpartition(" = ")
        if left == "out":
            out = [value(name) for name in right.split(",")]
            continue
        source, *steps = [part.strip() for part in right.split("->")]
        current = [value(name) for name in source.split(",")] if source else []
        for step in steps:
            if step == "out":
                out = current
                break
            match = OP.match(step)
            assert match, f"cannot read {step!r} in {line!r}"
            more = [value(name) for name in (match["reads"] or "").split(",") if name.strip()]
            flags = match["flags"]
            ops.append(
                Drawn(match["fqn"] or "", int(match["call"] or 0), match["op"], "!" in flags, "?" in flags,
                      frozenset(current + more))
            )  # fmt: skip
            current = [f"op{len(ops) - 1}"]
        if left:
            made = [name.strip() for name in left.split(",")]
            last = current[0]
            names.update({name: last if len(made) == 1 else f"{last}.{i}" for i, name in enumerate(made)})
    return ops, out


def held(graph: Graph, text: str, *, with_loss: bool = False) -> None:
    """Asserts that the graph is the drawn one; ``with_loss``: further ops at its end are let be."""
    want, out = parsed(text)
    multiple = {name.rpartition(".")[0] for d in want for name in d.reads if re.match(r"op\d+\.\d+$", name)}
    multiple |= {name.rpartition(".")[0] for name in out if "." in name}
    names = {value.id: value.name for value in graph.inputs}
    for number, node in enumerate(graph.nodes):
        for i, value in enumerate(node.outputs):
            names[value.id] = f"op{number}.{i}" if f"op{number}" in multiple else f"op{number}"
    got = [_as_drawn(node, want[i] if i < len(want) else None, names) for i, node in enumerate(graph.nodes)]
    shown, drawn = [str(d) for d in (got[: len(want)] if with_loss else got)], [str(d) for d in want]
    assert shown == drawn, "\n" + "\n".join(
        f"{'  ' if i < min(len(shown), len(drawn)) and shown[i] == drawn[i] else '! '}{i:3} "
        f"{drawn[i] if i < len(drawn) else '-':60} {shown[i] if i < len(shown) else '-'}"
        for i in range(max(len(shown), len(drawn)))
    )
    if out:
        assert [names.get(value.id, f"{value.kind} {value.name}") for value in graph.outputs] == out


def _as_drawn(node: OpNode, want: Drawn | None, names: dict[int, str]) -> Drawn:
    draws_parameters = want is not None and any(name.startswith("*") for name in want.reads)
    reads = set()
    for value in node.inputs:
        if value.id in names:
            reads.add(names[value.id])
        elif value.kind == "parameter" and draws_parameters:
            reads.add(f"*{value.name}")
        elif value.kind in ("buffer", "constant") and want is not None and value.kind in want.reads:
            reads.add(value.kind)
    return Drawn(node.fqn, node.call, node.op, node.inplace, node.opaque is not None, frozenset(reads))
