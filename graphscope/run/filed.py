"""Records of layers and ops -> their places in their files; only the newest stay in memory.

A record that lies in a file takes 16 bytes here and is read again when somebody asks for it. What lies nowhere else (a
run without a file, a disk that was full) stays in memory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from typing import Any

from graphscope.run.codec import decode
from graphscope.run.fields import FIELDS
from graphscope.run.places import Place, RunFile

_UNFILED = -1


class FiledRecords:
    """Records by number, in the order in which they came."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._files: list[RunFile] = []
        self._file = array("h")
        self._offset = array("q")
        self._length = array("i")
        self._unfiled: dict[int, Any] = {}
        self._held: OrderedDict[int, Any] = OrderedDict()
        """The newest of those that lie in a file."""
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._offset)

    def add(self, record: Any, place: Place | None) -> int:
        """Takes a record in -> its number; ``place``: where it lies in a file, if it does."""
        number = len(self._offset)
        if place is None:
            self._unfiled[number] = record
        else:
            if not self._files or self._files[-1] is not place.file:
                self._files.append(place.file)
            self._held[number] = record
            self._held_bytes += size_of(record)
            while self._held_bytes > self._max_bytes and len(self._held) > 1:
                self._held_bytes -= size_of(self._held.popitem(last=False)[1])
        self._file.append(_UNFILED if place is None else len(self._files) - 1)
        self._offset.append(0 if place is None else place.offset)
        self._length.append(0 if place is None else place.length)
        return number

    def __getitem__(self, number: int) -> Any:
        """The record of that number. Raises RunFileError where its file is gone or was changed."""
        if self._file[number] == _UNFILED:
            return self._unfiled[number]
        held = self._held.get(number)
        if held is not None:
            return held
        # Its checksum holds, so it is what was indexed.
        return decode(Place(self._files[self._file[number]], self._offset[number], self._length[number]).payload())


class StepIndex:
    """Steps, rising, each with the number of a record and a small number that tells which of several holds."""

    def __init__(self) -> None:
        self.steps = array("q")
        self.tags = array("q")
        self.numbers = array("q")

    def find(self, step: int) -> int | None:
        """Where a step is in the arrays."""
        at = bisect_left(self.steps, step)
        return at if at < len(self.steps) and self.steps[at] == step else None

    def put(self, step: int, tag: int, number: int) -> None:
        """Adds a step, or says another record of it."""
        at = bisect_left(self.steps, step)
        if at == len(self.steps) or self.steps[at] != step:
            for column in (self.steps, self.tags, self.numbers):
                column.insert(at, 0)
        self.steps[at], self.tags[at], self.numbers[at] = step, tag, number


def size_of(record: Any) -> int:
    """Bytes that a record takes in memory, roughly."""
    columns = (getattr(record, name) for name in FIELDS[record.kind].arrays)
    return 800 + sum(column.nbytes for column in columns if column is not None)
