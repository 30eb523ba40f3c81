"""StepStats of many steps -> one row or one series, in microseconds a step.

Steps of one run nearly always measure the same tensors in the same order, so the place of a tensor in its columns (a
layout) is worked out once and shared, and a series that was asked for is kept and only extended.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from graphscope.run.addresses import UNKNOWN
from graphscope.run.summary import value_at
from graphscope.schema import HISTOGRAM_BINS, NOT_MEASURED, StepStats

MAX_CACHED_VALUES = 4_000_000
"""Values of all kept series together (20 bytes each); the one asked for longest ago goes first."""
NO_RANK = 1 << 30


def key_of(address: int, role: int) -> int:
    """Address number and role code as one number."""
    return address << 8 | role


class Layout:
    """Which row of a StepStats holds which address and role."""

    def __init__(self, stats: StepStats) -> None:
        keys = stats.address.astype(np.int64) << 8 | stats.role
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self.keys: list[int] = keys[stats.address != UNKNOWN].tolist()

    def row(self, key: int) -> int | None:
        """The last row of that address and role."""
        at = int(np.searchsorted(self._keys, key, side="right")) - 1
        return int(self._order[at]) if at >= 0 and self._keys[at] == key else None


@dataclass(slots=True)
class Entry:
    """One StepStats of the run; ``stats`` is replaced when its histograms are dropped."""

    stats: StepStats
    layout: Layout
    rank: int


class _Series:
    """One statistic of one address and role over all captured steps, extended as steps come."""

    def __init__(self) -> None:
        self.consumed = 0
        self.steps = array("q")
        self.values = array("d")
        self.ranks = array("i")

    def extend(self, entries: Sequence[Entry], key: int, statistic: str) -> None:
        """Takes in the entries that came since the last call; this loop is what a query costs."""
        own = statistic in StepStats.__dataclass_fields__ and statistic != "cosine"
        plain = attrgetter(statistic) if own else None
        last = self.steps[-1] if self.steps else -(2**63) - 1
        layout: Layout | None = None
        row: int | None = None
        for i in range(self.consumed, len(entries)):
            entry = entries[i]
            stats = entry.stats
            if entry.layout is not layout:
                layout, row = entry.layout, entry.layout.row(key)
            value, rank = math.nan, NO_RANK
            if row is not None:
                rank = entry.rank
                if plain is None:
                    value = value_at(stats, row, statistic)
                elif not stats.flags.item(row) & NOT_MEASURED:
                    value = plain(stats).item(row)
            if stats.step > last:
                last = stats.step
                self.steps.append(last)
                self.values.append(value)
                self.ranks.append(rank)
            else:
                self._put(stats.step, value, rank)
        self.consumed = len(entries)

    def _put(self, step: int, value: float, rank: int) -> None:
        """A step that was there before (another pass or rank), or one that comes out of order."""
        at = bisect_left(self.steps, step)
        if self.steps[at] != step:
            self.steps.insert(at, step)
            self.values.insert(at, value)
            self.ranks.insert(at, rank)
        elif rank != NO_RANK and rank <= self.ranks[at]:  # a later pass of the step; a lower rank's value stays
            self.values[at] = value
            self.ranks[at] = rank


class StatsIndex:
    """All StepStats of a run in the order in which they came."""

    def __init__(self, max_histogram_bytes: int | None) -> None:
        self.entries: list[Entry] = []
        self.keys: set[int] = set()
        """Every address and role that was ever measured."""
        self.thinned = 0
        """StepStats whose histograms were dropped to keep memory bounded."""
        self._by_step: dict[int, list[Entry]] = {}
        self._layouts: OrderedDict[bytes, Layout] = OrderedDict()
        self._series: OrderedDict[tuple[int, str], _Series] = OrderedDict()
        self._cached_values = 0
        self._max_histogram_bytes = max_histogram_bytes
        self._with_histogram: list[Entry] = []
        self._histogram_bytes = 0

    def add(self, stats: StepStats, rank: int) -> Entry:
        """Takes the statistics of one pass in."""
        signature = stats.address.tobytes() + stats.role.tobytes()
        layout = self._layouts.get(signature)
        if layout is None:
            layout = self._layouts[signature] = Layout(stats)
            self.keys.update(layout.keys)
            if len(self._layouts) > 64:
                self._layouts.popitem(last=False)
        entry = Entry(stats, layout, rank)
        self.entries.append(entry)
        self._by_step.setdefault(stats.step, []).append(entry)
        if len(stats.histogram_row):
            self._with_histogram.append(entry)
            self._histogram_bytes += stats.histogram.nbytes
            self._bound_histograms()
        return entry

    def steps(self) -> list[int]:
        """Captured steps, rising."""
        return sorted(self._by_step)

    def at(self, step: int) -> list[Entry]:
        """All StepStats of a step; several if it had several passes."""
        return self._by_step.get(step, [])

    def find(self, key: int, step: int) -> tuple[StepStats, int] | None:
        """The row of an address and role at a step: the last pass that has it, of the lowest rank."""
        best: tuple[int, StepStats, int] | None = None
        for entry in self.at(step):
            row = entry.layout.row(key)
            if row is not None and (best is None or entry.rank <= best[0]):
                best = entry.rank, entry.stats, row
        return best and (best[1], best[2])

    def series(self, key: int, statistic: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Captured steps and the values there; NaN where the tensor was not measured."""
        cached = self._series.get((key, statistic))
        if cached is None:
            cached = self._series[key, statistic] = _Series()
        self._series.move_to_end((key, statistic))
        before = len(cached.steps)
        cached.extend(self.entries, key, statistic)
        self._cached_values += len(cached.steps) - before
        while self._cached_values > MAX_CACHED_VALUES and len(self._series) > 1:
            self._cached_values -= len(self._series.popitem(last=False)[1].steps)
        return np.array(cached.steps, np.int64), np.array(cached.values, np.float64)

    def _bound_histograms(self) -> None:
        """Over the limit, every second step loses its histograms; the newest keeps them."""
        while self._max_histogram_bytes is not None and self._histogram_bytes > self._max_histogram_bytes:
            dropped = self._with_histogram[:-1:2]
            if not dropped:
                return
            for entry in dropped:
                self._histogram_bytes -= entry.stats.histogram.nbytes
                entry.stats = replace(
                    entry.stats,
                    histogram_row=np.zeros(0, np.uint32),
                    histogram=np.zeros((0, HISTOGRAM_BINS), np.uint32),
                )
            self.thinned += len(dropped)
            gone = set(map(id, dropped))
            self._with_histogram = [entry for entry in self._with_histogram if id(entry) not in gone]
