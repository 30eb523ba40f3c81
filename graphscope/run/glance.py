"""A packed table's blob -> its step, its rows' addresses and where each number lies, without reading the numbers.

So a file of half a gigabyte opens in a second, and one statistic of one tensor is a few bytes of each record.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphscope.errors import RunFileError
from graphscope.run.fields import FIELDS
from graphscope.run.packing import check_lengths
from graphscope.schema import NOT_MEASURED, PackedStats

CODES = {name: field.code.encode("ascii") for name, field in FIELDS[PackedStats.kind].arrays.items()}
"""Column -> dtype name of safetensors."""
NEEDED = frozenset(name for name, field in FIELDS[PackedStats.kind].arrays.items() if not field.nullable)
_COLUMN = (
    rb',"([a-z_]{1,40})":{"dtype":"([A-Z]+[0-9]+)","shape":\[([0-9]{1,8})\],'
    rb'"data_offsets":\[([0-9]{1,8}),([0-9]{1,8})\]}'
)
HEAD = re.compile(
    rb'{"__metadata__":{"kind":"packed_stats","json":"{\\"step\\":(-?[0-9]{1,18}),[^"\\]*(?:\\.[^"\\]*)*"}((?:'
    + _COLUMN.replace(b"(", b"(?:")
    + rb")+)} {0,7}"
)
"""Header of such a blob as our writer puts it; one that looks otherwise is decoded in full."""
COLUMN = re.compile(_COLUMN)
_DOUBLE, _FLOAT, _UINT = struct.Struct("<d"), struct.Struct("<f"), struct.Struct("<I")
Read = Callable[[int, int], bytes]
"""(offset in the blob, length) -> bytes."""


class Columns(NamedTuple):
    """Offsets in the blob; None for a column that was left out."""

    rows: int
    codes: int
    whole: int
    nonfinite: int | None
    exact: int
    ends: int | None
    wide_ends: int | None
    absmax: int | None
    cosine: int | None

    def value(self, read: Read, row: int, statistic: str) -> float:
        """One of ``schema.STATISTICS`` or ``cosine`` of a row, as :func:`graphscope.run.summary.value_at`."""
        n = self.rows
        if read(self.codes + n + row, 1)[0] & NOT_MEASURED:
            return math.nan
        match statistic:
            case "mean" | "std" | "l2":
                return self._double(read, self.exact, ("mean", "std", "l2").index(statistic) * n + row)
            case "min":
                return self._end(read, row)
            case "max":
                return self._end(read, n + row)
            case "absmax":
                if self.absmax is not None:
                    return self._double(read, self.absmax, row)
                low, high = abs(self._end(read, row)), abs(self._end(read, n + row))
                return math.nan if low != low or high != high else max(low, high)
            case "cosine":
                return math.nan if self.cosine is None else self._float(read, self.cosine, row)
            case "count" | "zeros":
                return float(self._whole(read, self.whole, n * (statistic == "zeros") + row))
            case "zero_share":
                count = self._whole(read, self.whole, row)
                return self._whole(read, self.whole, n + row) / count if count else math.nan
        if self.nonfinite is None:
            return 0.0
        parts = {"nan": (0,), "pos_inf": (1,), "neg_inf": (2,), "inf": (1, 2)}[statistic]
        return float(sum(self._whole(read, self.nonfinite, part * n + row) for part in parts))

    def _double(self, read: Read, column: int, at: int) -> float:
        return float(_DOUBLE.unpack(read(column + 8 * at, 8))[0])

    def _float(self, read: Read, column: int, at: int) -> float:
        return float(_FLOAT.unpack(read(column + 4 * at, 4))[0])

    def _whole(self, read: Read, column: int, at: int) -> int:
        return int(_UINT.unpack(read(column + 4 * at, 4))[0])

    def _end(self, read: Read, at: int) -> float:
        if self.ends is not None:
            return self._float(read, self.ends, at)
        assert self.wide_ends is not None
        return self._double(read, self.wide_ends, at)


@dataclass(slots=True)
class Glance:
    """What is known of a packed table without reading its numbers."""

    step: int
    rows: int
    places: bytes
    """Addresses as the file numbers them (u32 each), then roles (u8 each)."""
    columns: Columns

    @property
    def address(self) -> npt.NDArray[np.uint32]:
        """[n]"""
        return np.frombuffer(self.places, "<u4", self.rows)

    @property
    def role(self) -> npt.NDArray[np.uint8]:
        """[n]"""
        return np.frombuffer(self.places, np.uint8, self.rows, 4 * self.rows)


def glance(blob: bytes) -> Glance | None:
    """A blob -> what it is; None for one of another kind or shape, which ``decode`` then takes in full.

    Raises RunFileError where it is a packed table whose columns do not fit together.
    """
    data = 8 + int.from_bytes(blob[:8], "little")
    found = HEAD.fullmatch(blob, 8, data) if data <= len(blob) else None
    if found is None:
        return None
    at, shapes, end = {}, {}, 0
    for raw, code, size, start, stop in COLUMN.findall(found[2]):
        name = raw.decode("ascii")
        field = FIELDS[PackedStats.kind].arrays.get(name)
        if field is None or code != CODES[name] or int(start) != end:
            return None
        at[name], shapes[name], end = data + end, (int(size),), int(stop)
        if end - int(start) != int(size) * field.dtype.itemsize:
            return None
    if not at.keys() >= NEEDED or end != len(blob) - data or len(at) != found[2].count(b'"dtype"'):
        return None
    rows = check_lengths(shapes)
    address, codes = at["address"], at["codes"]
    if sum(blob[codes + 3 * rows : codes + 4 * rows]) != shapes["whole"][0] - 2 * rows:
        raise RunFileError("PackedStats.whole: sizes that do not fit the dimensions")
    places = blob[address : address + 4 * rows] + blob[codes : codes + rows]
    starts: Any = {name: at.get(name) for name in Columns._fields[1:]}
    return Glance(int(found[1]), rows, places, Columns(rows, **starts))
