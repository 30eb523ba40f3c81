"""Run -> the records that fit into a report, and in words what was left out.

The first and last steps and all that is near a finding stay as they were recorded. Elsewhere, of each stretch of steps
the one with the lowest, the highest and the most usual loss stay; statistics and histograms stay of evenly spread ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphscope.reports.words import count_text
from graphscope.run import Run
from graphscope.schema import (
    HISTOGRAM_BINS,
    BatchNormStats,
    DropoutStats,
    Finding,
    GraphRecord,
    OpGradients,
    PassRecord,
    RunRecord,
    ScalarRecord,
    StepRecord,
    StepStats,
)

NEAR = 16
"""Steps before and after a finding that stay as they are."""
NEAR_CAPTURED = 2
"""Captured steps before and after a finding of which statistics stay."""
MOMENTS = ("mean", "std", "min", "max", "absmax", "l2")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a run is kept."""

    steps: int = 5_000
    """Step records, and scalars and passes each."""
    statistics: int = 256
    """Captured steps with statistics."""
    histograms: int = 64
    """Captured steps with histograms."""
    digits: int | None = None
    """Binary digits of statistics; None: all 53."""
    graphs: int | None = None
    """Graphs, the newest ones; None: all."""


STAGES = (
    Limits(),
    Limits(digits=12),
    Limits(histograms=32, digits=12),
    Limits(statistics=128, histograms=16, digits=12),
    Limits(steps=2_500, statistics=64, histograms=8, digits=12),
    Limits(steps=1_200, statistics=24, histograms=4, digits=12, graphs=8),
    Limits(steps=600, statistics=8, histograms=2, digits=12, graphs=2),
    Limits(steps=300, statistics=2, histograms=1, digits=12, graphs=1),
)
"""From all that a page can show well to the least that is still worth opening; the first that fits is taken."""


def thinned(run: Run, limits: Limits, records: Iterable[RunRecord] | None = None) -> tuple[list[RunRecord], list[str]]:
    """Records in the order of the run, and one sentence for each kind of which some were left out.

    ``records`` is what an earlier, wider thinning of the same run kept; without it, all of the run are gone through.
    """
    findings = run.findings
    steps, captured = run.steps, run.captured_steps
    near = _near(findings, captured)
    with_stats = set(_chosen(captured, near, limits.statistics))
    with_histogram = set(_chosen(sorted(with_stats), near & with_stats, limits.histograms))
    kept_steps = _kept_steps(run, steps, findings, limits.steps - len(with_stats))
    if kept_steps is not None:
        kept_steps |= with_stats
    graph_ids = list(run.graphs)
    graphs = set(graph_ids if limits.graphs is None else graph_ids[-limits.graphs :])
    latest = {id(finding) for finding in findings}

    kept: list[RunRecord] = []
    for record in run.records(with_stats) if records is None else records:
        match record:
            case StepRecord() if kept_steps is not None and record.step not in kept_steps:
                continue
            case StepStats():
                if record.step not in with_stats:
                    continue
                if record.step not in with_histogram:
                    record = without_histograms(record)
                if limits.digits is not None:
                    record = rounded_stats(record, limits.digits)
            case BatchNormStats() | DropoutStats() | OpGradients() if record.step not in with_stats:
                continue
            case GraphRecord() if record.graph_id not in graphs:
                continue
            case Finding() if id(record) not in latest:
                continue
        kept.append(record)
    kept = _fewer(_fewer(kept, ScalarRecord, limits.steps), PassRecord, limits.steps)
    stayed = len(steps if kept_steps is None else kept_steps)
    words = [
        _said(stayed, len(steps), "steps", "; of each stretch those of lowest, usual and highest loss"),
        _said(
            len(with_stats), len(captured), "captured steps with their statistics", ", those near findings among them"
        ),
        _said(len(with_histogram), len(with_stats), "captured steps with histograms", ""),
        _said(len(graphs), len(graph_ids), "graphs", ", the newest"),
    ]
    if limits.digits is not None and with_stats:
        words.append(f"Statistics are rounded to {limits.digits} binary digits (about four decimal ones).")
    return kept, [text for text in words if text]


def _said(kept: int, of: int, what: str, which: str) -> str:
    return f"{count_text(kept)} of {count_text(of)} {what}{which}." if kept < of else ""


def _near(findings: Sequence[Finding], captured: Sequence[int]) -> set[int]:
    """Captured steps around the first and last sight of each finding."""
    steps = np.array(captured, np.int64)
    near: set[int] = set()
    for finding in findings:
        for step in (finding.step, finding.last_step):
            if step is not None and len(steps):
                at = int(np.searchsorted(steps, step))
                near.update(captured[max(0, at - NEAR_CAPTURED) : at + NEAR_CAPTURED + 1])
    return near


def _chosen(steps: Sequence[int], near: set[int], most: int) -> list[int]:
    """At most ``most`` steps: the last and the first, those that must stay as far as they fit, the others evenly."""
    if len(steps) <= most:
        return list(steps)
    must = sorted({steps[-1], steps[0]} | near)
    if len(must) >= most:
        ends = [steps[-1], steps[0]][:most]
        return sorted({*ends, *_evenly([s for s in must if s not in ends], most - len(ends))})
    others = [step for step in steps if step not in set(must)]
    return sorted({*must, *_evenly(others, most - len(must))})


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * most)] for i in range(most)]


def _kept_steps(run: Run, steps: Sequence[int], findings: Sequence[Finding], most: int) -> set[int] | None:
    """Steps whose StepRecords stay; None if all do."""
    if len(steps) <= most:
        return None
    numbers = np.array(steps, np.int64)
    keep = {steps[0], steps[-1]}
    for finding in findings:
        for step in (finding.step, finding.last_step):
            if step is not None:
                keep.update(numbers[np.abs(numbers - step) <= NEAR].tolist())
    names = run.scalar_names()
    if "lr" in names:
        at, rates = run.scalars("lr")
        changes = at[1:][rates[1:] != rates[:-1]].tolist()
        if len(changes) <= most // 10:  # a schedule that changes at every step shows itself anyway
            keep.update(changes)
    losses = np.full(len(numbers), math.nan)
    if "loss" in names:
        at, values = run.scalars("loss")
        losses[np.searchsorted(numbers, at)] = values
    # Three steps of each stretch; what is kept already comes out of the same number.
    stretches = max(1, (most - min(len(keep), most // 2)) // 3)
    for rows in np.array_split(np.arange(len(numbers)), stretches):
        keep.update(numbers[list(_typical(rows, losses[rows]))].tolist())
    return keep if len(keep) <= most else {steps[0], steps[-1], *_evenly(sorted(keep), most - 2)}


def _typical(rows: np.ndarray[Any, Any], losses: np.ndarray[Any, Any]) -> Iterator[int]:
    """Of one stretch the rows of the lowest, the highest and the loss nearest to the mean; a non-finite one as well."""
    finite = np.isfinite(losses)
    if not finite.any():
        yield int(rows[0])
        return
    known, values = rows[finite], losses[finite]
    yield int(known[values.argmin()])
    yield int(known[values.argmax()])
    yield int(known[np.abs(values - values.mean()).argmin()])
    if not finite.all():
        odd = rows[np.isinf(losses)]
        if len(odd):
            yield int(odd[0])


def _fewer(records: list[RunRecord], kind: type, most: int) -> list[RunRecord]:
    """Without some of the records of one kind, evenly chosen; the ends and what failed stay."""
    rows = [i for i, record in enumerate(records) if isinstance(record, kind)]
    if len(rows) <= most:
        return records
    failed = [i for i in rows if getattr(records[i], "error", None)]
    keep = {rows[0], rows[-1], *_evenly(failed, most // 2), *_evenly(rows, most // 2 - 2)}
    gone = set(rows) - keep
    return [record for i, record in enumerate(records) if i not in gone]


def without_histograms(stats: StepStats) -> StepStats:
    """The same without its histograms."""
    return replace(stats, histogram_row=np.zeros(0, np.uint32), histogram=np.zeros((0, HISTOGRAM_BINS), np.uint32))


def rounded_stats(stats: StepStats, digits: int) -> StepStats:
    """The same with moments of so many binary digits: what is zero behind them packs to nothing."""
    moments: dict[str, Any] = {name: round_binary(getattr(stats, name), digits) for name in MOMENTS}
    return replace(stats, **moments)


def round_binary(values: np.ndarray[Any, Any], digits: int) -> np.ndarray[Any, Any]:
    """float64 values -> the nearest ones with so many binary digits; NaN and infinities stay."""
    values = np.asarray(values, np.float64)
    fraction, exponent = np.frexp(values)
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = np.ldexp(np.round(np.ldexp(fraction, digits)), exponent - digits)
    return np.where(np.isfinite(rounded), rounded, values)  # rounding up must not make an infinity
