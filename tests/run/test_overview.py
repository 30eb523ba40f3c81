"""An overview never drops an extreme, covers every step once, and its means are those of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphscope.run.overview import overview
from tests.run.test_run import HEADER, run_of, stats_of, table

VALUES = hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats() | st.just(np.nan))


@given(VALUES, st.integers(1, 30), st.data())
@settings(max_examples=100, deadline=None)
def test_every_step_is_in_one_stretch_with_its_extremes(values: Any, buckets: int, data: st.DataObject) -> None:
    gaps = data.draw(hnp.arrays(np.int64, len(values), elements=st.integers(1, 5)))
    steps = np.cumsum(gaps)
    short = overview(steps, values, buckets)
    assert len(short.first) == min(buckets, len(values)) == len(short.mean)
    seen = 0
    for i in range(len(short.first)):
        inside = (steps >= short.first[i]) & (steps <= short.last[i])
        part = values[inside]
        seen += len(part)
        known = part[~np.isnan(part)]
        assert len(part) and short.known[i] == len(known)
        if not len(known):
            assert np.isnan([short.min[i], short.mean[i], short.max[i]]).all()
            continue
        assert short.min[i] == known.min() and short.max[i] == known.max()
        finite = known[np.isfinite(known)].astype(np.longdouble)
        if not len(finite):
            assert np.isnan(short.mean[i])
            continue
        assert short.min[i] <= short.mean[i] <= short.max[i]
        size = float(np.abs(finite).max())
        assert short.mean[i] == pytest.approx(float(finite.mean()), rel=1e-9, abs=size * 1e-12 + 1e-300)
    assert seen == len(values)
    known = values[~np.isnan(values)]
    if len(known):
        assert np.nanmin(short.min) == known.min() and np.nanmax(short.max) == known.max()


def test_of_a_run() -> None:
    run = run_of(HEADER, table("x"), *(stats_of(n, {0: np.full(3, float(n % 10))}) for n in range(100)))
    short = run.overview("x", "mean", buckets=4)
    assert short.first.tolist() == [0, 25, 50, 75] and short.last.tolist() == [24, 49, 74, 99]
    assert set(short.max.tolist()) == {9.0} and set(short.min.tolist()) == {0.0} and short.known.tolist() == [25] * 4
    assert run.overview("x", "mean").mean.tolist() == run.series("x", "mean")[1].tolist(), "a short one stays"
