"""RunRecords in, the same records out: what every query of a Run looks things up in.

Files of several ranks and restarts become one run here: one numbering of addresses, and steps, passes and scalars of
the lowest rank; the other ranks add statistics, findings and notes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from graphscope.run.addresses import Addresses, FileNumbers
from graphscope.run.codec import encode, with_arrays
from graphscope.run.filed import FiledRecords, StepIndex
from graphscope.run.frames import frame
from graphscope.run.glance import Glance
from graphscope.run.inside import InsideIndex
from graphscope.run.op_gradients import OpGradientIndex
from graphscope.run.places import Place
from graphscope.run.ranks import FileSeen
from graphscope.run.stats import Entry, StatsIndex
from graphscope.run.steps import StepColumns
from graphscope.schema import (
    AddressTable,
    AtenOps,
    BatchNormStats,
    DropoutStats,
    Finding,
    GraphRecord,
    LayerStats,
    Note,
    OpGradients,
    PassRecord,
    RunEnd,
    RunHeader,
    RunRecord,
    ScalarRecord,
    StepRecord,
    StepStats,
)

_STEP, _OTHER, _FILED = range(3)
"""Where a record is, in the order of all: the next of the step columns, of the others, of the filed ones."""
_WITH_COLUMNS = (StepStats, AddressTable, BatchNormStats, OpGradients, AtenOps)
_Numbered = TypeVar("_Numbered", PassRecord, StepRecord)
MAX_BYTES = 128 << 20
"""Statistics of tensors that a run keeps in memory; older ones are read from its file again when they are asked for. Of
a run without a file, every second step gives its histograms up beyond that."""


class RunRecords:
    """The records of one run, indexed as they come. One thread adds, any thread may read."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.headers: list[RunHeader] = []
        """One for each file: ranks and restarts."""
        self.ends: list[RunEnd] = []
        self.notes: list[Note] = []
        self.passes: list[PassRecord] = []
        self.address_table = Addresses()
        self.damaged = 0
        """Damaged places and records that did not fit, all left out."""
        self.unfinished_bytes = 0
        """Bytes at the end of files that were never closed, behind their last whole record."""
        self.unknown: Counter[str] = Counter()
        """Kinds and fields of a newer GraphScope that were left out."""
        self._lock = threading.RLock()
        self._order = bytearray()
        self._others: list[Any] = []
        self._columns = StepColumns()
        self._stats = StatsIndex(max_bytes)
        self._filed = FiledRecords(max_bytes // 8)
        """Records of layers and of the gradients of ops."""
        self._op_gradients = OpGradientIndex(self._filed)
        self._layers: dict[tuple[str, int], StepIndex] = {}
        """Of each layer its records in ``_filed``, with the rank that recorded them."""
        self._inside = InsideIndex()
        self._findings: dict[tuple[str, str, int], Finding] = {}
        self._graph_records: dict[str, GraphRecord] = {}
        self._numbers = FileNumbers(self.address_table)
        self._rank = 0
        self._topologies = 0
        """Topologies of the files before this one: each file numbers its own from 0."""
        self._most_topologies = 0
        self._files: list[FileSeen] = []

    def begin_file(self) -> None:
        """What is added from now on comes from another file, which numbers its addresses and topologies anew."""
        with self._lock:
            self._numbers = FileNumbers(self.address_table)
            self._topologies = self._most_topologies

    def add(self, record: RunRecord | Glance, place: Place | None = None) -> None:
        """Takes one record in, live or read, or the head of a table that was read; ``place``: where it lies in a file.

        Raises RunFileError where the columns of a record do not fit together.
        """
        if isinstance(record, _WITH_COLUMNS):
            record = with_arrays(record)
        with self._lock:
            kept = self._index(record, place)
            if kept is not None:
                self._order.append(
                    _STEP if isinstance(kept, StepColumns) else _FILED if kept is self._filed else _OTHER
                )
                if self._order[-1] == _OTHER:
                    self._others.append(kept)

    def _index(self, record: RunRecord | Glance, place: Place | None) -> Any:
        """Indexes a record -> what ``records`` yields of it later; None for one that adds nothing."""
        match record:  # what a large file is full of comes first
            case Glance():
                assert place is not None
                return self._stats.add_seen(record, self._rank, self._numbers, place)
            case StepRecord():
                if self._files:
                    self._files[-1].steps += 1
                    self._files[-1].last_step, self._files[-1].seconds = record.step, record.seconds
                step = self._numbered(record)
                return self._of_first_rank(lambda: self._columns.add(step), self._columns)
            case RunHeader():
                self.headers.append(record)
                self._rank = record.rank
                self._files.append(FileSeen(record.rank, record.created))
            case AddressTable():
                known = len(self.address_table)
                self._numbers.add(record)
                if len(self.address_table) == known:
                    return None
                return self.address_table.table(known)
            case StepStats():
                address = self._numbers.translate(record.address)
                if address is not record.address:
                    record = replace(record, address=address)
                return self._stats.add(record, self._rank, self._numbers, place)
            case BatchNormStats() | DropoutStats():
                steps = self._layers.setdefault((record.fqn, record.call), StepIndex())
                number, at = self._filed.add(record, place), steps.find(record.step)
                if at is None or self._rank <= steps.tags[at]:
                    steps.put(record.step, self._rank, number)
                return self._filed
            case GraphRecord():
                earlier = self._graph_records.get(record.graph_id)
                if earlier is not None and (record.backward_name is None or earlier.backward_name is not None):
                    return None
                self._forget_graph(record.graph_id)
                self._graph_records[record.graph_id] = record  # the same again, with what its backward runs
            case Finding():
                self._findings[record.rule, record.fqn, record.call] = record
            case Note():
                self.notes.append(record)
            case RunEnd():
                self.ends.append(record)
                if self._files:
                    self._files[-1].finished = True
            case PassRecord():
                one = self._numbered(record)
                return self._of_first_rank(lambda: self.passes.append(one), one)
            case OpGradients():
                return self._of_first_rank(
                    lambda: self._op_gradients.add(record, self._filed.add(record, place)), self._filed
                )
            case AtenOps():
                return self._of_first_rank(lambda: self._inside.add(record), record)
            case ScalarRecord():
                return self._of_first_rank(lambda: self._columns.add_scalars(record), record)
        return record

    def _numbered(self, record: _Numbered) -> _Numbered:
        """A record with its topology as numbered in the whole run."""
        if record.topology is None:
            return record
        if self._topologies:
            record = replace(record, topology=record.topology + self._topologies)
        self._most_topologies = max(self._most_topologies, (record.topology or 0) + 1)
        return record

    def _forget_graph(self, graph_id: str) -> None:
        """A graph was recorded anew, with more."""

    def _of_first_rank(self, take: Callable[[], None], kept: Any) -> Any:
        """Steps, passes and scalars are those of the lowest rank; other ranks add statistics, findings and notes."""
        if self.headers and self._rank != min(header.rank for header in self.headers):
            return None
        take()
        return kept

    def records(self, tables_of: Container[int] | None = None) -> Iterator[RunRecord]:
        """All records in order, with address numbers of the whole run.

        ``tables_of``: of StepStats only those of these steps; the others are not even read.
        """
        row = number = 0
        for i, code in enumerate(self._codes()):
            if code == _STEP:
                yield self._columns.record(row)
                row += 1
            elif code == _FILED:
                yield self._filed[number]
                number += 1
            else:
                kept = self._others[i - row - number]
                if not isinstance(kept, Entry):
                    yield kept
                elif tables_of is None or kept.step in tables_of:
                    yield kept.stats

    def _codes(self) -> bytes:
        with self._lock:
            return bytes(self._order)

    def frames(self) -> Iterator[bytes]:
        """All records in order as frames of a run file."""
        return (frame(encode(record)) for record in self.records())

    def records_at(self, step: int) -> list[StepStats | OpGradients | LayerStats]:
        """What was measured at a step: StepStats, op gradients of its last pass, layer records; empty if nothing."""
        with self._lock:
            stats: list[StepStats | OpGradients | LayerStats] = [entry.stats for entry in self._stats.at(step)]
            stats += self._op_gradients.of(step)
            found = ((steps, steps.find(step)) for steps in self._layers.values())
            return stats + [self._filed[steps.numbers[at]] for steps, at in found if at is not None]
