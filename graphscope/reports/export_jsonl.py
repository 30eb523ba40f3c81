"""Run -> JSON lines for other programs: one object a row, written as it is read, whatever the length of the run.

Every object has ``kind`` and ``rank``, of the process that wrote it (of passes, steps and scalars the lowest rank's are
there); numbers keep all their digits. ``null`` is unknown (the mean of a tensor without a finite
value); where NaN or an infinity is itself the fact, such as a loss, it is the text ``"nan"``, ``"inf"`` or ``"-inf"``.

run         the header of a file: run_id, name, model, created, rank, world_size, graphscope, torch, python, ...
step        an optimizer step: step, captured, passes, seconds, step_seconds, self_seconds, epoch, scalars {name: value}
scalars     values logged for a step already done: step, epoch, scalars
tensor      one tensor of one captured step: step, pass_index, fqn, call, output, role, shape, dtype, count, the
            statistics (mean, std, min, max, absmax, l2, zeros, nan, inf, zero_share), cosine, estimate,
            histogram_estimate, cosine_estimate (true where from a sample), unmeasured, histogram {bin: count} of the
            bins of graphscope.schema.HISTOGRAM_BINS that are not empty, or null
others      the records of graphscope.schema by their kind and fields, arrays as lists: pass, graph, batchnorm_stats,
            dropout_stats, finding, note, run_end
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphscope.errors import GraphscopeError
from graphscope.reports.export import with_ranks
from graphscope.run import Run, TensorSummary
from graphscope.schema import ROLES, STATISTICS, AddressTable, RunHeader, StepStats

KINDS = {RunHeader.kind: "run"}


def export_jsonl(run: Run, path: str) -> str:
    """Writes the lines to a file, or to standard output for ``-`` -> the path.

    Raises GraphscopeError where the file cannot be written.
    """
    if path == "-":
        for row in rows(run):
            print(line(row))
        sys.stdout.flush()
        return path
    try:
        with Path(path).open("w", encoding="ascii") as file:
            file.writelines(f"{line(row)}\n" for row in rows(run))
    except OSError as error:
        raise GraphscopeError(f"export --jsonl {path!r}: the file cannot be written ({error}).") from None
    return path


def line(row: Mapping[str, Any]) -> str:
    """One object as strict JSON in ASCII."""
    return json.dumps(row, allow_nan=False, separators=(",", ":"))


def rows(run: Run) -> Iterator[dict[str, Any]]:
    """The objects in the order of the run."""
    for rank, record in with_ranks(run):
        if isinstance(record, StepStats):
            yield from ({**row, "rank": rank} for row in tensor_rows(run, record))
        elif not isinstance(record, AddressTable):  # its names are in the rows
            fields = {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
            yield {"kind": KINDS.get(record.kind, record.kind), **fields, "rank": rank}


def tensor_rows(run: Run, stats: StepStats) -> Iterator[dict[str, Any]]:
    """One object a tensor; rows whose address was lost with a damaged record are left out."""
    known = len(run.address_table)
    for row, number in enumerate(stats.address.tolist()):
        if number < known and stats.role[row] < len(ROLES):
            yield _tensor(stats, run.summary_of_row(stats, row))


def _tensor(stats: StepStats, one: TensorSummary) -> dict[str, Any]:
    bins = None
    if one.histogram is not None:
        bins = {str(at): int(one.histogram[at]) for at in np.flatnonzero(one.histogram).tolist()}
    return {
        "kind": "tensor", "step": one.step, "pass_index": stats.pass_index, "fqn": one.fqn, "call": one.call,
        "output": one.output, "role": one.role, "shape": list(one.shape), "dtype": one.dtype, "count": one.count,
        **{name: _known(getattr(one, name)) for name in (*STATISTICS, "cosine")},
        "estimate": one.estimate, "histogram_estimate": one.histogram_estimate, "cosine_estimate": one.cosine_estimate,
        "unmeasured": one.unmeasured, "histogram": bins,
    }  # fmt: skip


def _known(value: float | None) -> Any:
    """A statistic; NaN is what is not known."""
    return None if value is None or math.isnan(value) else _plain(value)


def _plain(value: Any) -> Any:
    """A field's value as JSON."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
