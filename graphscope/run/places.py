"""Where a record lies in its run file -> its bytes, read again when somebody asks for them.

That is what keeps memory bounded: a long run keeps the newest statistics in memory and of the others only their places.
Few files are open at a time, whatever the number of ranks; nothing is mapped and no lock is taken on a file.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from graphscope.errors import RunFileError
from graphscope.run.frames import HEAD, TAIL, masked_crc

MOST_OPEN = 16
"""Run files that are open for reading at the same time, over all runs of the process."""


class RunFile:
    """One run file that is read in places; opened when it is needed and closed when others are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._identity: tuple[int, int] | None = None

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from there on. Raises RunFileError where they are not there any more."""
        with _LOCK:
            try:
                data = os.pread(self._opened(), length, offset)
            except OSError as error:
                raise self._gone(str(error)) from None
        if len(data) != length:
            raise self._gone(f"it ends before byte {offset + length:,}")
        return data

    def _opened(self) -> int:
        if self._fd >= 0:
            _OPEN.move_to_end(id(self))
            return self._fd
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self.path, flags)
        found = os.fstat(fd)
        identity = found.st_dev, found.st_ino
        if not stat.S_ISREG(found.st_mode) or self._identity not in (None, identity):
            os.close(fd)
            raise OSError("another file has its name now")
        self._fd, self._identity = fd, identity
        _OPEN[id(self)] = self
        if len(_OPEN) > MOST_OPEN:
            next(iter(_OPEN.values())).close()
        return fd

    def close(self) -> None:
        """Closes the file; it is opened again when it is read again."""
        with _LOCK:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            _OPEN.pop(id(self), None)

    def _gone(self, reason: str) -> RunFileError:
        return RunFileError(
            f"{self.path}: statistics of this run cannot be read any more ({reason}). What is in memory stays; "
            "put the file back where it was, or load the run again."
        )


class Place(NamedTuple):
    """A frame in a run file."""

    file: RunFile
    offset: int
    length: int

    def payload(self) -> bytes:
        """The payload of the frame. Raises RunFileError where it is gone or was changed since."""
        data = self.file.read(self.offset, self.length)
        payload = data[HEAD:-TAIL]
        if masked_crc(payload) != int.from_bytes(data[-TAIL:], "little"):
            raise self.file._gone(f"the record at byte {self.offset:,} was changed since the run was opened")
        return payload


_LOCK = threading.RLock()
_OPEN: OrderedDict[int, RunFile] = OrderedDict()
"""Those that are open, the one used longest ago first."""
