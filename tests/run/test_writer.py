"""What append returned is in the file, whatever happens to the disk, the directory or the process."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import RunDirectoryError, RunFileError
from graphscope.run import RunReader, RunWriter, load
from graphscope.run import writer as writer_module
from graphscope.run.frames import frame
from graphscope.schema import AddressTable, Note, RunEnd, RunHeader, StepRecord, StepStats
from tests.golden import small_cnn

HEADER = RunHeader(run_id="a" * 16, name="Test-1", model="Test", created="2026-01-01T00:00:00+00:00", rank=3)


def step(n: int, **scalars: float) -> StepRecord:
    return StepRecord(
        step=n, captured=False, passes=1, seconds=float(n), step_seconds=None, self_seconds=0.0, scalars=scalars
    )


def steps_in(path: Path) -> list[int]:
    with RunReader(path) as reader:
        return [record.step for record in reader.poll(final=True) if isinstance(record, StepRecord)]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    made = RunWriter(tmp_path / "run", HEADER)
    yield made
    made.close()


def test_the_file_holds_the_frames_that_append_returned(writer: RunWriter) -> None:
    frames = writer.append(small_cnn.whole_run()[1:-1])
    assert len(frames) == len(small_cnn.whole_run()) - 2
    content = writer.path.read_bytes()
    assert content.endswith(b"".join(frames))
    assert [end.kind for end in writer.close()] == ["run_end"] and writer.close() == []
    read = load(writer.path)
    assert read.finished and read.damaged == 0 and read.header == HEADER
    assert read.ends == [RunEnd(steps=6, records=1 + len(frames))]


def test_append_is_one_write(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (sizes.append(len(data)), write(fd, data))[1])
    frames = writer.append([step(n) for n in range(50)])
    assert sizes == [sum(map(len, frames))]
    assert writer.append([]) == [] and len(sizes) == 1


def test_names_and_modes_are_private_and_unique_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        writers = [RunWriter(tmp_path / "deep" / "run" if not old else tmp_path / "run", HEADER) for _ in range(3)]
    finally:
        os.umask(old)
    run_dir = writers[0].run_dir
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    assert len({w.path for w in writers}) == 3
    for w in writers:
        assert stat.S_IMODE(w.path.stat().st_mode) == 0o600
        rank, _, pid, random, suffix = w.path.name.split(".")
        assert (rank, pid, suffix) == ("rank-00003", str(os.getpid()), "gscope") and len(random) == 8
        w.close()


def test_a_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    RunWriter(tmp_path, HEADER).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/graphscope-run"), tmp_path / "a\0b"):
        with pytest.raises(RunDirectoryError, match="a run cannot be written there.*Give another run_dir"):
            RunWriter(bad, HEADER)


def test_a_full_disk_at_the_start_is_refused_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RunDirectoryError, match="No space left"):
        RunWriter(tmp_path / "run", HEADER)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("taken", [0, 1, 20, 90])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, None])
def test_a_failed_or_short_write_loses_counted_records_and_nothing_else(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, taken: int, code: int | None
) -> None:
    """``taken`` bytes reach the disk before it fails; ``code`` None: the write is merely short."""
    write = os.write
    writer.append([step(0)])
    with monkeypatch.context() as patched:

        def broken(fd: int, data: bytes) -> int:
            if taken and (code is None or not broken_before):
                broken_before.append(1)
                return write(fd, data[:taken])
            raise OSError(code or errno.ENOSPC, "broken")

        broken_before: list[int] = []
        patched.setattr(os, "write", broken)
        with pytest.warns(RuntimeWarning, match="The training goes on") as caught:
            for n in (1, 2, 3):
                assert len(writer.append([step(n)])) == 1, "a view still gets what the disk did not"
                assert writer.failed
        assert len(caught) == 1
    assert writer.dropped == 3
    writer.append([step(4)])
    assert writer.failed is None
    writer.close()
    run = load(writer.path)
    assert run.steps == [0, 4] and run.damaged == 0 and run.finished
    assert "3 records before this were lost" in run.notes[0].text and run.ends[0].dropped == 3


def test_what_later_records_refer_to_is_written_after_all(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    records = small_cnn.whole_run()
    first_stats = next(i for i, record in enumerate(records) if isinstance(record, StepStats))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: 3)
        with pytest.warns(RuntimeWarning):
            writer.append(records[1:first_stats])
    writer.append(records[first_stats:-1])
    writer.close()
    run = load(writer.path)
    assert run.graph is not None and run.graph.graph_id == small_cnn.graph().graph_id
    want = small_cnn.statistics(small_cnn.values("activation", "conv1", 0))["mean"]
    assert run.series("conv1", "mean")[1][0] == want
    assert run.damaged == 0 and any("were lost" in note.text for note in run.notes)


def test_warnings_made_errors_do_not_reach_the_recorder(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("error")
        patched.setattr(os, "write", lambda fd, data: 0)
        writer.append([step(0)])
    assert "The training goes on" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"), reason="needs root")
def test_a_real_full_disk_that_is_freed_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode()[:80]}")
    try:
        (disk / "ballast").write_bytes(bytes(100_000))
        writer = RunWriter(disk / "run", HEADER)
        kept = []
        with pytest.warns(RuntimeWarning, match="No space left") as caught:
            for n in range(300):
                writer.append([step(n, **{f"scalar {i}": float(i) for i in range(40)})])
                if writer.failed is None:
                    kept.append(n)
        assert len(caught) == 1 and 0 < len(kept) < 300 and writer.dropped == 300 - len(kept)
        assert steps_in(writer.path) == kept
        (disk / "ballast").unlink()
        writer.append([step(1000)])
        assert writer.failed is None
        writer.close()
        run = load(disk / "run")
        assert run.steps == [*kept, 1000] and run.damaged == 0 and run.finished
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_deleted_run_directory_is_said_once_and_stays_harmless(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", HEADER)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(RuntimeWarning, match="was deleted") as caught:
        writer.append([step(0)])
        writer.append([step(1)])
        assert writer.close() == []
    assert len(caught) == 1 and writer.dropped == 3


def test_a_forked_child_writes_nothing(writer: RunWriter) -> None:
    writer.append([step(0)])
    size = writer.path.stat().st_size
    pid = os.fork()
    if pid == 0:
        ok = writer.append([step(1)]) == [] and writer.close() == []
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert writer.path.stat().st_size == size
    writer.append([step(2)])
    assert steps_in(writer.path) == [0, 2]


def test_what_is_too_large_is_replaced_by_a_note(writer: RunWriter) -> None:
    large = StepStats(
        step=7, pass_index=0, address=[], role=[], flags=[], dtype=[], ndim=[], sizes=np.zeros(18 << 20, np.int64),
        count=[], mean=[], std=[], min=[], max=[], absmax=[], l2=[], zeros=[], nan=[], pos_inf=[], neg_inf=[],
        histogram_row=[], histogram=np.zeros((0, 128)),
    )  # fmt: skip
    writer.append([large, step(7)])
    run = load(writer.path)
    assert run.steps == [7] and run.notes[0].step == 7
    assert "left out: a packed_stats record of 72 MiB is larger than a record may be" in run.notes[0].text


def test_what_is_no_record_is_refused(writer: RunWriter) -> None:
    with pytest.raises(RunFileError, match=r"AddressTable\.call"):
        writer.append([AddressTable(start=0, fqn=["a"], call=[-1], output=[0])])
    assert steps_in(writer.path) == []


def test_syncing_happens_now_and_then_beside_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    monkeypatch.setattr(writer_module, "SYNC_SECONDS", 0.02)
    monkeypatch.setattr(writer_module, "_fdatasync", lambda fd: threads.append(threading.current_thread().name))
    writer = RunWriter(tmp_path, HEADER)
    for n in range(20):
        writer.append([step(n)])
    deadline = time.monotonic() + 5
    while not threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threads) == {"graphscope-sync"} and len(threads) < 20
    writer.close()
    assert not writer._syncer.is_alive()


def test_a_writer_that_nobody_closed_leaves_no_thread_and_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SYNC_SECONDS", 0.01)
    descriptors = len(os.listdir("/proc/self/fd"))
    writer = RunWriter(tmp_path, HEADER)
    writer.append([step(0)])
    path, thread = writer.path, writer._syncer
    del writer
    gc.collect()
    thread.join(timeout=10)
    gc.collect()
    assert not thread.is_alive() and len(os.listdir("/proc/self/fd")) <= descriptors
    assert steps_in(path) == [0] and not load(path).finished


def test_a_failed_sync_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    writer = RunWriter(tmp_path, HEADER)
    with pytest.warns(RuntimeWarning, match="EIO"):
        writer.close()


def test_many_files_take_no_more_descriptors_than_there_are_writers(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        RunWriter(tmp_path, HEADER).close()
    assert len(os.listdir("/proc/self/fd")) == before


KILLED = """
import sys, mmap, struct
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from graphscope.run import RunWriter
from tests.run.test_writer import HEADER, step
from tests.golden import small_cnn
counter = open(sys.argv[2], "r+b")
acknowledged = mmap.mmap(counter.fileno(), 8)
writer = RunWriter(Path(sys.argv[1]), HEADER)
stats = small_cnn.step_stats(0)
n = 0
while True:
    writer.append([stats, step(n)])
    n += 1
    acknowledged[:8] = struct.pack("<Q", n)
"""


def kill_once(tmp_path: Path, seed: int) -> None:
    """Starts a writer, kills it at some moment, and reads what it left."""
    counter = tmp_path / f"counter-{seed}"
    counter.write_bytes(bytes(8))
    run_dir = tmp_path / f"run-{seed}"
    root = str(Path(__file__).parent.parent.parent)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(run_dir), str(counter), root], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not any(counter.read_bytes()):
            assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
            time.sleep(0.002)
        time.sleep(float(np.random.default_rng(seed).uniform(0, 0.05)))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
    acknowledged = int.from_bytes(counter.read_bytes(), "little")
    run = load(run_dir)
    steps: list[Any] = run.steps
    assert steps == list(range(len(steps))) and acknowledged <= len(steps) <= acknowledged + 1
    assert run.damaged == 0 and not run.finished and not run.ends


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_every_acknowledged_step_is_there(tmp_path: Path, seed: int) -> None:
    kill_once(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_fifty_times(tmp_path: Path) -> None:
    for seed in range(100, 150):
        kill_once(tmp_path, seed)


def test_a_note_frame_is_what_append_wrote_for_it(writer: RunWriter) -> None:
    from graphscope.run.codec import encode

    note = Note(severity="info", text="hello")
    assert writer.append([note]) == [frame(encode(note))]
