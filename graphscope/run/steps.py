"""StepRecords -> columns and back: a million steps stay below a hundred megabytes, and a scalar is one array."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from graphscope.schema import ScalarRecord, StepRecord

_NONE = -(2**63)
"""Stands for None in a column of whole numbers."""


class _Scalar:
    """One scalar: which records have it, and its values."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.values = array("d")


class StepColumns:
    """All StepRecords of a run, column by column, with what ScalarRecords say about steps already done."""

    def __init__(self) -> None:
        self.step = array("q")
        self._captured = array("b")
        self._passes = array("q")
        self._seconds = array("d")
        self._step_seconds = array("d")
        self._self_seconds = array("d")
        self._stale = array("b")
        self._epoch = array("q")
        self._protocol = array("i")
        self._protocols: dict[tuple[int | None, str, int | None, int | None], int] = {}
        """Topology, calls, backwards and skipped, each combination once: a loop has few."""
        self._protocol_list: list[tuple[int | None, str, int | None, int | None]] = []
        self._scalars: dict[str, _Scalar] = {}
        self._later: dict[str, list[tuple[int, float]]] = {}

    def __len__(self) -> int:
        return len(self.step)

    def add(self, record: StepRecord) -> None:
        """Takes one step in."""
        row = len(self.step)
        self.step.append(record.step)
        self._captured.append(record.captured)
        self._passes.append(record.passes)
        self._seconds.append(record.seconds)
        self._step_seconds.append(math.nan if record.step_seconds is None else record.step_seconds)
        self._self_seconds.append(record.self_seconds)
        self._stale.append(-1 if record.stale_gradients is None else record.stale_gradients)
        self._epoch.append(_NONE if record.epoch is None else record.epoch)
        protocol = record.topology, record.calls, record.backwards, record.skipped
        code = self._protocols.setdefault(protocol, len(self._protocol_list))
        if code == len(self._protocol_list):
            self._protocol_list.append(protocol)
        self._protocol.append(code)
        for name, value in record.scalars.items():
            scalar = self._scalars.get(name)
            if scalar is None:
                scalar = self._scalars[name] = _Scalar()
            scalar.rows.append(row)
            scalar.values.append(value)

    def add_scalars(self, record: ScalarRecord) -> None:
        """Takes values in that belong to a step already done."""
        for name, value in record.scalars.items():
            self._later.setdefault(name, []).append((record.step, value))

    def names(self) -> list[str]:
        """Names of all scalars in the order in which they first came."""
        return list(dict.fromkeys((*self._scalars, *self._later)))

    def scalar(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Steps at which a scalar is known, rising, and its values; the last one said of a step holds."""
        scalar, later = self._scalars.get(name), self._later.get(name, [])
        steps = np.array([], np.int64) if scalar is None else np.array(self.step, np.int64)[np.array(scalar.rows)]
        values = np.array([], np.float64) if scalar is None else np.array(scalar.values, np.float64)
        if later:
            steps = np.concatenate([steps, np.array([step for step, _ in later], np.int64)])
            values = np.concatenate([values, np.array([value for _, value in later], np.float64)])
        if len(steps) > 1 and not (np.diff(steps) > 0).all():
            order = np.argsort(steps, kind="stable")
            steps, values = steps[order], values[order]
            last = np.append(np.diff(steps) > 0, True)
            steps, values = steps[last], values[last]
        return steps, values

    def record(self, row: int) -> StepRecord:
        """The record as it came."""
        seconds, stale, epoch = self._step_seconds[row], self._stale[row], self._epoch[row]
        topology, calls, backwards, skipped = self._protocol_list[self._protocol[row]]
        scalars = {}
        for name, scalar in self._scalars.items():
            at = bisect_left(scalar.rows, row)
            if at < len(scalar.rows) and scalar.rows[at] == row:
                scalars[name] = scalar.values[at]
        return StepRecord(
            step=self.step[row],
            captured=bool(self._captured[row]),
            passes=self._passes[row],
            seconds=self._seconds[row],
            step_seconds=None if math.isnan(seconds) else seconds,
            self_seconds=self._self_seconds[row],
            scalars=scalars,
            stale_gradients=None if stale < 0 else bool(stale),
            epoch=None if epoch == _NONE else epoch,
            topology=topology,
            calls=calls,
            backwards=backwards,
            skipped=skipped,
        )

    def topology_at(self, step: int) -> int | None:
        """Topology of the last record of a step; None where none is known."""
        row = bisect_right(self.step, step) - 1  # steps rise, but for those of a restart
        if row < 0 or self.step[row] != step:
            rows = np.flatnonzero(np.array(self.step, np.int64) == step)
            if not len(rows):
                return None
            row = int(rows[-1])
        return self._protocol_list[self._protocol[row]][0]

    def overhead(self, without: Collection[int] = ()) -> float | None:
        """What watching took over what the steps themselves took; None where no step's time is known."""
        seconds, ours = np.array(self._step_seconds, np.float64), np.array(self._self_seconds, np.float64)
        known = seconds > 0
        if without:
            known &= ~np.isin(np.array(self.step, np.int64), list(without))
        plain = float((seconds - ours)[known].sum())
        return float(ours[known].sum()) / plain if plain > 0 else None


class StepRecords(Sequence[StepRecord]):
    """The steps of a run as a list of records, each one made when it is asked for."""

    def __init__(self, columns: StepColumns) -> None:
        self._columns = columns
        self._count = len(columns)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> StepRecord: ...
    @overload
    def __getitem__(self, at: slice) -> list[StepRecord]: ...
    def __getitem__(self, at: int | slice) -> StepRecord | list[StepRecord]:
        if isinstance(at, slice):
            return [self._columns.record(row) for row in range(*at.indices(self._count))]
        row = at + self._count if at < 0 else at
        if not 0 <= row < self._count:
            raise IndexError(f"step record {at} of {self._count}")
        return self._columns.record(row)

    def __iter__(self) -> Iterator[StepRecord]:
        return (self._columns.record(row) for row in range(self._count))

    def __repr__(self) -> str:
        return f"StepRecords({self._count} steps)"
