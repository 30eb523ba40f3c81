"""StepStats <-> PackedStats: the same values in a third of the bytes, so that a captured step of 200 tensors is 35 KB.

Nothing is rounded. What the packed form cannot hold exactly (a negative count, one of 2**32 or more) is written as a
plain StepStats instead. A packed table comes out of a hostile file: every length is checked before anything is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from graphscope.errors import RunFileError
from graphscope.schema import HISTOGRAM_BINS, PackedStats, StepStats

MOST_ROWS = 1 << 17
"""Rows of a packed table; a plain one of as many is larger than a record may be."""
_BYTES = HISTOGRAM_BINS // 8
_CODES = ("role", "flags", "dtype", "ndim")
_NONFINITE = ("nan", "pos_inf", "neg_inf")
_EXACT = ("mean", "std", "l2")
_PACKED = frozenset(
    (*_CODES, *_NONFINITE, *_EXACT, "count", "zeros", "sizes", "min", "max", "absmax", "histogram_row", "histogram")
)
_ROWS = (*_CODES, *_NONFINITE, *_EXACT, "count", "zeros", "min", "max", "absmax")
_SAME = tuple(
    field.name for field in dataclasses.fields(PackedStats) if field.name in StepStats.__slots__ and
    field.name not in _PACKED
)  # fmt: skip
_COLUMNS = (
    "address", "codes", "whole", "nonfinite", "exact", "ends", "wide_ends", "absmax", "cosine", "histogram_row", "used",
    "bins", "over_at", "over",
)  # fmt: skip
_COMPLETE = _PACKED | set(_SAME) >= set(StepStats.__slots__)
"""False if StepStats has a field that a PackedStats would lose."""

Floats = npt.NDArray[np.float64]


def pack(stats: StepStats) -> PackedStats | None:
    """A StepStats with arrays of the schema's types -> its packed form; None where that would not be the same."""
    rows, m = len(stats.address), len(stats.histogram_row)
    if not _COMPLETE or rows > MOST_ROWS or m > rows or stats.histogram.shape != (m, HISTOGRAM_BINS):
        return None
    if any(getattr(stats, name).shape != (rows,) for name in _ROWS):
        return None  # no table at all: readers refuse it, and say so
    whole = np.concatenate((stats.count, stats.zeros, stats.sizes))
    nonfinite = np.concatenate([getattr(stats, name) for name in _NONFINITE])
    any_nonfinite = bool(nonfinite.any())
    # As unsigned numbers, negative ones are too large as well.
    if len(whole) and int(whole.view(np.uint64).max()) >> 32:
        return None
    if any_nonfinite and int(nonfinite.view(np.uint64).max()) >> 32:
        return None
    ends = np.concatenate((stats.min, stats.max))
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = ends.astype(np.float32)
    held = bool((narrow.astype(np.float64).view(np.int64) == ends.view(np.int64)).all())
    follows = bool((_absmax(ends, rows).view(np.int64) == stats.absmax.view(np.int64)).all())
    counts = stats.histogram.ravel()
    filled = counts.astype(bool)
    bins = counts[filled]
    over_at = np.flatnonzero(bins >> 16) if len(bins) and bins.max() >> 16 else np.zeros(0, np.int64)
    return PackedStats(
        **{name: getattr(stats, name) for name in _SAME},
        codes=np.concatenate([getattr(stats, name) for name in _CODES]),
        whole=whole.astype(np.uint32),
        nonfinite=nonfinite.astype(np.uint32) if any_nonfinite else None,
        exact=np.concatenate([getattr(stats, name) for name in _EXACT]),
        ends=narrow if held else None,
        wide_ends=None if held else ends,
        absmax=None if follows else stats.absmax,
        histogram_row=stats.histogram_row,
        used=np.packbits(filled),
        bins=bins.astype(np.uint16),  # keeps the low bits
        over_at=over_at.astype(np.uint32),
        over=(bins[over_at] >> 16).astype(np.uint16),
    )


_OF_ROWS = attrgetter(*_ROWS)
_OF_CODES, _OF_EXACT, _OF_NONFINITE = attrgetter(*_CODES), attrgetter(*_EXACT), attrgetter(*_NONFINITE)
PackedColumns = list[tuple[str, int, tuple[np.ndarray[Any, Any], ...]]]
"""(name, length, arrays that follow one another) of the columns that are there, in the order of the data."""


def packed_columns(stats: StepStats) -> PackedColumns | None:
    """As :func:`pack`, for the tables that nearly every step has, in a third of the time.

    None where there is anything unusual (a NaN or infinity was counted, an extreme that float32 does not hold, columns
    that do not fit together): then ``pack`` decides.
    """
    rows, m = len(stats.address), len(stats.histogram_row)
    if not _COMPLETE or not m <= rows <= MOST_ROWS or stats.histogram.shape != (m, HISTOGRAM_BINS):
        return None
    shape, cosine = (rows,), stats.cosine
    for column in _OF_ROWS(stats):
        if column.shape != shape:
            return None
    if cosine is not None and cosine.shape != shape:
        return None
    for column in _OF_NONFINITE(stats):
        if np.count_nonzero(column):
            return None
    whole = np.concatenate((stats.count, stats.zeros, stats.sizes))
    if np.count_nonzero(whole.view(np.uint32)[1::2]):  # the high halves; a negative number has one
        return None
    ends = np.concatenate((stats.min, stats.max))
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = ends.astype(np.float32)
    if narrow.astype(np.float64).tobytes() != ends.tobytes() or _absmax(ends, rows).tobytes() != stats.absmax.tobytes():
        return None
    counts = stats.histogram.ravel()
    filled = counts.astype(bool)
    bins = counts[filled]
    none: tuple[np.ndarray[Any, Any], ...] = ()
    low, over_at, over = bins.astype(np.uint16), none, none  # keeps the low bits
    j = 0
    if len(bins) and np.maximum.reduce(bins) >> 16:
        at = np.flatnonzero(bins >> 16)
        j, over_at, over = len(at), (at.astype(np.uint32),), ((bins[at] >> 16).astype(np.uint16),)
    columns: PackedColumns = [
        ("exact", 3 * rows, _OF_EXACT(stats)),
        ("address", rows, (stats.address,)),
        ("whole", len(whole), (whole.astype(np.uint32),)),
        ("ends", 2 * rows, (narrow,)),
        ("histogram_row", m, (stats.histogram_row,)),
        ("over_at", j, over_at),
        ("bins", len(bins), (low,)),
        ("over", j, over),
        ("codes", 4 * rows, _OF_CODES(stats)),
        ("used", m * _BYTES, (np.packbits(filled),)),
    ]
    if cosine is not None:
        columns.insert(6, ("cosine", rows, (cosine,)))
    return columns


def unpack(packed: PackedStats) -> StepStats:
    """The packed form -> the StepStats. Raises RunFileError where its columns do not fit together."""
    columns = {name: getattr(packed, name) for name in _COLUMNS}
    check_lengths({name: column.shape for name, column in columns.items() if column is not None})
    if len(packed.over_at) and int(packed.over_at.max()) >= len(packed.bins):
        raise _misfit("over_at", f"place {int(packed.over_at.max())} of {len(packed.bins)}")
    rows, m = len(packed.address), len(packed.histogram_row)
    whole = packed.whole.astype(np.int64)
    ends = np.asarray(packed.wide_ends if packed.ends is None else packed.ends, np.float64)
    codes = packed.codes.reshape(4, rows)
    zero = np.zeros((3, rows), np.int64)
    nonfinite = zero if packed.nonfinite is None else packed.nonfinite.astype(np.int64).reshape(3, rows)
    return StepStats(
        **{name: getattr(packed, name) for name in _SAME},
        **dict(zip(_CODES, codes, strict=True)),
        **dict(zip(_NONFINITE, nonfinite, strict=True)),
        **dict(zip(_EXACT, packed.exact.reshape(3, rows), strict=True)),
        count=whole[:rows],
        zeros=whole[rows : 2 * rows],
        sizes=whole[2 * rows :],
        min=ends[:rows],
        max=ends[rows:],
        absmax=_absmax(ends, rows) if packed.absmax is None else packed.absmax,
        histogram_row=packed.histogram_row,
        histogram=_histograms(packed, m),
    )


def _absmax(ends: Floats, rows: int) -> Floats:
    sizes = np.abs(ends)
    largest: Floats = np.maximum(sizes[:rows], sizes[rows:])
    return largest


def _histograms(packed: PackedStats, m: int) -> npt.NDArray[np.uint32]:
    """[m, 128] counts."""
    filled = np.unpackbits(packed.used).astype(bool)
    if int(np.count_nonzero(filled)) != len(packed.bins):
        raise _misfit("bins", f"{len(packed.bins)} counts for {np.count_nonzero(filled)} bins")
    counts = packed.bins.astype(np.uint32)
    if len(packed.over_at):
        counts[packed.over_at] |= packed.over.astype(np.uint32) << np.uint32(16)
    histogram = np.zeros(m * HISTOGRAM_BINS, np.uint32)
    histogram[filled] = counts
    return histogram.reshape(m, HISTOGRAM_BINS)


def check_lengths(shapes: Mapping[str, Sequence[int]]) -> int:
    """Shapes of the columns that are there -> the number of rows.

    Raises RunFileError where they do not fit. The sum over ``ndim`` and the number of bins are not seen here.
    """
    (rows,), (m,) = (_flat(shapes, name) for name in ("address", "histogram_row"))
    if rows > MOST_ROWS or m > rows:
        raise _misfit("histogram_row", f"{m:,} histograms of {rows:,} rows")
    if ("ends" in shapes) == ("wide_ends" in shapes):
        raise _misfit("ends", "wanted either these or wide_ends")
    (j,) = _flat(shapes, "over")
    lengths = {
        "codes": 4 * rows, "nonfinite": 3 * rows, "exact": 3 * rows, "ends": 2 * rows, "wide_ends": 2 * rows,
        "absmax": rows, "cosine": rows, "used": m * _BYTES, "over_at": j,
    }  # fmt: skip
    for name, length in lengths.items():
        if name in shapes and list(shapes[name]) != [length]:
            raise _misfit(name, f"shape {tuple(shapes[name])}; wanted ({length},)")
    if _flat(shapes, "whole")[0] < 2 * rows or len(shapes["bins"]) != 1:
        raise _misfit("whole", f"shape {tuple(shapes['whole'])} for {rows} rows")
    return rows


def _flat(shapes: Mapping[str, Sequence[int]], name: str) -> Sequence[int]:
    if len(shapes[name]) != 1:
        raise _misfit(name, f"shape {tuple(shapes[name])}; wanted one dimension")
    return shapes[name]


def _misfit(name: str, text: str) -> RunFileError:
    return RunFileError(f"PackedStats.{name}: {text}")
