"""What a run file costs: bytes and time of a step, opening half a gigabyte, a series out of it, memory of a long run.

Times are the best of several rounds (another program on the machine only adds to them), of CPU time where nothing waits
for the disk. The file is in the page cache, as after a training or a first look.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphscope.run import RunWriter, encode, frame, load
from graphscope.run.codec import with_arrays
from graphscope.schema import HISTOGRAM_BINS, AddressTable, RunHeader, StepRecord, StepStats
from tests.golden import small_cnn

RESULTS = Path("bench-results") / "runs.json"
TENSORS = 200
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]


def table(step: int, tensors: int = TENSORS) -> StepStats:
    """Statistics of so many tensors of 100,000 normal numbers each, of the sizes from 1e-6 to 1 that training has."""
    random = np.random.default_rng(step)
    scale = 10.0 ** random.uniform(-6, 0, tensors)
    counts = np.zeros((tensors, HISTOGRAM_BINS), np.uint32)
    for row, size in zip(counts, scale, strict=True):
        share = np.abs(random.normal(size=1000)) * size
        at = np.floor(np.log2(share)).clip(-40, 23).astype(int) + 40
        np.add.at(row, 64 + at, 50)
        np.add.at(row, 63 - at, 50)
        for tail in range(1, 9):  # what a hundred thousand numbers have close to zero
            row[64 + at.min() - tail] = row[63 - at.min() + tail] = max(1, 30 >> tail)
    ends = (random.normal(size=(2, tensors)) * scale).astype(np.float32).astype(np.float64)
    zero = np.zeros(tensors, np.int64)
    moments = random.normal(size=(3, tensors)) * scale
    return with_arrays(  # type: ignore[no-any-return]
        StepStats(
            step=step, pass_index=0, address=np.arange(tensors), role=zero, flags=zero, dtype=zero, ndim=zero + 4,
            sizes=np.tile([64, 16, 10, 10], tensors), count=zero + 102_400, mean=moments[0], std=abs(moments[1]),
            min=ends[0], max=ends[1], absmax=np.abs(ends).max(0), l2=abs(moments[2]), zeros=zero + 7, nan=zero,
            pos_inf=zero, neg_inf=zero, histogram_row=np.arange(tensors), histogram=counts, dtypes=("float32",),
        )
    )  # fmt: skip


def step_record(step: int, captured: bool = True) -> StepRecord:
    scalars = {"loss": 1.0 / (step + 1), "lr": 0.1, "grad_norm": 2.5}
    return StepRecord(
        step=step, captured=captured, passes=1, seconds=step * 0.01, step_seconds=0.01, self_seconds=1e-4,
        scalars=scalars,
    )  # fmt: skip


def addresses(tensors: int = TENSORS) -> AddressTable:
    names = [f"layers.{i // 4}.block.{i % 4}" for i in range(tensors)]
    return AddressTable(start=0, fqn=names, call=[0] * tensors, output=[0] * tensors)


def best(work: Callable[[], object], rounds: int = 200, clock: Callable[[], float] = time.perf_counter) -> float:
    """Least seconds of one call."""
    times = []
    for _ in range(rounds):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


def told(name: str, value: float, unit: str, aim: str) -> None:
    """Prints a row and keeps it in the results."""
    print(f"  {name:58} {value:10,.2f} {unit:5} (aim: {aim})")
    RESULTS.parent.mkdir(exist_ok=True)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**rows, name: {"value": value, "unit": unit, "aim": aim}}, indent=1) + "\n")


def test_appending_a_step(tmp_path: Path) -> None:
    print()
    stats, record = table(0), step_record(0)
    size = len(frame(encode(stats))) + len(frame(encode(record)))
    told("a captured step of 200 tensors", size / 1000, "KB", "40")
    writer = RunWriter(tmp_path, small_cnn.HEADER)
    told("encoding and appending it, CPU", best(lambda: writer.append([stats, record]), clock=time.thread_time) * 1e6,
         "us", "50")  # fmt: skip
    told("encoding and appending it, wall", best(lambda: writer.append([stats, record])) * 1e6, "us", "50")
    blob = frame(encode(stats)) + frame(encode(record))
    plain = os.open(tmp_path / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    told("of it the write of as many bytes, CPU", best(lambda: os.write(plain, blob), clock=time.thread_time) * 1e6,
         "us", "-")  # fmt: skip
    os.close(plain)
    writer.close()
    assert size <= 40_000


@pytest.fixture(scope="module")
def half_a_gigabyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of 200 tensors a step, every step captured, as the writer writes it."""
    run_dir = tmp_path_factory.mktemp("large")
    writer = RunWriter(run_dir, RunHeader(run_id="b" * 16, name="Large-1", model="Large", created="2026-01-01"))
    writer.append([small_cnn.graph().to_record(), addresses()])
    tables = [table(i) for i in range(16)]
    step = 0
    while writer.path.stat().st_size < 500e6:
        for one in tables:
            writer.append([replace(one, step=step), step_record(step)])
            step += 1
    writer.close()
    yield run_dir
    writer.path.unlink()


OPENS = """
import sys, time
from graphscope.run import load
from graphscope.jupyter.snapshot import snapshot
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024
before = resident()
began = time.process_time()
run = load(sys.argv[1])
graph, steps, loss = run.graph, run.steps, run.scalars("loss")
last = run.records_at(run.captured_steps[-1])
opened = time.process_time() - began
began = time.process_time()
for _ in snapshot(run): pass
view = time.process_time() - began
grown = resident() - before
print(opened, view, len(steps), len(last), grown)
"""


def test_opening_half_a_gigabyte(half_a_gigabyte: Path) -> None:
    print()
    rounds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", OPENS, str(half_a_gigabyte)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        rounds.append([float(x) for x in done.stdout.split()])
    opened, view, steps, last, grown = min(rounds)
    told("opening 500 MB: graph, steps, loss, last statistics, CPU", opened, "s", "1")
    told("all that a view is sent of it at first, CPU", view, "s", "-")
    told("memory that the opened run takes", grown, "MB", "-")
    assert steps > 10_000 and last == 1


def test_one_address_over_a_thousand_steps(half_a_gigabyte: Path) -> None:
    print()
    run = load(half_a_gigabyte)
    path = next(half_a_gigabyte.glob("*.gscope"))
    part = half_a_gigabyte / "part.gscope"
    with path.open("rb") as whole:
        part.write_bytes(whole.read(int(path.stat().st_size * 1000 / len(run.captured_steps))))
    short = load(part)
    names = iter(short.addresses("activation"))
    seconds = best(lambda: short.series(next(names), "std"), 40, time.thread_time)  # type: ignore[arg-type]
    told(f"one address over {len(short.captured_steps):,} steps, from the file, CPU", seconds * 1e3, "ms", "10")
    name = run.addresses("activation")[0]
    began = time.thread_time()
    run.series(name, "std")
    told(f"one address over {len(run.captured_steps):,} steps, from the file, CPU",
         (time.thread_time() - began) * 1e3, "ms", "-")  # fmt: skip
    told("the same again", best(lambda: run.series(name, "std"), rounds=20) * 1e3, "ms", "-")
    part.unlink()


LASTS = """
import os, sys
from pathlib import Path
from graphscope.recorder import Recorder
from graphscope.capture.guard import Guard
from tests.bench.bench_runs import addresses, step_record, table
from tests.golden import small_cnn
from dataclasses import replace
import gc
def resident():
    gc.collect()
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
tensors, every = int(sys.argv[2]), int(sys.argv[3])
recorder = Recorder(Path(sys.argv[1]), small_cnn.HEADER, Guard(True))
recorder.put([addresses(tensors)])
tables = [table(i, tensors) for i in range(4)]
marks = []
for n in range(100_000):
    batch = [step_record(n, n % every == 0)]
    if n % every == 0:
        batch.insert(0, replace(tables[n % 4], step=n))
    recorder.put(batch)
    if n % 50 == 0:
        recorder.flush(60)
    if n in (20_000, 99_999):
        recorder.flush(60)
        marks.append(resident())
recorder.close()
print(*marks, recorder.path.stat().st_size / 1e6, recorder.dropped)
"""


@pytest.mark.parametrize(("tensors", "every", "most"), [(20, 10, 40), (20, 1, 120)])
def test_memory_over_a_hundred_thousand_steps(tmp_path: Path, tensors: int, every: int, most: float) -> None:
    print()
    done = subprocess.run(
        [sys.executable, "-c", LASTS, str(tmp_path / "run"), str(tensors), str(every)], capture_output=True, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    early, late, size, dropped = (float(x) for x in done.stdout.split())
    captured = "every step captured" if every == 1 else f"every {every}th captured"
    told(f"memory grown from step 20,000 to 100,000, {captured}", late - early, "MB", "flat")
    told(f"the run file meanwhile, {captured}", size, "MB", "-")
    assert late - early < most and dropped == 0


def test_nothing_is_kept_open() -> None:
    gc.collect()
    open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
                  and os.path.exists(f"/proc/self/fd/{fd}")]  # fmt: skip
    assert sum(name.endswith(".gscope") for name in open_files) <= 16
