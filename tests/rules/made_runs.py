"""Runs written by hand: a graph, steps and statistics as a recorder would add them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphscope.graph import Graph
from graphscope.run import Run
from graphscope.schema import (
    ROLES,
    AddressTable,
    PassRecord,
    RunHeader,
    StepRecord,
    StepStats,
)  # fmt: skip


class RunMaker:
    """Adds steps to a Run; addresses get their numbers as they come."""

    def __init__(self, graph: Graph | None = None) -> None:
        self.run = Run()
        self.graph = graph
        self.numbers: dict[tuple[str, int, int], int] = {}
        self.run.add(RunHeader(run_id="0" * 16, name="Net-1", model="Net", created="2026-01-01T00:00:00+00:00"))
        if graph is not None:
            self.run.add(graph.to_record())

    def number(self, fqn: str, call: int = 0, output: int = 0) -> int:
        key = (fqn, call, output)
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.run.add(AddressTable(start=self.numbers[key], fqn=[fqn], call=[call], output=[output]))
        return self.numbers[key]

    def passed(self, step: int = 0, **facts: Any) -> None:
        """One captured pass of the graph, unless said otherwise."""
        graph_id = self.graph.graph_id if self.graph is not None else None
        given = {"graph_id": graph_id, "training": True, "grad_enabled": True, "pass_index": 0, **facts}
        self.run.add(PassRecord(step=step, **given))

    def stats(
        self, step: int, *rows: tuple[str, str] | tuple[str, str, dict[str, Any]], dtype: str = "float32"
    ) -> None:
        """Rows are (fqn or "fqn#call", role, counts that are not zero and moments that are not 0.5)."""
        columns: dict[str, list[Any]] = {name: [] for name in ("address", "role", "nan", "pos_inf", "neg_inf", "zeros")}
        for fqn, role, *more in rows:
            name, _, call = fqn.partition("#")
            columns["address"].append(self.number(name, int(call or 0)))
            columns["role"].append(ROLES.index(role))
            counts = more[0] if more else {}
            for kind in ("nan", "pos_inf", "neg_inf", "zeros"):
                columns[kind].append(counts.get(kind, 0))
        n = len(rows)
        moments = {
            name: np.array([(row[2].get(name, 0.5) if len(row) > 2 else 0.5) for row in rows], np.float64)
            for name in ("mean", "std", "min", "max", "absmax", "l2")
        }
        self.run.add(
            StepStats(
                step=step, pass_index=0, flags=[0] * n, dtype=[0] * n, ndim=[1] * n, sizes=[64] * n, count=[64] * n,
                histogram_row=[], histogram=np.zeros((0, 128), np.uint32), dtypes=[dtype],
                **moments, **columns,
            )
        )  # fmt: skip

    def step(self, step: int, loss: float = math.nan, **facts: Any) -> None:
        """One optimizer step; without a loss none is known."""
        given = {
            "captured": False,
            "passes": 1,
            "seconds": float(step),
            "step_seconds": 1.0,
            "self_seconds": 0.0,
            **facts,
        }
        scalars = given.pop("scalars", {} if "loss" not in facts and math.isnan(loss) else {"loss": loss})
        self.run.add(StepRecord(step=step, scalars=scalars, **given))

    def nan_loss(self, step: int) -> None:
        """A step whose loss is NaN."""
        self.step(step, scalars={"loss": math.nan})
