"""A run of many steps with a finding in its middle, made without training anything."""

from __future__ import annotations

import math

import numpy as np

from graphscope.run import Run
from graphscope.schema import (
    AddressTable,
    DropoutStats,
    Finding,
    Note,
    PassRecord,
    RunEnd,
    RunHeader,
    ScalarRecord,
    StepRecord,
    StepStats,
)  # fmt: skip
from tests.reports.made_graphs import chain

TENSORS = 24


def long_run(steps: int, every: int = 5, *, finding: int | None = None, secret: str = "") -> Run:
    """Loss falls from 2 with noise and one peak of 50; every n-th step is captured with histograms."""
    rng = np.random.default_rng(0)
    run, graph = Run(), chain(8)
    run.add(RunHeader(run_id="ab" * 8, name="Net-1", model="Net", created="2026-01-01T00:00:00+00:00"))
    run.add(graph.to_record())
    names = [f"fc{i % 8}" for i in range(TENSORS)]
    run.add(AddressTable(start=0, fqn=names, call=[i // 8 for i in range(TENSORS)], output=[0] * TENSORS))
    for step in range(steps):
        captured = step % every == 0
        if captured:
            run.add(PassRecord(step=step, pass_index=0, graph_id=graph.graph_id, training=True, grad_enabled=True))
            run.add(
                DropoutStats(
                    step=step, fqn="drop", call=0, p=0.5, dropped=0.5, nonzero=8, count=8, training=True,
                    drops="values", units=8,
                )
            )  # fmt: skip
            run.add(stats(step, rng))
        loss = 50.0 if step == steps // 3 else 2 * math.exp(-step / steps) + 0.1 * float(rng.random())
        run.add(
            StepRecord(
                step=step, captured=captured, passes=1, seconds=step * 0.01, step_seconds=0.01, self_seconds=1e-4,
                scalars={"loss": loss, "lr": 0.1 if step < steps // 2 else 0.01}, epoch=step // 100,
            )
        )  # fmt: skip
    run.add(ScalarRecord(step=steps - 1, scalars={"test_accuracy": 0.9}))
    if finding is not None:
        for last in (finding, finding + every):
            run.add(
                Finding(
                    rule="nonfinite", severity="error", title="NaN begins here", message=f"NaN in fc1 {secret}",
                    advice="a", why="w", fqn="fc1", step=finding, last_step=last, file=f"{secret}/net.py", line=3,
                )
            )  # fmt: skip
    run.add(Note(severity="info", text=f"Nothing was lost {secret}"))
    run.add(RunEnd(steps=steps, records=0))
    return run


def stats(step: int, rng: np.random.Generator) -> StepStats:
    """One row a tensor, all of different numbers."""
    n = TENSORS
    moments = {name: np.abs(rng.normal(size=n)) for name in ("mean", "std", "min", "max", "absmax", "l2")}
    zero = np.zeros(n, np.int64)
    return StepStats(
        step=step, pass_index=0, address=np.arange(n), role=zero, flags=zero, dtype=zero, ndim=zero + 1,
        sizes=zero + 64, count=zero + 64, zeros=zero, nan=zero, pos_inf=zero, neg_inf=zero, histogram_row=np.arange(n),
        histogram=rng.poisson(3, (n, 128)), dtypes=["float32"], **moments,
    )  # fmt: skip
