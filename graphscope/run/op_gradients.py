"""OpGradients records -> the gradient that flowed through each op, by step and by op."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphscope.errors import NoSuchStep, UnknownName, did_you_mean
from graphscope.graph import OpNode
from graphscope.run.filed import FiledRecords, StepIndex
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

    def __init__(self, filed: FiledRecords) -> None:
        self._filed = filed
        self._index = StepIndex()
        self._graphs: dict[str, int] = {}

    def add(self, record: OpGradients, number: int) -> None:
        """Takes one in, which is ``number`` of the filed records."""
        self._index.put(record.step, self._graphs.setdefault(record.graph_id, len(self._graphs)), number)

    def of(self, step: int) -> list[OpGradients]:
        """The record of a step, if there is one."""
        found = self._index.find(step)
        return [] if found is None else [self._filed[self._index.numbers[found]]]

    def at(self, step: int | None) -> OpGradients:
        """Of a step; of the last one without a step. Raises NoSuchStep."""
        steps = self._index.steps
        if not steps:
            raise NoSuchStep(f"run.op_gradients({step}): this run recorded no gradient of an op.")
        found = self._index.find(steps[-1] if step is None else step)
        if found is None:
            where = f"gradients of ops were recorded at {listed(steps)}{nearest(step or 0, steps)}"
            raise NoSuchStep(f"run.op_gradients({step}): {where}.")
        record: OpGradients = self._filed[self._index.numbers[found]]
        return record

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
        graph = self._graphs.get(graph_id)
        places = [at for at, tag in enumerate(self._index.tags) if tag == graph]
        values = np.full(len(places), np.nan)
        for at, place in enumerate(places):
            record = self._filed[self._index.numbers[place]]
            rows = np.flatnonzero((record.node == number) & (record.output == output))
            if len(rows):
                values[at] = as_table(record, rows)[stat][0]
        return np.array(self._index.steps, np.int64)[places], values


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
