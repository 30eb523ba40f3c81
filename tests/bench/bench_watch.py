"""What watching a training costs, and what other programs that look into one cost, on the same loops in one process.

One thread. Ratios are paired: in each round the plain loop and the watched one take a step each, in turns, and the
median of the rounds' ratios of process CPU time counts, so that another program on the machine slows both sides. The
share of our own time is what the watch measures itself; steps are compared by their medians for the same reason. The
aims are for an idle machine; a fault is what is ``CEILING`` times above its aim, the table says what misses the aim.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import graphscope
from graphscope.capture import native
from graphscope.schema import ROLES, StepStats
from tests.bench import watchers
from tests.bench.loops import CASES, Case, Loop

RESULTS = Path("bench-results") / "watch.json"
CEILING = 12
PER_TENSOR = 6e-6
READS = 1.2
FLOOR = 20e-6
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Watched:
    """A loop under ``graphscope.watch``."""

    def __init__(self, case: Case, folder: Path, every: Any) -> None:
        self.loop = Loop(case)
        self.session = graphscope.watch(self.loop.model, self.loop.optimizer, every=every, run_dir=folder)
        self.end = self.session.close
        self.step = self.loop.step


def cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def read_seconds_per_byte() -> float:
    """One plain read of memory that is in no cache, under the load that there is."""
    block = torch.ones(64 << 20)
    return statistics.median(cpu_seconds(block.sum) for _ in range(7)) / (4 * block.numel())


def shares(case: Case, folder: Path, every: Any, steps: int) -> tuple[Watched, float]:
    """A watched run -> our own share of its steps' time; of "auto" since step 100."""
    watched = Watched(case, folder, every)
    if every == "auto" and steps < 500:
        watched.session.step = 101  # as if the first captured steps were past
    for _ in range(steps):
        watched.step()
    records = [r for r in watched.session.run.step_records[1:] if every != "auto" or r.step > 101]
    ours = sum(
        len(some) * statistics.median(r.self_seconds for r in some)
        for captured in (True, False)
        if (some := [r for r in records if r.captured == captured])
    )
    own = statistics.median((r.step_seconds or 0.0) - r.self_seconds for r in records)
    return watched, ours / (own * len(records))


def every_step(case: Case, folder: Path) -> dict[str, Any]:
    """Self-time of a fully captured step beside its limit."""
    watched, _ = shares(case, folder, 1, 3 + max(4, case.rounds // 2))
    run = watched.session.run
    share = statistics.median(
        r.self_seconds / ((r.step_seconds or math.inf) - r.self_seconds) for r in run.step_records[3:]
    )
    (stats,) = (r for r in run.records_at(run.captured_steps[-1]) if isinstance(r, StepStats))
    sizes = {(int(a), int(r)): (int(n), stats.dtypes[d]) for a, r, n, d in
             zip(stats.address, stats.role, stats.count, stats.dtype, strict=True)}  # fmt: skip
    read = sum(n * ITEM_BYTES[dtype] for (_, role), (n, dtype) in sizes.items() if ROLES[role] != "update")
    watched.end()
    limit = READS * read * read_seconds_per_byte() + PER_TENSOR * len(sizes)
    return {"tensors": len(sizes), "mebibytes": read / 2**20, "limit_ms": limit * 1e3,
            "share": share}  # fmt: skip


def paired(case: Case, folder: Path) -> tuple[float, dict[str, float | str]]:
    """Milliseconds of a plain step, and each candidate's ratio to it; or why it did not run."""
    missing = watchers.install()
    candidates: list[tuple[str, Callable[[Loop], Any]]] = [
        ("GraphScope, every step", lambda loop: None),
        *watchers.WATCHERS,
    ]
    plain = Loop(case)
    plain.step()
    seconds: list[float] = []
    ratios: dict[str, float | str] = {}
    for name, make in candidates:
        try:
            if missing and name in ('wandb.watch(log="all")', "torchexplorer", "TensorBoard histograms"):
                raise RuntimeError(f"not installed: {missing}")
            watched = make(Loop(case)) or Watched(case, folder, 1)
            watched.step()
        except Exception as error:
            ratios[name] = f"{type(error).__name__}: {error}"[:200]
            continue
        rounds = []
        for i in range(case.rounds):
            works = (plain.step, watched.step) if i % 2 else (watched.step, plain.step)
            took = [cpu_seconds(work) for work in works]
            rounds.append(took if i % 2 else took[::-1])
        watched.end()
        seconds += [own for own, _ in rounds] if not ratios else []
        ratios[name] = statistics.median(theirs / own for own, theirs in rounds)
    return statistics.median(seconds) * 1e3, ratios


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_price_of_a_watch(case: Case, tmp_path: Path) -> None:
    full = every_step(case, tmp_path / "every")
    tenth, tenth_share = shares(case, tmp_path / "tenth", 10, min(case.long, 300))
    tenth.end()
    auto, auto_share = shares(case, tmp_path / "auto", "auto", case.long)
    auto.end()
    plain, ratios = paired(case, tmp_path / "paired")
    full["self_ms"] = full["share"] * plain  # in CPU time, as the limit is
    auto_aim = max(0.01, FLOOR / (plain / 1e3))
    row = {"model": case.name, "plain_ms": plain, "every_step": full, "every_tenth": tenth_share,
           "every_tenth_aim": case.every_tenth_aim, "auto": auto_share, "auto_aim": auto_aim,
           "ratios": ratios}  # fmt: skip
    show(row)
    save(row)
    assert full["self_ms"] <= CEILING * full["limit_ms"]
    assert tenth_share <= CEILING * case.every_tenth_aim
    assert auto_share <= CEILING * auto_aim


def show(row: dict[str, Any]) -> None:
    full = row["every_step"]
    print(f"\n{row['model']}: a plain step takes {row['plain_ms']:.2f} ms of CPU time")
    print(
        f"  every step: {full['tensors']} tensors, {full['mebibytes']:.1f} MiB, self {full['self_ms']:.2f} ms "
        f"({100 * full['share']:.1f} %), limit {full['limit_ms']:.2f} ms"
    )
    print(f"  every tenth: {100 * row['every_tenth']:.2f} %, aim {100 * row['every_tenth_aim']:.0f} %")
    print(f"  auto: {100 * row['auto']:.2f} %, aim {100 * row['auto_aim']:.2f} %")
    for name, ratio in row["ratios"].items():
        print(f"  {name:26} {ratio if isinstance(ratio, str) else f'{ratio:.2f} x a plain step'}")


def save(row: dict[str, Any]) -> None:
    """Into the results, in place of what an earlier run measured of this model."""
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.is_file() else []
    rows = [one for one in known if one["model"] != row["model"]] + [row]
    machine = {"processor": platform.processor() or platform.machine(), "torch": str(torch.__version__),
               "statistics": "native" if native.library else "torch", "threads": 1}  # fmt: skip
    RESULTS.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
