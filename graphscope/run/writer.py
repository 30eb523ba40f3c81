"""Records -> one append-only run file: one ``write()`` a call, whole records or none, and never in the training's way.

Killed at any moment, the file holds every record whose ``append`` had returned; after a power cut, all but about the
last second. A disk that is full or broken costs records, which are counted, and one warning: never an exception.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
import sys
import threading
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphscope.errors import RunDirectoryError
from graphscope.run.codec import RecordTooLarge, encode
from graphscope.run.frames import frame
from graphscope.run.places import Place, RunFile
from graphscope.schema import AddressTable, GraphRecord, Note, RunEnd, RunHeader, RunRecord, StepRecord

SYNC_SECONDS = 1.0
"""At most about this much is lost when the power fails."""
MAX_WRITE = 256 << 20
"""Bytes of one ``write()``; Linux writes at most 2 GiB at once."""
_NEEDED_LATER = (RunHeader, GraphRecord, AddressTable)
"""Records that later ones refer to; one that could not be written is written before what comes next."""
_fdatasync = getattr(os, "fdatasync", os.fsync)


def file_name(header: RunHeader) -> str:
    """A name that no other writer takes: rank, host, process and a random part."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())[:48].strip("-") or "host"
    return f"rank-{header.rank:05d}.{host}.{os.getpid()}.{secrets.token_hex(4)}.gscope"


class RunWriter:
    """One run file, written by one thread of one process. A forked child writes nothing."""

    def __init__(self, run_dir: Path, header: RunHeader) -> None:
        """Makes the directory (0700) and the file (0600) and writes the header.

        Raises RunDirectoryError where the directory cannot be made or written, before any training starts.
        """
        self.run_dir = Path(run_dir)
        self.path = self.run_dir / file_name(header)
        self.failed: str | None = None
        """Why the last append was not written; None while all goes well."""
        self.dropped = 0
        """Records that could not be written."""
        self.records = 0
        """Records in the file."""
        self.steps = 0
        """Steps in the file."""
        self.places: list[Place] | None = None
        """Where the frames of the last ``append`` lie; None if they are not in the file."""
        self._file = RunFile(self.path)
        self._pid = os.getpid()
        self._size = 0
        self._warned = False
        self._dirty = False
        self._closed = threading.Event()
        self._owed: list[bytes] = []
        self._lost = 0
        try:
            if not self.run_dir.is_dir():
                self.run_dir.mkdir(0o700, parents=True, exist_ok=True)
                self.run_dir.chmod(stat.S_IRWXU)  # whatever the umask says
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._fd = os.open(self.path, flags, 0o600)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            raise _refused(self.run_dir, error) from None
        try:
            os.chmod(self._fd, 0o600)
            self._write(frame(encode(header)))
            self.records = 1
        except OSError as error:
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            raise _refused(self.run_dir, error) from None
        # Neither the thread nor the descriptor outlives a writer that nobody closed.
        self._release = weakref.finalize(self, os.close, self._fd)
        self._release.atexit = False
        self._syncer = threading.Thread(
            target=_sync_now_and_then, args=(weakref.ref(self), self._closed), name="graphscope-sync", daemon=True
        )
        self._syncer.start()

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def append(self, records: Sequence[RunRecord]) -> list[bytes]:
        """Writes records with one ``write()`` -> their frames, one each, whether the disk took them or not.

        Raises RunFileError only for a value that is no record (a fault of the caller); one that is merely too
        large is replaced by a Note that says so.
        """
        if os.getpid() != self._pid or self._closed.is_set():
            return []
        frames = [frame(_blob(record)) for record in records]
        if not frames:
            return []
        owed = [*self._owed, *([_lost_note(self._lost, self.failed)] if self._lost else [])]
        before, self.places = self._size, None
        try:
            if os.fstat(self._fd).st_nlink == 0:
                raise OSError(errno.ENOENT, "the run file was deleted")
            for group in _groups([*owed, *frames]):
                self._write(group)
        except OSError as error:
            self._take_back(before)
            self._fail(error)
            kept = [f for f, r in zip(frames, records, strict=True) if isinstance(r, _NEEDED_LATER)]
            self.dropped += len(frames) - len(kept)
            self._lost += len(frames) - len(kept)
            self._owed += kept
            return frames
        self.records += len(owed) + len(frames)
        self.steps += sum(isinstance(record, StepRecord) for record in records)
        self._owed, self._lost, self.failed = [], 0, None
        self.places, at = [], before + sum(map(len, owed))
        for one in frames:
            self.places.append(Place(self._file, at, len(one)))
            at += len(one)
        return frames

    def close(self, reason: str = "closed", *, dropped: int = 0) -> list[RunRecord]:
        """Writes the RunEnd, syncs and closes -> the records written; nothing at a second call.

        ``dropped``: records that were lost before they reached this writer.
        """
        if os.getpid() != self._pid or self._closed.is_set():
            return []
        end = RunEnd(steps=self.steps, records=self.records, dropped=self.dropped + dropped, reason=reason)
        self.append([end])
        written = self.failed is None
        self._closed.set()
        self._syncer.join()
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._fail(error)
        self._release()
        return [end] if written else []

    def _write(self, data: bytes) -> None:
        """One ``write()``; raises OSError where it did not take all of ``data``."""
        written = os.write(self._fd, data)
        self._size += written
        self._dirty = True
        if written != len(data):
            taken = f"{written:,} of {len(data):,} bytes were taken"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {taken}")

    def _take_back(self, size: int) -> None:
        """Cuts a torn record off, so that what is appended later does not lie behind it."""
        if self._size == size:
            return
        try:
            os.ftruncate(self._fd, size)
            self._size = size
        except OSError as error:  # readers find the next record behind the torn one by its checksum
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failed = f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, 'OSError')})"
        if self._warned:
            return
        self._warned = True
        text = (
            f"GraphScope cannot write {self.path}: {self.failed}. The training goes on; what is recorded meanwhile is "
            "lost and counted, and writing is tried again."
        )
        try:
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        except RuntimeWarning:  # the user's filter makes warnings errors; a full disk is none of the training's
            print(text, file=sys.stderr)

    def _sync(self) -> None:
        if self._dirty:
            self._dirty = False
            try:
                _fdatasync(self._fd)
            except OSError as error:
                self._fail(error)


def _sync_now_and_then(writer: weakref.ref[RunWriter], closed: threading.Event) -> None:
    while not closed.wait(SYNC_SECONDS):
        alive = writer()
        if alive is None:
            return
        alive._sync()
        del alive


def _blob(record: RunRecord) -> bytes:
    try:
        return encode(record)
    except RecordTooLarge as error:
        step: Any = getattr(record, "step", None)
        return encode(Note(severity="warning", text=f"left out: {error}", step=step))


def _lost_note(lost: int, reason: str | None) -> bytes:
    text = f"{lost:,} records before this were lost: {reason}"
    return frame(encode(Note(severity="warning", text=text)))


def _groups(frames: Sequence[bytes]) -> list[bytes]:
    """Frames -> as few buffers as MAX_WRITE allows; in practice one."""
    groups: list[list[bytes]] = [[]]
    size = 0
    for one in frames:
        if size and size + len(one) > MAX_WRITE:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += len(one)
    return [b"".join(group) for group in groups]


def _refused(run_dir: Path, error: OSError | ValueError) -> RunDirectoryError:
    reason = getattr(error, "strerror", None) or error
    return RunDirectoryError(
        f"run_dir={str(run_dir)!r}: a run cannot be written there ({reason}). "
        "Wanted: a directory that can be made or written, with room on its disk. Give another run_dir."
    )
