"""A path or compressed bytes -> bytes, never more than the caller is ready for.

Files come from the network or from a folder of unknown history: a named pipe would block, a sparse file or a small
gzip can stand for terabytes. Nothing here writes.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path

from graphscope.errors import DataError


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Raises: DataError if it is none, cannot be read, or holds more than ``most`` bytes.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path}: not a regular file.")
            if found.st_size > most:
                raise DataError(f"{path}: {found.st_size:,} bytes; wanted at most {most:,}.")
            return file.read(most)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error


class Gunzipped(io.RawIOBase):
    """The content of gzip bytes as a stream that raises DataError after ``most`` bytes or on damage."""

    def __init__(self, data: bytes, most: int, name: str) -> None:
        self._file = gzip.GzipFile(fileobj=io.BytesIO(data))
        self._left, self._most, self._name = most, most, name

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            part = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._name}: damaged gzip: {error}.") from error
        self._left -= len(part)
        if self._left < 0:
            raise DataError(f"{self._name}: unpacks to more than {self._most:,} bytes, the most it should hold.")
        return part


def gunzip(data: bytes, most: int, name: str) -> bytes:
    """Gzip bytes -> at most ``most`` bytes. Raises: DataError on damage or on more."""
    return Gunzipped(data, most, name).read()
