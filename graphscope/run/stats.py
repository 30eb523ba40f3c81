"""StepStats of many steps -> one row or one series, in microseconds a step.

Steps of one run nearly always measure the same tensors in the same order, so the place of a tensor in its columns (a
layout) is worked out once and shared, and a series that was asked for is kept and only extended.
"""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from graphscope.errors import RunFileError
from graphscope.run.addresses import UNKNOWN, FileNumbers
from graphscope.run.codec import decode
from graphscope.run.frames import HEAD
from graphscope.run.glance import Columns, Glance, glance
from graphscope.run.places import Place
from graphscope.run.summary import value_at
from graphscope.schema import HISTOGRAM_BINS, NOT_MEASURED, StepStats

MAX_CACHED_VALUES = 4_000_000
"""Values of all kept series together (20 bytes each); the one asked for longest ago goes first."""
NO_RANK = 1 << 30


def key_of(address: int, role: int) -> int:
    """Address number and role code as one number."""
    return address << 8 | role


class Layout:
    """Which row of a table holds which address and role."""

    def __init__(self, address: npt.NDArray[np.uint32], role: npt.NDArray[np.uint8]) -> None:
        keys = address.astype(np.int64) << 8 | role
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self.keys: list[int] = keys[address != UNKNOWN].tolist()

    def row(self, key: int) -> int | None:
        """The last row of that address and role."""
        at = int(np.searchsorted(self._keys, key, side="right")) - 1
        return int(self._order[at]) if at >= 0 and self._keys[at] == key else None


class Entry:
    """One StepStats of the run: in memory, or where it lies in its file."""

    __slots__ = ("_columns", "held", "layout", "numbers", "place", "rank", "step")

    def __init__(
        self, step: int, layout: Layout, rank: int, numbers: FileNumbers, place: Place | None,
        held: StepStats | None = None, columns: Columns | None = None,
    ) -> None:  # fmt: skip
        self.step = step
        self.layout = layout
        self.rank = rank
        self.numbers = numbers
        self.place = place
        self.held = held
        self._columns = columns

    @property
    def stats(self) -> StepStats:
        """The table, read again if it is not in memory. Raises RunFileError where its file is gone."""
        held, place = self.held, self.place
        if held is not None:
            return held
        assert place is not None, "only what lies in a file is let go"
        found = RECENT.get(place)
        if found is None:
            record = decode(place.payload())
            if not isinstance(record, StepStats):
                raise RunFileError(f"{place.file.path}: at byte {place.offset:,} there is a {record.kind} record now")
            address = self.numbers.translate(record.address)
            found = record if address is record.address else replace(record, address=address)
            RECENT.put(place, found)
        return found

    def value(self, row: int, statistic: str) -> float:
        """One statistic of a row; NaN where nothing was measured."""
        if self.held is not None or self.place is None:
            return value_at(self.stats, row, statistic)
        if self._columns is None:
            seen = glance(self.place.payload())
            if seen is None:  # a table in full, as version 1.0 wrote it
                return value_at(self.stats, row, statistic)
            self._columns = seen.columns
        file, start = self.place.file, self.place.offset + HEAD
        return self._columns.value(lambda at, length: file.read(start + at, length), row, statistic)


class Recent:
    """The tables that were read last, over all runs: whoever looks at one row of a step looks at others too."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tables: OrderedDict[Place, StepStats] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: Place) -> StepStats | None:
        """The table that lies there, if it is kept."""
        with self._lock:
            if place in self._tables:
                self._tables.move_to_end(place)
            return self._tables.get(place)

    def put(self, place: Place, table: StepStats) -> None:
        """Keeps a table, and lets the one go that was asked for longest ago."""
        with self._lock:
            self._tables[place] = table
            if len(self._tables) > self._most:
                self._tables.popitem(last=False)


RECENT = Recent(32)


def size_of(stats: StepStats) -> int:
    """Bytes that it takes in memory, to about a tenth."""
    return 3_000 + 100 * len(stats.address) + stats.histogram.nbytes


class _Series:
    """One statistic of one address and role over all captured steps, extended as steps come."""

    def __init__(self) -> None:
        self.consumed = 0
        self.steps = array("q")
        self.values = array("d")
        self.ranks = array("q")

    def extend(self, entries: Sequence[Entry], key: int, statistic: str) -> None:
        """Takes in the entries that came since the last call; this loop is what a query costs."""
        own = statistic in StepStats.__dataclass_fields__ and statistic != "cosine"
        plain = attrgetter(statistic) if own else None
        last = self.steps[-1] if self.steps else -(2**63) - 1
        layout: Layout | None = None
        row: int | None = None
        for i in range(self.consumed, len(entries)):
            entry = entries[i]
            if entry.layout is not layout:
                layout, row = entry.layout, entry.layout.row(key)
            value, rank = math.nan, NO_RANK
            if row is not None:
                rank, stats = entry.rank, entry.held
                if stats is None or plain is None:
                    value = entry.value(row, statistic)
                elif not stats.flags.item(row) & NOT_MEASURED:
                    value = plain(stats).item(row)
            if entry.step > last:
                last = entry.step
                self.steps.append(last)
                self.values.append(value)
                self.ranks.append(rank)
            else:
                self._put(entry.step, value, rank)
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

    def __init__(self, max_bytes: int) -> None:
        self.entries: list[Entry] = []
        self.keys: set[int] = set()
        """Every address and role that was ever measured."""
        self.thinned = 0
        """StepStats whose histograms were dropped to keep memory bounded."""
        self._by_step: dict[int, list[Entry]] = {}
        self._layouts: OrderedDict[bytes, Layout] = OrderedDict()
        self._seen: dict[tuple[int, int, bytes], Layout] = {}
        self._series: OrderedDict[tuple[int, str], _Series] = OrderedDict()
        self._cached_values = 0
        self._max_bytes = max_bytes
        self._held: deque[Entry] = deque()
        """Those in memory that lie in a file too, the oldest first."""
        self._held_bytes = 0
        self._with_histogram: list[Entry] = []
        """Those that are nowhere but in memory."""
        self._histogram_bytes = 0

    def add(self, stats: StepStats, rank: int, numbers: FileNumbers, place: Place | None) -> Entry:
        """Takes the statistics of one pass in; ``place``: where they lie in a file, if they do."""
        entry = Entry(stats.step, self._layout(stats.address, stats.role), rank, numbers, place, stats)
        if place is not None:
            self._held.append(entry)
            self._held_bytes += size_of(stats)
            while self._held_bytes > self._max_bytes and len(self._held) > 1:
                old = self._held.popleft()
                assert old.held is not None
                self._held_bytes -= size_of(old.held)
                old.held = None
        elif len(stats.histogram_row):
            self._with_histogram.append(entry)
            self._histogram_bytes += stats.histogram.nbytes
            self._bound_histograms()
        return self._take(entry)

    def add_seen(self, seen: Glance, rank: int, numbers: FileNumbers, place: Place) -> Entry:
        """The same of a table of which only the head was read."""
        known = id(numbers), len(numbers), seen.places
        layout = self._seen.get(known)
        if layout is None:
            layout = self._layout(numbers.translate(seen.address), seen.role)
            self._seen = {known: layout}  # nearly always that of the step before
        return self._take(Entry(seen.step, layout, rank, numbers, place, columns=seen.columns))

    def _layout(self, address: npt.NDArray[np.uint32], role: npt.NDArray[np.uint8]) -> Layout:
        signature = address.tobytes() + role.tobytes()
        layout = self._layouts.get(signature)
        if layout is None:
            layout = self._layouts[signature] = Layout(address, role)
            self.keys.update(layout.keys)
            if len(self._layouts) > 64:
                self._layouts.popitem(last=False)
        return layout

    def _take(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        self._by_step.setdefault(entry.step, []).append(entry)
        return entry

    def steps(self) -> list[int]:
        """Captured steps, rising."""
        return sorted(self._by_step)

    def at(self, step: int) -> list[Entry]:
        """All StepStats of a step; several if it had several passes."""
        return self._by_step.get(step, [])

    def find(self, key: int, step: int) -> tuple[StepStats, int] | None:
        """The row of an address and role at a step: the last pass that has it, of the lowest rank."""
        best: tuple[Entry, int] | None = None
        for entry in self.at(step):
            row = entry.layout.row(key)
            if row is not None and (best is None or entry.rank <= best[0].rank):
                best = entry, row
        return best and (best[0].stats, best[1])

    def gradient_state(self, step: int) -> str | None:
        """What the parameters' gradients of a step are, as the lowest rank says; None where nobody does."""
        entries = sorted(self.at(step), key=lambda entry: entry.rank)
        return next((state for entry in entries if (state := entry.stats.gradient_state) is not None), None)

    def has(self, key: int, step: int) -> bool:
        """Whether that address and role was measured at a step."""
        return any(entry.layout.row(key) is not None for entry in self.at(step))

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
        """Of what lies in no file every second step loses its histograms over the limit; the newest keeps them."""
        while self._histogram_bytes > self._max_bytes:
            dropped = self._with_histogram[:-1:2]
            if not dropped:
                return
            for entry in dropped:
                stats = entry.stats
                self._histogram_bytes -= stats.histogram.nbytes
                entry.held = replace(
                    stats,
                    histogram_row=np.zeros(0, np.uint32),
                    histogram=np.zeros((0, HISTOGRAM_BINS), np.uint32),
                )
            self.thinned += len(dropped)
            gone = set(map(id, dropped))
            self._with_histogram = [entry for entry in self._with_histogram if id(entry) not in gone]
