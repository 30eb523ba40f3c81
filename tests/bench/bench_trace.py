"""What ``graphscope.trace`` costs beside the plain forward, what it keeps, and what other tools cost on those models.

Plain and traced forwards take turns in one process on one thread, and both are timed in CPU time of that process, so
that whatever else the machine does hits both; a ratio is the median over the pairs. Other tools are measured in the
same way, each in a process and an environment of its own (``peers.py``). ``GRAPHSCOPE_BENCH_PEERS=0`` leaves them out.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphscope
from tests.bench.peers import TOOLS, cpu_seconds, peer_rows
from tests.bench.trace_models import CASES, Case, Chain

RESULTS = Path("bench-results") / "trace.json"
MOST_BYTES_AN_OP = 1_024


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measured(case: Case) -> dict[str, Any]:
    """One model: medians of the ratios, of the trace alone and with every node of its graph read."""
    torch.manual_seed(0)
    model, args = case.make(), case.inputs()
    ops = len(graphscope.trace(model, *args).nodes)
    rounds = []
    for _ in range(case.rounds):
        made: list[graphscope.Graph] = []
        plain = cpu_seconds(model, *args)
        traced = cpu_seconds(lambda made=made: made.append(graphscope.trace(model, *args)))
        rounds.append((plain, traced, traced + cpu_seconds(lambda made=made: made[0].nodes)))
    plain, ratio = statistics.median(r[0] for r in rounds), statistics.median(r[1] / r[0] for r in rounds)
    return {
        "model": case.name, "ops": ops, "plain_ms": plain * 1e3, "ratio": ratio, "floor": case.floor, "aim": case.aim,
        "ratio_with_nodes": statistics.median(r[2] / r[0] for r in rounds), "ceiling": case.ceiling,
        "us_per_op": (ratio - 1) * plain * 1e6 / ops,
    }  # fmt: skip


def cell(found: dict[str, Any]) -> str:
    if "ratio" in found:
        return f"{found['ratio']:.3g}x"
    return f"> {found['over']:.2g}x" if "over" in found else found["error"].partition(":")[0]


@pytest.mark.timeout(3_600)
def test_the_price_of_a_trace():
    rows = [measured(case) for case in CASES]
    peers = peer_rows() if os.environ.get("GRAPHSCOPE_BENCH_PEERS", "1") != "0" else {}
    names = [tool.package for tool in TOOLS if tool.package in peers]
    print(f"\n{'model':20}{'ops':>7}{'plain ms':>10}{'trace':>8}{'+ nodes':>9}{'wanted':>8}{'us/op':>7}", end="")
    print("".join(f"{name:>17}" for name in names))
    for row in rows:
        print(
            f"{row['model']:20}{row['ops']:7,}{row['plain_ms']:10.2f}{row['ratio']:7.2f}x"
            f"{row['ratio_with_nodes']:8.2f}x{row['floor']:7.2f}x{row['us_per_op']:7.1f}"
            + "".join(f"{cell(peers[name][row['model']]):>17}" for name in names)
        )
    keep("trace", {"torch": torch.__version__, "models": rows, "peers": peers})
    worse = [row["model"] for row in rows if row["ratio"] > row["ceiling"]]
    assert not worse, f"much dearer than it was: {worse}"


def test_what_a_trace_keeps():
    rows = []
    for ops in (2_000, 20_000):
        model, x = Chain(ops), torch.zeros(8)
        graphscope.trace(model, x)
        gc.collect()
        tracemalloc.start()
        graph = graphscope.trace(model, x)
        kept, peak = tracemalloc.get_traced_memory()
        assert len(graph.nodes) == ops
        with_nodes, peak_with_nodes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        alive = sum(isinstance(thing, Tensor) for thing in gc.get_referents(*vars(graph).values()))
        figures = {"kept": kept, "peak": peak, "with_nodes": with_nodes, "peak_with_nodes": peak_with_nodes}
        rows.append({"ops": ops, "tensors": alive} | {name: size / ops for name, size in figures.items()})
    print(f"\n{'bytes an op':>12}{'peak':>8}{'kept':>8}{'peak, nodes read':>18}{'kept, nodes read':>18}")
    for row in rows:
        print(
            f"{row['ops']:12,}{row['peak']:8.0f}{row['kept']:8.0f}{row['peak_with_nodes']:18.0f}{row['with_nodes']:18.0f}"
        )
    keep("memory", rows)
    assert all(row["peak"] <= MOST_BYTES_AN_OP and not row["tensors"] for row in rows)


class Deep(nn.Module):
    """Many module calls that do next to nothing, or many ops in one."""

    def __init__(self, modules: int, ops: int) -> None:
        super().__init__()
        self.inner = nn.ModuleList(nn.Identity() for _ in range(modules))
        self.ops = ops
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        for module in self.inner:
            x = module(x)
        for _ in range(self.ops):
            x = x + 1
        return x + self.weight


def idle_microseconds(modules: int, ops: int, run_dir: Path) -> float:
    """What a watch in which no step is captured adds to one forward: least of many, taken in turns."""
    plain, watched, x = Deep(modules, ops), Deep(modules, ops), torch.zeros(4)
    with graphscope.watch(watched, every=lambda step: False, run_dir=run_dir):
        pairs = [(cpu_seconds(plain, x), cpu_seconds(watched, x)) for _ in range(60)]
    alone, beside = (min(column) for column in zip(*pairs, strict=True))
    return (beside - alone) * 1e6


def test_watching_while_nothing_is_captured(tmp_path):
    few, many = idle_microseconds(10, 10, tmp_path / "a"), idle_microseconds(1_010, 10, tmp_path / "b")
    long = idle_microseconds(10, 1_010, tmp_path / "c")
    a_module, an_op = (many - few) / 1_000, (long - few) / 1_000
    print(
        f"\nwatching, no step captured: {few:.0f} us a forward, {a_module:.2f} us a module call, {an_op:.2f} us an op"
    )
    keep("idle", {"us_per_forward": few, "us_per_module_call": a_module, "us_per_op": an_op})


def keep(part: str, figures: Any) -> None:
    """Into the JSON beside what the other tests of this file found."""
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known = known if isinstance(known, dict) else {}
    RESULTS.write_text(json.dumps({**known, part: figures}, indent=1), encoding="utf-8")
