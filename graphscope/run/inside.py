"""AtenOps records -> what ran inside a module's call, op by op and in sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from graphscope.errors import NoSuchStep, UnknownAddress, did_you_mean
from graphscope.graph import OpNode
from graphscope.run.words import listed, nearest, shown
from graphscope.schema import AtenOps

Tensors = tuple[tuple[str, tuple[int, ...]], ...]
"""(dtype, shape) of each."""


class AtenOp(NamedTuple):
    """One aten op that ran."""

    name: str
    inputs: Tensors
    outputs: Tensors
    seconds: float
    node: int | None
    """``OpNode.id`` of the op of the graph that it ran in; None: in none of its own."""


class AtenCount(NamedTuple):
    """All ops of one name."""

    name: str
    times: int
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class Inside:
    """What ran inside one call of one module, in order."""

    record: AtenOps

    @property
    def ops(self) -> list[AtenOp]:
        """Every op that was recorded, in the order in which it ran."""
        return list(self._ops())

    def of_node(self, node: int | OpNode) -> list[AtenOp]:
        """Those that ran in one op of the graph."""
        number = node.id if isinstance(node, OpNode) else node
        return [op for op in self._ops() if op.node == number]

    def counts(self) -> list[AtenCount]:
        """How often each ran and how long in all, the longest first."""
        record = self.record
        times = np.bincount(record.name, minlength=len(record.names))
        seconds = np.bincount(record.name, weights=record.seconds, minlength=len(record.names))
        rows = [AtenCount(name, int(times[i]), float(seconds[i])) for i, name in enumerate(record.names)]
        return sorted(rows, key=lambda row: -row.seconds)

    def _ops(self) -> Iterator[AtenOp]:
        record = self.record
        ends = np.cumsum(record.ndim, dtype=np.int64).tolist()
        sizes = record.sizes.tolist()
        tensors = [
            (record.dtypes[code], tuple(sizes[end - n : end]))
            for code, n, end in zip(record.dtype.tolist(), record.ndim.tolist(), ends, strict=True)
        ]
        at = 0
        for i, name in enumerate(record.name.tolist()):
            middle = at + int(record.inputs[i])
            end = middle + int(record.outputs[i])
            node = int(record.node[i])
            inputs, outputs = tuple(tensors[at:middle]), tuple(tensors[middle:end])
            yield AtenOp(record.names[name], inputs, outputs, float(record.seconds[i]), None if node < 0 else node)
            at = end

    def __repr__(self) -> str:
        record = self.record
        more = f", {record.left_out:,} more left out" if record.left_out else ""
        return (
            f"Inside({record.fqn or '(root)'} call {record.call} at step {record.step}: {len(record.name)} ops{more})"
        )


class InsideIndex:
    """All AtenOps of a run."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, int], dict[int, AtenOps]] = {}

    def add(self, record: AtenOps) -> None:
        """Takes one in; a later pass of the same step replaces it."""
        self._calls.setdefault((record.fqn, record.call), {})[record.step] = record

    @property
    def calls(self) -> list[tuple[str, int]]:
        """(fqn, call) of what was looked into."""
        return list(self._calls)

    def at(self, fqn: str, call: int, step: int | None) -> Inside:
        """Of a step; of the last one without a step. Raises UnknownAddress, NoSuchStep."""
        asked = f"run.inside({shown(fqn)}, {call}{'' if step is None else f', {step}'})"
        steps = self._calls.get((fqn, call))
        if not steps:
            known = [name if not n else f"{name} call {n}" for name, n in self._calls]
            raise UnknownAddress(
                f"{asked}: nobody looked into that call. Looked into: {listed(known) or 'none'}. "
                f"session.look_inside(fqn) asks for it.{did_you_mean(str(fqn), [name for name, _ in self._calls])}"
            )
        found = steps.get(max(steps) if step is None else step)
        if found is None:
            at = sorted(steps)
            raise NoSuchStep(f"{asked}: it was looked into at {listed(at)}{nearest(step or 0, at)}.")
        return Inside(found)
