"""A run file, whole or still growing -> its good records; what is damaged is left out and counted.

The file is hostile: only a regular file is opened, no link is followed, nothing is mapped, sizes are bounded, and no
path, name or type out of it is ever used.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from graphscope.errors import RunFileError
from graphscope.run.codec import OtherVersion, UnknownRecord, decode
from graphscope.run.frames import HEAD, MAX_PAYLOAD, TAIL, split
from graphscope.run.glance import Glance, glance
from graphscope.schema import RECORDS, RunEnd, RunHeader, RunRecord

NAME = re.compile(r"[A-Za-z0-9_][\w.+-]{0,240}\.gscope")
"""File names that are looked at; none of their parts is interpreted."""
CHUNK = 1 << 20
"""Bytes of one read."""
_PEEK = 64 << 10
MAX_LOST = 80 << 20
"""Bytes without any record (more than one record is long) after which the rest of a file is given up."""


class RunReader:
    """Reads one run file from its beginning; ``poll`` again while it grows."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises RunFileError where the path is no regular file named ``*.gscope`` that may be read."""
        self.path = Path(path)
        self.position = 0
        """Offset behind the last record read."""
        self.damaged = 0
        """Damaged places and records that do not fit."""
        self.tail = 0
        """Bytes at the end that are no whole record (yet)."""
        self.read = 0
        """Records read, those of unknown kinds included."""
        self.unknown: Counter[str] = Counter()
        """Kinds and fields (``kind.field``) that this version does not know."""
        self.end: RunEnd | None = None
        self._lost = False
        self._lost_since = 0
        self.given_up = False
        """Whether the rest was left unread, because nothing was found for too long."""
        if not NAME.fullmatch(self.path.name):
            raise RunFileError(f"{self.path} is no run file: its name does not end in .gscope")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._fd = os.open(self.path, flags)
        except (OSError, ValueError) as error:
            reason = "it is a symbolic link" if getattr(error, "errno", None) == errno.ELOOP else str(error)
            raise RunFileError(f"{self.path} cannot be read: {reason}. Wanted: a .gscope file.") from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise RunFileError(f"{self.path} is no regular file. Wanted: a .gscope file.")

    def poll(self, *, final: bool = False) -> list[RunRecord]:
        """All records that came since the last call; with ``final``, a torn end is not waited for.

        Raises RunFileError for a file of another major version or one that cannot be read.
        """
        return list(self.records(final=final))

    def records(self, *, final: bool = False) -> Iterator[RunRecord]:
        """As :meth:`poll`, one by one, so that a large file is never held twice."""
        for payload, at in self.payloads(final=final):
            record = self.decoded(payload, at)
            if record is not None:
                yield record

    def payloads(self, *, final: bool = False) -> Iterator[tuple[bytes, int]]:
        """(payload, offset of its frame) of all frames that are whole; each goes to :meth:`decoded` or ``skim``."""
        want = CHUNK
        while not self.given_up:
            try:
                data = os.pread(self._fd, want, self.position)
            except OSError as error:
                raise RunFileError(f"{self.path} cannot be read at byte {self.position:,}: {error}") from None
            at_end = len(data) < want
            found = split(data, lost=self._lost, final=final and at_end)
            self.damaged += found.damage
            self._follow(found.lost, self.position + found.next, bool(found.payloads))
            begin, self.position = self.position, self.position + found.next
            self.tail = len(data) - found.next
            for at, payload in found.payloads:
                yield payload, begin + at
            if at_end:
                break
            want = max(CHUNK, min(found.needed, HEAD + MAX_PAYLOAD + TAIL))
        if self.end is not None and self.tail and final and not self._lost:
            self.damaged += 1  # a closed file ends with its RunEnd
            self.tail = 0

    def peek(self) -> RunHeader | None:
        """The header, if the file begins with one. Raises RunFileError for another major version."""
        try:
            found = split(os.pread(self._fd, _PEEK, 0))
            first = decode(found.payloads[0][1]) if found.payloads else None
        except OtherVersion as error:
            raise RunFileError(f"{self.path}: {error}") from None
        except (OSError, RunFileError):
            return None
        return first if isinstance(first, RunHeader) else None

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RunReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def decoded(self, payload: bytes, at: int) -> RunRecord | None:
        """The record of a payload; None for one that does not fit or is unknown, which is counted."""
        try:
            record = decode(payload, self.unknown)
        except OtherVersion as error:
            raise RunFileError(f"{self.path}: {error}") from None
        except RunFileError:
            self.damaged += 1
            return None
        self.read += 1
        if isinstance(record, UnknownRecord) or not isinstance(record, RECORDS):  # a reply has no place in a file
            self.unknown[record.kind] += 1
            return None
        if isinstance(record, RunEnd):
            self.end = record
            # A loss exactly between two records leaves no damage; only the count tells.
            self.damaged += self.damaged == 0 and record.records > self.read - 1
        return cast(RunRecord, record)

    def skim(self, payload: bytes) -> Glance | None:
        """What a table of statistics is, its numbers unread; None for another record, which :meth:`decoded` takes."""
        try:
            seen = glance(payload)
        except RunFileError:
            return None  # decoded counts it
        self.read += seen is not None
        return seen

    def _follow(self, lost: bool, position: int, found_any: bool) -> None:
        """Gives up a file in which nothing was found for longer than a record can be."""
        if not lost:
            self._lost = False
            return
        if not self._lost or found_any:
            self._lost_since = position
        self._lost = True
        if position - self._lost_since > MAX_LOST:
            self.given_up = True
