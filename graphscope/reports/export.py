"""Run -> a table or a graph in a form that other programs read (``graphscope export``)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from graphscope.errors import GraphscopeError, UnknownName, did_you_mean
from graphscope.graph import Graph
from graphscope.run import Run
from graphscope.schema import ROLES, STATISTICS, RunHeader, RunRecord, StepStats

HEADS = (
    "step", "pass_index", "fqn", "call", "output", "role", "shape", "dtype", "count", *STATISTICS, "estimate", "rank",
)  # fmt: skip


def export(run: Run, path: Path) -> Path:
    """Writes what the ending of ``path`` says -> the path.

    ``.csv``: one row a tensor and captured step of each rank; ``.json``: the graph's columns; ``.dot`` and ``.svg``:
    its drawing.
    Raises UnknownName for another ending, GraphscopeError where the run has no graph or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in EXPORTS:
        raise UnknownName(
            f"export to {str(path)!r}: no export is called {ending or 'without an ending'!r}. "
            f"There are: {', '.join(EXPORTS)}.{did_you_mean(ending, EXPORTS)}"
        )
    try:
        EXPORTS[ending](run, path)
    except OSError as error:
        raise GraphscopeError(f"export to {str(path)!r}: the file cannot be written ({error}).") from None
    return path


def statistics_rows(run: Run) -> Iterator[list[Any]]:
    """HEADS' values for every tensor and captured step; None where a value is not known. ``estimate`` is 1 or 0."""
    names = list(run.address_table)
    for rank, stats in with_ranks(run):
        if not isinstance(stats, StepStats):
            continue
        for row, number in enumerate(stats.address.tolist()):
            if number < len(names) and stats.role[row] < len(ROLES):
                summary = run.summary_of_row(stats, row)
                shape = "x".join(map(str, summary.shape))
                values = [getattr(summary, name) for name in STATISTICS]
                known = [None if value is None or value != value else value for value in values]
                yield [
                    stats.step, stats.pass_index, summary.fqn, summary.call, summary.output, summary.role, shape,
                    summary.dtype, summary.count, *known, int(summary.estimate), rank,
                ]  # fmt: skip


def with_ranks(run: Run) -> Iterator[tuple[int, RunRecord]]:
    """The records of a run, file after file, each with the rank of the process that wrote it."""
    rank = 0
    for record in run.records():
        if isinstance(record, RunHeader):
            rank = record.rank
        yield rank, record


def _csv(run: Run, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADS)
        writer.writerows([_cell(value) for value in row] for row in statistics_rows(run))


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is quoted, as it may come from somebody else's run."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _graph(run: Run) -> Graph:
    graph = run.graph
    if graph is None:
        raise GraphscopeError("export: this run holds no graph. Its statistics can be exported as .csv.")
    return graph


def _json(run: Run, path: Path) -> None:
    path.write_text(json.dumps(_graph(run).to_dict()) + "\n", encoding="ascii")


def _dot(run: Run, path: Path) -> None:
    path.write_text(_graph(run).to_dot(), encoding="utf-8", errors="backslashreplace")


def _svg(run: Run, path: Path) -> None:
    path.write_text(_graph(run).to_svg(), encoding="utf-8")


EXPORTS: Mapping[str, Callable[[Run, Path], None]] = {".csv": _csv, ".json": _json, ".dot": _dot, ".svg": _svg}
"""File ending -> how it is written."""
