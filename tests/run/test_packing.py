"""What was packed is unpacked equal to the bit, is small, and a packed table that does not fit is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphscope.errors import RunFileError
from graphscope.run import decode, encode, frame, load, packing
from graphscope.run.codec import blob_of, with_arrays
from graphscope.run.packing import pack, packed_columns, unpack
from graphscope.schema import HISTOGRAM_BINS, PackedStats, StepStats
from tests.golden import make_golden, small_cnn
from tests.run.random_records import same

GOLDEN = Path(make_golden.__file__).parent
WHOLE = st.integers(0, 2**32 - 1) | st.sampled_from([0, 0, 0, 1, 65_535, 65_536])
REAL = st.floats(width=32) | st.floats() | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf])


@st.composite
def tables(draw: st.DrawFn) -> StepStats:
    """Any StepStats that a capture could make, and many that it could not."""
    n = draw(st.integers(0, 5))
    ndim = draw(hnp.arrays(np.uint8, n, elements=st.integers(0, 3)))
    rows = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else []

    def whole(size: int) -> Any:
        return draw(hnp.arrays(np.int64, size, elements=WHOLE))

    def real() -> Any:
        return draw(hnp.arrays(np.float64, n, elements=REAL))

    low, high = real(), real()
    absmax = np.maximum(np.abs(low), np.abs(high)) if draw(st.booleans()) else real()
    counts = hnp.arrays(np.uint32, (len(rows), HISTOGRAM_BINS), elements=WHOLE, fill=st.just(0))
    return StepStats(
        step=draw(st.integers(0, 9)), pass_index=0, address=np.arange(n, dtype=np.uint32), role=np.zeros(n, np.uint8),
        flags=np.zeros(n, np.uint8), dtype=np.zeros(n, np.uint8), ndim=ndim, sizes=whole(int(ndim.sum())),
        count=whole(n), mean=real(), std=real(), min=low, max=high, absmax=absmax, l2=real(), zeros=whole(n),
        nan=whole(n), pos_inf=whole(n), neg_inf=np.zeros(n, np.int64), histogram_row=np.array(rows, np.uint32),
        histogram=draw(counts), dtypes=("float32",), unmeasured={"0": "why"},
    )  # fmt: skip


@given(tables())
@settings(max_examples=120, deadline=None)
def test_packing_loses_nothing(stats: StepStats) -> None:
    packed = pack(stats)
    assert packed is not None
    assert encode(stats) == blob_of(packed), "the short way writes the same bytes"
    assert same(unpack(packed), stats)
    assert same(decode(encode(stats)), stats)


def test_every_field_has_a_place_in_the_packed_form() -> None:
    assert packing._COMPLETE, "a new field of StepStats: add it to PackedStats too, or steps are written in full"


@pytest.mark.parametrize("change", [{"count": -1}, {"zeros": 2**32}, {"nan": -1}, {"pos_inf": 2**40}, {"sizes": -5}])
def test_what_does_not_fit_is_written_in_full(change: dict[str, int]) -> None:
    stats = with_arrays(small_cnn.step_stats(2))
    ((name, value),) = change.items()
    column = getattr(stats, name).copy()
    column[-1] = value
    odd = dataclasses.replace(stats, **{name: column})
    assert pack(odd) is None and same(decode(encode(odd)), odd)


def test_a_step_of_200_tensors_takes_at_most_40_kilobytes() -> None:
    random = np.random.default_rng(0)
    n = 200
    exponents = random.normal(size=(25, 100_000)) * 10.0 ** random.uniform(-8, 1, (25, 1))
    counts = np.zeros((25, HISTOGRAM_BINS), np.uint32)
    for row, values in zip(counts, exponents, strict=True):
        at = np.floor(np.log2(np.abs(values))).clip(-40, 23).astype(int) + 40
        np.add.at(row, np.where(values < 0, 63 - at, 64 + at), 1)
    ends = random.normal(size=(2, n)).astype(np.float32).astype(np.float64)
    moments = random.normal(size=(3, n))
    zero = np.zeros(n, np.int64)
    stats = StepStats(
        step=0, pass_index=0, address=np.arange(n), role=zero, flags=zero, dtype=zero, ndim=zero + 4,
        sizes=np.full(4 * n, 64), count=zero + 100_000, mean=moments[0], std=moments[1], l2=moments[2],
        min=ends[0], max=ends[1], absmax=np.abs(ends).max(0), zeros=zero + 5, nan=zero, pos_inf=zero, neg_inf=zero,
        histogram_row=np.arange(n), histogram=np.tile(counts, (8, 1)), dtypes=("float32",),
    )  # fmt: skip
    size = len(frame(encode(stats)))
    assert size <= 40_000, f"{size:,} bytes"
    assert len(blob_of(with_arrays(stats))) > 3 * size


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("codes", np.zeros(3, np.uint8), r"codes: shape \(3,\)"),
        ("whole", np.zeros(3, np.uint32), "whole"),
        ("nonfinite", np.zeros(1, np.uint32), "nonfinite"),
        ("exact", np.zeros((3, 2)), "exact"),
        ("ends", None, "either"),
        ("wide_ends", np.zeros(4), "either"),
        ("absmax", np.zeros(1), "absmax"),
        ("used", np.zeros(5, np.uint8), "used"),
        ("used", np.full(16, 255, np.uint8), "bins: 2 counts for 128 bins"),
        ("over_at", np.array([9], np.uint32), "over"),
        ("histogram_row", np.zeros(9, np.uint32), "9 histograms of 2 rows"),
    ],
)
def test_columns_that_do_not_fit_are_refused(name: str, value: Any, says: str) -> None:
    good = PackedStats(
        step=0, pass_index=0, address=np.arange(2, dtype=np.uint32), codes=np.zeros(8, np.uint8),
        whole=np.ones(4, np.uint32), nonfinite=None, exact=np.ones(6), ends=np.ones(4, np.float32), wide_ends=None,
        absmax=None, histogram_row=np.zeros(1, np.uint32), used=np.array([0b11000000, *[0] * 15], np.uint8),
        bins=np.array([1, 2], np.uint16), over_at=np.zeros(0, np.uint32), over=np.zeros(0, np.uint16),
        dtypes=("float32",),
    )  # fmt: skip
    assert unpack(good).histogram[0, :2].tolist() == [1, 2]
    with pytest.raises(RunFileError, match=says):
        decode(blob_of(dataclasses.replace(good, **{name: value})))
    with pytest.raises(RunFileError, match="over_at: place 2 of 2"):
        over = {"over_at": np.array([2], np.uint32), "over": np.ones(1, np.uint16)}
        unpack(dataclasses.replace(good, **over))


def test_the_form_of_version_1_0_is_read_as_the_packed_one() -> None:
    plain, packed = load(GOLDEN / "plain_stats.gscope"), load(GOLDEN / "small_cnn.gscope")
    assert plain.damaged == 0 and plain.finished and not plain.unknown and not plain.notes[1:]
    pairs = zip(plain.records(), packed.records(), strict=True)
    assert all(same(a, b) for a, b in pairs if a.kind not in ("graph", "run_header"))
    sizes = [(GOLDEN / name).stat().st_size for name in ("small_cnn.gscope", "plain_stats.gscope")]
    assert sizes[0] < 0.6 * sizes[1]


def test_large_numbers_come_back_as_they_were() -> None:
    run = load(GOLDEN / "large_counts.gscope")
    (stats,) = run.records_at(7)
    assert same(stats, with_arrays(small_cnn.large_counts()[1]))
    histogram = run.histogram("a", step=7)
    assert histogram is not None
    assert {int(at): int(histogram[at]) for at in np.flatnonzero(histogram)} == small_cnn.LARGE_COUNTS


@given(tables(), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=120, deadline=None)
def test_the_short_way_of_ordinary_tables_writes_the_same_bytes(stats: StepStats, most: int, cosine: bool) -> None:
    """Nothing but finite numbers, extremes that were float32: what nearly every step is."""
    n = len(stats.address)
    with np.errstate(over="ignore"):
        low, high = (np.nan_to_num(column).astype(np.float32).astype(np.float64) for column in (stats.min, stats.max))
    ordinary = dataclasses.replace(
        stats, nan=np.zeros(n, np.int64), pos_inf=np.zeros(n, np.int64), min=low, max=high,
        absmax=np.maximum(abs(low), abs(high)), histogram=np.minimum(stats.histogram, np.uint32(most)),
        cosine=np.linspace(-1, 1, n, dtype=np.float32) if cosine else None,
    )  # fmt: skip
    packed = pack(ordinary)
    assert packed_columns(ordinary) is not None and packed is not None
    assert encode(ordinary) == blob_of(packed)
    assert same(decode(encode(ordinary)), ordinary)


def test_a_column_that_does_not_lie_in_one_piece_is_written_too() -> None:
    table = np.arange(24, dtype=np.float64).reshape(8, 3)
    zero = np.zeros(8, np.int64)
    stats = with_arrays(
        StepStats(
            step=1, pass_index=0, address=zero, role=zero, flags=zero, dtype=zero, ndim=zero, sizes=zero[:0],
            count=zero, mean=table[:, 0], std=table[:, 1], min=-table[:, 2], max=table[:, 2], absmax=table[:, 2],
            l2=table[::-1, 0], zeros=zero, nan=zero, pos_inf=zero, neg_inf=zero, histogram_row=zero[:0],
            histogram=np.zeros((0, HISTOGRAM_BINS), np.uint32), dtypes=("float32",),
        )
    )  # fmt: skip
    found = decode(encode(stats))
    assert isinstance(found, StepStats) and found.mean.tolist() == [0, 3, 6, 9, 12, 15, 18, 21]
    assert found.l2.tolist() == [21, 18, 15, 12, 9, 6, 3, 0]
