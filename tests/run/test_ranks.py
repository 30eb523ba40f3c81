"""Several processes of one run: how far each came, their series side by side, and merged as numpy would over all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import UnknownAddress, UnknownName
from graphscope.reports.text import summary_text
from graphscope.run import Run, RunWriter, load
from graphscope.schema import STATISTICS, AddressTable, RunHeader, StepRecord, StepStats
from tests.golden import small_cnn

HEADER = RunHeader(
    run_id="a" * 16, name="Two-1", model="Two", created="2026-01-01T10:00:00+00:00", world_size=3
)  # fmt: skip


def tensor(rank: int, step: int) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(100 * rank + step).normal(size=(rank + 1) * 7, loc=rank)
    values[0] = 0.0
    if step == 2:
        values[1], values[2] = np.nan, np.inf
    return values


def stats_of(step: int, values: np.ndarray[Any, Any]) -> StepStats:
    finite = values[np.isfinite(values)]
    moments = {
        "mean": finite.mean(), "std": finite.std(), "min": finite.min(), "max": finite.max(),
        "absmax": np.abs(finite).max(), "l2": np.sqrt((finite**2).sum()),
    }  # fmt: skip
    counts = {
        "count": values.size, "zeros": (values == 0).sum(), "nan": np.isnan(values).sum(),
        "pos_inf": (values == np.inf).sum(), "neg_inf": (values == -np.inf).sum(),
    }  # fmt: skip
    return StepStats(
        step=step, pass_index=0, address=[0], role=[0], flags=[0], dtype=[0], ndim=[1], sizes=[values.size],
        histogram_row=[], histogram=np.zeros((0, 128), np.uint32), dtypes=["float64"],
        **{name: [value] for name, value in (moments | counts).items()},
    )  # fmt: skip


def write(run_dir: Path, rank: int, steps: range, *, closed: bool = True, name: str = "x", begin: str = "") -> None:
    header = dataclasses.replace(HEADER, rank=rank, created=begin or HEADER.created)
    writer = RunWriter(run_dir, header)
    writer.append([AddressTable(start=0, fqn=[name], call=[0], output=[0])])
    for step in steps:
        record = StepRecord(
            step=step, captured=True, passes=1, seconds=60.0 * (step + 1), step_seconds=60.0, self_seconds=0.0,
            scalars={"loss": 10.0 * rank + step},
        )  # fmt: skip
        writer.append([stats_of(step, tensor(rank, step)), record])
    if closed:
        writer.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Rank 0 makes five steps, rank 1 was killed after three, rank 2 has another tensor and was restarted."""
    write(tmp_path, 0, range(5))
    write(tmp_path, 1, range(3), closed=False)
    write(tmp_path, 2, range(2), closed=False, name="y")
    write(tmp_path, 2, range(2, 5), name="y", begin="2026-01-01T12:00:00+00:00")
    return load(tmp_path)


def test_how_far_each_rank_came(run: Run) -> None:
    told = [(r.rank, r.files, r.steps, r.last_step, r.last_seen, r.finished) for r in run.ranks]
    assert told == [
        (0, 1, 5, 4, "2026-01-01T10:05:00+00:00", True),
        (1, 1, 3, 2, "2026-01-01T10:03:00+00:00", False),
        (2, 2, 5, 4, "2026-01-01T12:05:00+00:00", True),
    ]
    assert not run.finished
    text = summary_text(run)
    assert "Rank 1: last step 2, last seen 2026-01-01T10:03:00+00:00; not finished" in text
    assert "Rank 2: last step 4, last seen 2026-01-01T12:05:00+00:00; finished, 2 files" in text


def test_one_rank_is_a_run_of_its_own(run: Run) -> None:
    one = run.rank(1)
    assert one.steps == [0, 1, 2] and one.scalars("loss")[1].tolist() == [10.0, 11.0, 12.0] and not one.finished
    assert run.rank(1) is one and run.scalars("loss")[1].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert run.rank(0).rank(0).steps == [0, 1, 2, 3, 4]
    with pytest.raises(UnknownName, match=r"run.rank\(7\): this run has files of the ranks 0, 1, 2"):
        run.rank(7)


def test_series_side_by_side_have_gaps_where_a_rank_has_no_step(run: Run) -> None:
    steps, ranks, values = run.rank_series("x", "mean")
    assert steps.tolist() == [0, 1, 2, 3, 4] and ranks == [0, 1, 2]
    for rank, until in ((0, 5), (1, 3)):
        for step in range(until):
            seen = tensor(rank, step)
            assert values[rank, step] == pytest.approx(seen[np.isfinite(seen)].mean(), rel=1e-14)
    assert np.isnan(values[1, 3:]).all() and np.isnan(values[2]).all()


@pytest.mark.parametrize("name", STATISTICS)
def test_merged_it_is_the_statistic_of_all_tensors_as_one(run: Run, name: str) -> None:
    steps, values = run.merged_series("x", name)
    assert steps.tolist() == [0, 1, 2, 3, 4]
    for step, value in zip(range(5), values, strict=True):
        whole = np.concatenate([tensor(rank, step) for rank in ((0, 1) if step < 3 else (0,))])
        want = stats_of(step, whole)
        wanted = {
            "inf": want.pos_inf[0] + want.neg_inf[0], "zero_share": want.zeros[0] / want.count[0],
        }.get(name, getattr(want, name, [None])[0])  # fmt: skip
        assert value == pytest.approx(wanted, rel=1e-12), (name, step)


def test_what_cannot_be_merged_is_said(run: Run) -> None:
    with pytest.raises(UnknownName, match="no statistic is called"):
        run.merged_series("x", "avg")
    with pytest.raises(UnknownAddress):
        run.merged_series("z", "mean")


def test_a_run_of_one_process_is_its_only_rank() -> None:
    run = Run()
    for record in small_cnn.whole_run():
        run.add(record)
    assert [one.rank for one in run.ranks] == [0] and run.rank(0) is run
    for name in STATISTICS:
        steps, values = run.merged_series("conv1", name)
        want_steps, want = run.series("conv1", name)
        assert steps.tolist() == want_steps.tolist()
        np.testing.assert_allclose(values, want, rtol=1e-12)
    assert "Rank" not in summary_text(run)
