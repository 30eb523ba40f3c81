"""The queue: nobody waits for a slow disk, what is dropped is counted and said, and a fast disk drops nothing."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import graphscope
from graphscope.capture.guard import Guard
from graphscope.errors import RunDirectoryError, UnknownName
from graphscope.recorder import MOST_WAITING, Recorder
from graphscope.reports.text import summary_text
from graphscope.run import load
from graphscope.schema import StepRecord, StepStats
from tests.golden import small_cnn
from tests.run.random_records import same

STATS = small_cnn.step_stats(0)


def batch(step: int) -> list[Any]:
    record = dataclasses.replace(small_cnn.step_record(1), step=step, captured=True)
    return [dataclasses.replace(STATS, step=step), record]


class SlowDisk:
    """``os.write`` that waits: until ``go`` is set, or so many seconds each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.seconds = 0.0
        self.waited = 0
        write = os.write

        def slow(fd: int, data: bytes) -> int:
            if os.readlink(f"/proc/self/fd/{fd}").endswith(".gscope"):
                self.waited += 1
                self.go.wait(60)
                time.sleep(self.seconds)
            return write(fd, data)

        self.go.set()
        monkeypatch.setattr(os, "write", slow)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_disk_that_stands_still_drops_statistics_but_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    recorder = Recorder(tmp_path, small_cnn.HEADER, Guard(True))
    recorder.put(small_cnn.whole_run()[1:4])
    recorder.flush()
    disk.go.clear()
    steps = MOST_WAITING + 100
    for step in range(steps):
        recorder.put(batch(step))  # would hang here for a minute if it waited for the disk
    assert 95 <= recorder.dropped <= 100
    disk.go.set()
    recorder.close()
    run = load(tmp_path)
    assert run.steps == list(range(steps)) and run.finished
    assert len(run.captured_steps) == steps - recorder.dropped
    assert [r.step for r in run.step_records if r.captured] == run.captured_steps
    assert run.ends[0].dropped == recorder.dropped
    said = f"{recorder.dropped:,} tables of statistics were left out so far"
    assert any(said in note.text for note in run.notes), [note.text for note in run.notes]
    text = summary_text(run)
    assert f"{recorder.dropped} records lost" in text and said in text


def test_training_on_a_slow_disk_takes_no_longer_and_loses_only_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path) as session:
        disk.go.clear()  # from here on a write takes as long as the whole training
        for _ in range(MOST_WAITING + 40):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
        assert disk.waited <= 4, "the loop has ended before the disk took its steps"
        disk.go.set()
    run = load(tmp_path)
    assert run.steps == list(range(MOST_WAITING + 40)) and len(run.scalars("loss")[0]) == len(run.steps)
    assert run.finished and run.ends[0].dropped > 0 and len(run.captured_steps) >= MOST_WAITING - 1
    assert session.run.captured_steps == run.captured_steps


def test_on_a_healthy_disk_nothing_waits(tmp_path: Path) -> None:
    """The recorder is woken at once: the step before is in the file long before the next one ends."""
    recorder = Recorder(tmp_path, small_cnn.HEADER, Guard(True))
    recorder.put(small_cnn.whole_run()[1:4])
    longest = 0
    for step in range(60):
        until(lambda: recorder.waiting == 0)
        recorder.put(batch(step))
        longest = max(longest, recorder.waiting)
    recorder.close()
    assert longest <= 1 and recorder.dropped == 0
    assert load(tmp_path).captured_steps == list(range(60))


def test_a_live_run_is_the_file(tmp_path: Path) -> None:
    """Thinned by the cap or not: what a view sees is what is recorded."""
    recorder = Recorder(tmp_path, small_cnn.HEADER, Guard(True), max_mb=0.3)
    recorder.put(small_cnn.whole_run()[1:4])
    for step in range(60):
        recorder.put(batch(step))
        recorder.flush()
    recorder.close()
    run = load(tmp_path)
    assert recorder.path.stat().st_size < 300_000
    assert len(run.captured_steps) < 60 and recorder.run.captured_steps == run.captured_steps
    assert list(recorder.run.step_records) == list(run.step_records)
    for step in run.captured_steps:
        (live,), (read,) = (
            [r for r in one.records_at(step) if isinstance(r, StepStats)] for one in (recorder.run, run)
        )
        assert same(live, read)
    assert all(isinstance(r, StepRecord) for r in run.step_records)


@pytest.mark.parametrize("odd", [0, -1, float("nan"), float("inf"), "2 GB", None, True])
def test_a_cap_that_is_none_is_refused(tmp_path: Path, odd: Any) -> None:
    with pytest.raises(UnknownName, match=r"watch\(max_mb=.*wanted a size in MB above 0"):
        graphscope.watch(nn.Linear(1, 1), run_dir=tmp_path, max_mb=odd)


def test_a_directory_that_cannot_be_written_is_refused_before_anything_is_watched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = nn.Linear(2, 2)
    with pytest.raises(RunDirectoryError, match="a run cannot be written there"):
        graphscope.watch(model, run_dir=tmp_path / "file")
    assert "_compiled_call_impl" not in model.__dict__ and not model._forward_hooks


def test_a_session_that_is_collected_on_the_recorders_own_thread_ends_its_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, small_cnn.HEADER, Guard(True))
    recorder.subscribe(lambda frames, records: recorder.close())
    recorder.put(small_cnn.whole_run()[1:4])
    recorder._thread.join(20)
    assert not recorder._thread.is_alive()
    run = load(tmp_path)
    assert run.finished and not run.notes
