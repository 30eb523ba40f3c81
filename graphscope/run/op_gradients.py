"""OpGradients records -> the gradient that flowed through each op, by step and by op."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphscope.errors import NoSuchStep, UnknownName, did_you_mean
from graphscope.graph import OpNode
from graphscope.run.words import listed, nearest
from graphscope.schema import NOT_MEASURED, STATISTICS, OpGradients

MOMENTS = ("mean", "std", "min", "max", "absmax", "l2")
OP_GRADIENT = np.dtype(
    [(name, np.int64) for name in ("node", "output", "count")]
    + [(name, np.float64) for name in (*MOMENTS, "zeros", "nan", "inf", "zero_share")]
)
"""One output of one op: ``node`` is the number of an op of the graph, ``output`` which of its outputs."""


class OpGradientIndex:
    """All OpGradients of a run; a step with several passes shows the last."""

    def __init__(self) -> None:
        self._by_step: dict[int, OpGradients] = {}

    def add(self, record: OpGradients) -> None:
        """Takes one in."""
        self._by_step[record.step] = record

    def of(self, step: int) -> list[OpGradients]:
        """The record of a step, if there is one."""
        return [self._by_step[step]] if step in self._by_step else []

    def at(self, step: int | None) -> OpGradients:
        """Of a step; of the last one without a step. Raises NoSuchStep."""
        steps = sorted(self._by_step)
        if not steps:
            raise NoSuchStep(f"run.op_gradients({step}): this run recorded no gradient of an op.")
        found = self._by_step.get(steps[-1] if step is None else step)
        if found is None:
            where = f"gradients of ops were recorded at {listed(steps)}{nearest(step or 0, steps)}"
            raise NoSuchStep(f"run.op_gradients({step}): {where}.")
        return found

    def series(
        self, node: int | OpNode, stat: str, output: int, graph_id: str
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Steps of one graph, rising, and a statistic of one op there; NaN where it got no gradient."""
        if stat not in STATISTICS:
            raise UnknownName(
                f"run.op_gradient_series({stat!r:.60}): no statistic is called that. Recorded: {', '.join(STATISTICS)}."
                + did_you_mean(str(stat), STATISTICS)
            )
        number = node.id if isinstance(node, OpNode) else node
        steps = [step for step in sorted(self._by_step) if self._by_step[step].graph_id == graph_id]
        values = np.full(len(steps), np.nan)
        for at, step in enumerate(steps):
            record = self._by_step[step]
            rows = np.flatnonzero((record.node == number) & (record.output == output))
            if len(rows):
                values[at] = as_table(record, rows)[stat][0]
        return np.array(steps, np.int64), values


def as_table(record: OpGradients, rows: Sequence[int] | npt.NDArray[np.intp] | slice = slice(None)) -> np.ndarray:
    """Rows as one structured array of OP_GRADIENT; what was not measured is NaN."""
    table = np.zeros(len(record.node[rows]), OP_GRADIENT)
    for name in ("node", "output", "count"):
        table[name] = getattr(record, name)[rows]
    for name in (*MOMENTS, "zeros", "nan"):
        table[name] = getattr(record, name)[rows]
    table["inf"] = record.pos_inf[rows] + record.neg_inf[rows]
    table["zero_share"] = np.divide(
        table["zeros"], table["count"], out=np.full(len(table), np.nan), where=table["count"] > 0
    )
    for name in (*MOMENTS, "zeros", "nan", "inf", "zero_share"):
        table[name][record.flags[rows] & NOT_MEASURED != 0] = np.nan
    return table
