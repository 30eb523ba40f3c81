"""A packed table's blob -> its step, its rows' addresses and where each number lies, without reading the numbers.

So a file of half a gigabyte opens in a second, and one statistic of one tensor is a few bytes of each record.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphscope.errors import RunFileError
from graphscope.run.fields import FIELDS
from graphscope.run.packed_header import ColumnsText, columns_text
from graphscope.run.packing import check_lengths
from graphscope.schema import NOT_MEASURED, PackedStats

CODES = {name: field.code.encode("ascii") for name, field in FIELDS[PackedStats.kind].arrays.items()}
"""Column -> dtype name of safetensors."""
NEEDED = frozenset(name for name, field in FIELDS[PackedStats.kind].arrays.items() if not field.nullable)
_COLUMN = (
    rb',"([a-z_]{1,40})":{"dtype":"([A-Z]+[0-9]+)","shape":\[([0-9]{1,8})\],'
    rb'"data_offsets":\[([0-9]{1,8}),([0-9]{1,8})\]}'
)
START = re.compile(
    rb'{"__metadata__":{"kind":"packed_stats","json":"{\\"step\\":(-?[0-9]{1,18}),[^"\\]*(?:\\.[^"\\]*)*"}'
)
"""Beginning of the header of such a blob as our writer puts it; one that looks otherwise is decoded in full."""
COLUMN = re.compile(
    rb',"([a-z_]{1,40})":{"dtype":"([A-Z]+[0-9]+)","shape":\[([0-9]{1,8})\],'
    rb'"data_offsets":\[([0-9]{1,8}),([0-9]{1,8})\]}'
)
BINS = b',"bins":{"dtype":"U16","shape":['
END = re.compile(rb"} {0,7}")
MOST_SHAPES = 64
_DOUBLE, _FLOAT, _UINT = struct.Struct("<d"), struct.Struct("<f"), struct.Struct("<I")
Read = Callable[[int, int], bytes]
"""(offset in the blob, length) -> bytes."""


class Shape(NamedTuple):
    """Tables that differ in nothing but how many bins are not empty: nearly all of a run."""

    text: ColumnsText
    rows: int
    sizes: int
    """Length of ``sizes``."""
    starts: dict[str, int]
    """Column -> where it begins in the data, as if ``bins`` were empty; columns that were left out are not here."""


class Columns:
    """Where the columns of one table lie in its blob; None for a column that was left out."""

    __slots__ = ("_bins", "_data", "_starts", "rows")

    def __init__(self, shape: Shape, data: int, bins: int) -> None:
        self.rows = shape.rows
        self._starts = shape.starts
        self._data = data
        self._bins = bins
        """Bytes of ``bins``, which lie before ``codes``."""

    @property
    def codes(self) -> int:
        """role, flags, dtype, ndim: one byte each."""
        return self._data + self._bins + self._starts["codes"]

    def at(self, name: str) -> int | None:
        """A column of numbers of four or eight bytes, which lie before ``bins``."""
        start = self._starts.get(name)
        return None if start is None else self._data + start

    def value(self, read: Read, row: int, statistic: str) -> float:
        """One of ``schema.STATISTICS`` or ``cosine`` of a row, as :func:`graphscope.run.summary.value_at`."""
        n = self.rows
        if read(self.codes + n + row, 1)[0] & NOT_MEASURED:
            return math.nan
        match statistic:
            case "mean" | "std" | "l2":
                return self._number(read, _DOUBLE, "exact", ("mean", "std", "l2").index(statistic) * n + row)
            case "min":
                return self._end(read, row)
            case "max":
                return self._end(read, n + row)
            case "absmax":
                if self.at("absmax") is not None:
                    return self._number(read, _DOUBLE, "absmax", row)
                low, high = abs(self._end(read, row)), abs(self._end(read, n + row))
                return math.nan if low != low or high != high else max(low, high)
            case "cosine":
                return math.nan if self.at("cosine") is None else self._number(read, _FLOAT, "cosine", row)
            case "count" | "zeros":
                return self._number(read, _UINT, "whole", n * (statistic == "zeros") + row)
            case "zero_share":
                count = self._number(read, _UINT, "whole", row)
                return self._number(read, _UINT, "whole", n + row) / count if count else math.nan
        if self.at("nonfinite") is None:
            return 0.0
        parts = {"nan": (0,), "pos_inf": (1,), "neg_inf": (2,), "inf": (1, 2)}[statistic]
        return sum(self._number(read, _UINT, "nonfinite", part * n + row) for part in parts)

    def _number(self, read: Read, kind: struct.Struct, column: str, at: int) -> float:
        return float(kind.unpack(read(self._data + self._starts[column] + kind.size * at, kind.size))[0])

    def _end(self, read: Read, at: int) -> float:
        narrow = self.at("ends") is not None
        return self._number(read, _FLOAT, "ends", at) if narrow else self._number(read, _DOUBLE, "wide_ends", at)


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
    found = START.match(blob, 8, data) if data <= len(blob) else None
    if found is None:
        return None
    text = blob[found.end() : data]
    known = _known(text) or _learned(text)
    if known is None:
        return None
    shape, bins, size = known
    rows = shape.rows
    if size != len(blob) - data:
        return None
    columns = Columns(shape, data, 2 * bins)
    address, codes = data + shape.starts["address"], columns.codes
    if sum(blob[codes + 3 * rows : codes + 4 * rows]) != shape.sizes:
        raise RunFileError("PackedStats.whole: sizes that do not fit the dimensions")
    places = blob[address : address + 4 * rows] + blob[codes : codes + rows]
    return Glance(int(found[1]), rows, places, columns)


def _known(text: bytes) -> tuple[Shape, int, int] | None:
    """Header behind its metadata -> (shape, filled bins, bytes of the data), if it is like one that was checked."""
    begin = text.find(BINS) + len(BINS)
    stop = text.find(b"]", begin, begin + 9)
    number = text[begin:stop]
    shape = _SHAPES.get(text[:begin]) if stop > 0 and number.isdigit() else None
    if shape is None:
        return None
    bins = int(number)
    wanted, size = shape.text.of(bins)
    same = text.startswith(wanted.encode("ascii")) and END.fullmatch(text, len(wanted))
    return (shape, bins, size) if same else None


def _learned(text: bytes) -> tuple[Shape, int, int] | None:
    """The same of any header, every column checked. Raises RunFileError where columns do not fit together."""
    lengths: dict[str, int] = {}
    starts: dict[str, int] = {}
    end = at = 0
    while column := COLUMN.match(text, at):
        raw, code, size, start, stop = column.groups()
        name, at = raw.decode("ascii"), column.end()
        field = FIELDS[PackedStats.kind].arrays.get(name)
        if field is None or name in lengths or code != CODES[name] or int(start) != end:
            return None
        lengths[name], starts[name], end = int(size), end, int(stop)
        if end - starts[name] != lengths[name] * field.dtype.itemsize:
            return None
    # Narrow numbers come last, so that what is looked up in a table lies where its shape says.
    if not lengths.keys() >= NEEDED or not END.fullmatch(text, at) or not _ordered(starts):
        return None
    rows = check_lengths({name: (length,) for name, length in lengths.items()})
    bins = lengths["bins"]
    made = columns_text(tuple((name, 0 if name == "bins" else length) for name, length in lengths.items()))
    starts = {name: start - 2 * bins * (start > starts["bins"]) for name, start in starts.items()}
    shape = Shape(made, rows, lengths["whole"] - 2 * rows, starts)
    if len(_SHAPES) >= MOST_SHAPES:
        _SHAPES.clear()
    _SHAPES[made.before.encode("ascii")] = shape
    return shape, bins, end


def _ordered(starts: dict[str, int]) -> bool:
    """Whether the bytes lie behind ``bins``, and what is wider before them."""
    names = list(starts)
    at = names.index("bins")
    return "codes" in names[at:] and {"over", "codes", "used"} >= set(names[at + 1 :])


_SHAPES: dict[bytes, Shape] = {}
"""Text up to the number of bins -> the shape it was last found with."""
