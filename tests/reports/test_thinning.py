"""A long run made short: what must stay stays to the bit, what is left out is said, and bounds hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphscope.reports.thinning import STAGES, Limits, round_binary, thinned
from graphscope.run import Run
from graphscope.schema import Finding, PassRecord, RunRecord, StepRecord, StepStats
from tests.reports.long_runs import long_run
from tests.run.random_records import same


def of_kind(records: list[RunRecord], kind: type) -> list[RunRecord]:
    return [record for record in records if isinstance(record, kind)]


def test_a_short_run_stays_as_it_is() -> None:
    run = long_run(60, every=1)
    records, words = thinned(run, Limits())
    assert words == []
    for kept, whole in zip(records, run.records(), strict=True):
        assert same(kept, whole)


def test_a_long_run_keeps_its_ends_its_peaks_and_what_is_near_a_finding() -> None:
    run = long_run(12_000, every=10, finding=7_000)
    records, words = thinned(run, Limits(steps=600, statistics=60, histograms=12))
    steps = [record.step for record in records if isinstance(record, StepRecord)]
    assert len(steps) <= 600 and steps == sorted(steps)
    assert steps[0] == 0 and steps[-1] == 11_999
    assert 4_000 in steps, "the highest loss of all"
    assert set(range(6_984, 7_017)) <= set(steps), "every step near the finding"
    assert 6_000 in steps, "the step at which the learning rate changed"

    stats = [record for record in records if isinstance(record, StepStats)]
    assert len(stats) == 60 and {0, 11_990, 6_990, 7_000, 7_010} <= {one.step for one in stats}
    assert {one.step for one in stats} <= set(steps), "a captured step has its loss"
    with_histogram = [one.step for one in stats if len(one.histogram_row)]
    assert len(with_histogram) == 12 and {0, 11_990, 7_000} <= set(with_histogram)
    whole = {record.step: record for record in run.records() if isinstance(record, StepStats)}
    assert all(np.array_equal(one.mean, whole[one.step].mean) for one in stats), "not rounded"

    assert words[0].startswith(f"{len(steps)} of 12,000 steps; ")
    assert words[1].startswith("60 of 1,200 captured steps with their statistics")
    assert words[2].startswith("12 of 60 captured steps with histograms")


def test_lowest_highest_and_usual_loss_of_each_stretch() -> None:
    run = Run()
    losses = np.random.default_rng(1).normal(1, 0.1, 3_000)
    for step, loss in enumerate(losses):
        run.add(
            StepRecord(
                step=step,
                captured=False,
                passes=1,
                seconds=0,
                step_seconds=None,
                self_seconds=0,
                scalars={"loss": loss},
            )
        )
    records, _ = thinned(run, Limits(steps=302))
    kept = {record.step for record in records if isinstance(record, StepRecord)}
    for stretch in np.array_split(np.arange(3_000), 100):
        values = losses[stretch]
        assert int(stretch[values.argmin()]) in kept and int(stretch[values.argmax()]) in kept
        assert int(stretch[np.abs(values - values.mean()).argmin()]) in kept


def test_only_the_latest_of_each_finding_stays() -> None:
    run = long_run(50, finding=20)
    records, _ = thinned(run, Limits())
    (finding,) = of_kind(records, Finding)
    assert finding == run.findings[0]


def test_every_stage_fits_into_the_one_before_and_ends_small() -> None:
    run = long_run(4_000, every=4, finding=2_000)
    kept: list[RunRecord] | None = None
    before: Counter[str] | None = None
    for limits in STAGES:
        kept, _ = thinned(run, limits, kept)
        counts = Counter(record.kind for record in kept)
        assert counts["step"] <= limits.steps and counts["step_stats"] <= limits.statistics
        assert counts["run_header"] == counts["addresses"] == counts["finding"] == counts["run_end"] == 1
        assert before is None or all(counts[kind] <= before[kind] for kind in counts)
        before = counts
    assert len(kept or []) < 1_000


def test_passes_that_failed_stay() -> None:
    run = long_run(10)
    for i in range(900):
        error = "RuntimeError: no" if i == 444 else None
        run.add(PassRecord(step=i, pass_index=0, graph_id=None, training=False, grad_enabled=False, error=error))
    records, _ = thinned(run, replace(Limits(), steps=50))
    passes = [record for record in records if isinstance(record, PassRecord)]
    assert len(passes) <= 50 and any(one.error for one in passes)


@given(st.lists(st.floats(width=64), min_size=1, max_size=20), st.integers(2, 30))
def test_rounding_is_to_the_nearest_number_of_so_many_digits(values: list[float], digits: int) -> None:
    given_ = np.array(values)
    rounded = round_binary(given_, digits)
    finite = np.isfinite(given_)
    assert np.array_equal(rounded[~finite], given_[~finite], equal_nan=True)
    assert np.isfinite(rounded[finite]).all()
    normal = finite & (np.abs(given_) > 1e-300)
    assert (np.abs(rounded[normal] - given_[normal]) <= np.abs(given_[normal]) * 2.0**-digits).all()


def test_twelve_digits_are_about_four_decimal_ones() -> None:
    assert round_binary(np.array([0.638123]), 12)[0] == pytest.approx(0.638123, rel=2.5e-4)
