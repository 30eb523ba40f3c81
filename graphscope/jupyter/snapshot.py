"""Run -> the records that a view opened just now needs, bounded whatever the length of the run.

Everything small goes in full or thinned evenly; statistics of captured steps are by far the largest part, so that only
as many steps of them go as fit; the page asks for the others when a person rests on them (``Look``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graphscope.run import Run
from graphscope.run.codec import encode
from graphscope.schema import RunRecord, ScalarRecord, StepRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a run is sent."""

    steps: int
    """Most step records."""
    captured: int
    """Most captured steps with their statistics."""
    statistics_bytes: int
    """Most bytes of statistics."""


WHOLE = Extent(steps=5_000, captured=256, statistics_bytes=8_000_000)
"""For the view."""
GLANCE = Extent(steps=240, captured=1, statistics_bytes=1_000_000)
"""For the sidebar: the last state and a loss line 104 pixels wide."""


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of them, evenly spread, the first and the last included (of one: the last)."""
    if len(items) <= most:
        return list(items)
    if most <= 1:
        return list(items[-1:]) if most else []
    last = len(items) - 1
    return [items[round(i * last / (most - 1))] for i in range(most)]


def snapshot(run: Run, extent: Extent = WHOLE) -> Iterator[tuple[RunRecord, int | None]]:
    """Records in an order in which each comes after what it refers to, with the step of those that are statistics."""
    yield from ((header, None) for header in run.headers[:1])
    yield from ((note, None) for note in list(run.notes))
    yield from ((graph.to_record(), None) for graph in run.graphs.values())
    yield run.address_table.table(), None
    yield from ((record, None) for record in evenly(list(run.passes), extent.steps))
    steps = chosen_steps(run, extent)
    yield from ((record, None) for record in chosen_records(run, extent, set(steps)))
    yield from ((record, None) for record in run.records(()) if isinstance(record, ScalarRecord))
    yield from ((finding, None) for finding in run.findings)
    for step in steps:
        yield from ((record, step) for record in run.records_at(step))
    yield from ((end, None) for end in run.ends[-1:] if run.finished)


def chosen_records(run: Run, extent: Extent, wanted: set[int]) -> Iterator[StepRecord]:
    """Step records, thinned evenly, and those of the wanted steps."""
    records = run.step_records
    if len(records) <= extent.steps:
        yield from records
        return
    kept = set(evenly(range(len(records)), extent.steps))
    yield from (record for row, record in enumerate(records) if row in kept or record.step in wanted)


def chosen_steps(run: Run, extent: Extent) -> list[int]:
    """Captured steps whose statistics are sent: as many as fit, judged by the size of the last one."""
    captured = run.captured_steps
    if not captured:
        return []
    size = sum(len(encode(record)) for record in run.records_at(captured[-1])) or 1
    return evenly(captured, max(1, min(extent.captured, extent.statistics_bytes // size)))
