"""A run file stays below its cap by recording fewer steps, which it says; what is small goes on."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from graphscope.run import RunWriter, load
from graphscope.run.size import SizeCap
from graphscope.schema import DropoutStats, Finding, Note, PassRecord, StepRecord, StepStats
from tests.golden import small_cnn


def is_statistics(record: Any) -> bool:
    return isinstance(record, StepStats | DropoutStats)


STATS = small_cnn.step_stats(0)


def batch(step: int) -> list[Any]:
    record = dataclasses.replace(small_cnn.step_record(1), step=step, captured=True)
    return [dataclasses.replace(STATS, step=step), record]


def test_each_time_half_of_the_room_is_used_half_as_many_steps_are_recorded() -> None:
    cap = SizeCap(1.0, is_statistics)
    marks = []
    for size in range(0, 1_000_000, 1000):
        before = cap.stride
        kept = cap.within(batch(size // 1000), size)
        if cap.stride != before:
            assert isinstance(kept[0], Note)
            marks.append((size, cap.stride, kept[0].text))
    assert [(size, stride) for size, stride, _ in marks[:4]] == [
        (500_000, 2), (750_000, 4), (875_000, 8), (938_000, 16),
    ]  # fmt: skip
    assert marks[0][2].startswith("The run file has reached 0.5 of its 1 MB: from here on statistics of every 2nd")
    assert all(small[0] < large[0] for small, large in pairwise(marks))


def test_a_run_stays_below_its_cap_and_says_what_is_missing(tmp_path: Path) -> None:
    writer, cap = RunWriter(tmp_path, small_cnn.HEADER), SizeCap(1.2, is_statistics)
    writer.append(small_cnn.whole_run()[1:4])
    for step in range(600):
        writer.append(cap.within(batch(step), writer.size))
    writer.close()
    assert writer.path.stat().st_size < 1_200_000
    run = load(tmp_path)
    assert run.steps == list(range(600)) and run.finished, "steps and losses are all there"
    captured = run.captured_steps
    assert captured[:5] == [0, 1, 2, 3, 4] and 20 < len(captured) < 400 and captured[-1] > 300
    assert [r.step for r in run.step_records if r.captured] == captured, "a step does not claim what is not there"
    assert [note.text for note in run.notes] and all("every" in note.text for note in run.notes)
    assert [note.step for note in run.notes] == sorted(note.step or 0 for note in run.notes)


def test_a_full_file_takes_only_what_was_found() -> None:
    cap = SizeCap(0.001, is_statistics)
    (note,) = cap.within(batch(0), 2_000)
    assert "is full (0.001 MB)" in note.text and cap.left_out == 2
    finding = next(r for r in small_cnn.whole_run() if isinstance(r, Finding))
    forward = PassRecord(step=1, pass_index=0, graph_id=None, training=True, grad_enabled=True)
    assert cap.within([*batch(1), forward, finding], 2_000) == [finding] and cap.left_out == 5


def test_uncaptured_steps_are_written_as_they_are() -> None:
    cap = SizeCap(1.0, is_statistics)
    cap.within(batch(0), 800_000)
    assert cap.stride == 4
    plain: list[Any] = [StepRecord(**{**{f.name: getattr(small_cnn.step_record(1), f.name) for f in dataclasses.fields(
        StepRecord)}, "captured": False})]  # fmt: skip
    assert cap.within(plain, 800_000) == plain


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_every_so_many_th_captured_step_stays(stride: int) -> None:
    cap = SizeCap(1.0, is_statistics)
    size = int(1e6 * (1 - 1 / stride))
    kept = [step for step in range(40) if any(map(is_statistics, cap.within(batch(step), size)))]
    assert kept == list(range(0, 40, stride))
