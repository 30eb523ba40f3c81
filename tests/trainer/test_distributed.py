"""Several processes: shares of the data, one network, sums over all; watched and not, and when one of them is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import graphscope
from graphscope.errors import GraphscopeError
from graphscope.reports.text import summary_text
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.distributed import ALONE, Ranks, current_ranks
from graphscope.trainer.loop import Trainer
from graphscope.trainer.settings import TrainerSettings

ROOT = Path(__file__).parents[2]
SHELL = "import sys\nfrom graphscope.cli import main\nsys.exit(main(['train', *sys.argv[1:]]))"


def processes(code: str, *arguments: str, cwd: Path, count: int = 2) -> list[subprocess.Popen[str]]:
    """``code`` as so many ranks, without a launcher that would end the others for one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
    }  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=cwd,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]  # fmt: skip


def ended(started: list[subprocess.Popen[str]], timeout: float = 120) -> list[tuple[str, str]]:
    try:
        return [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()


@pytest.mark.parametrize(("count", "world"), [(10, 2), (11, 2), (11, 4), (1, 4), (7, 7)])
def test_shares_are_equally_long_and_hold_everything(count, world):
    order = torch.randperm(count)
    shares = [Ranks(rank, world).share(order) for rank in range(world)]
    assert {len(share) for share in shares} == {-(-count // world)}
    assert set(torch.cat(shares).tolist()) == set(range(count))
    sampler = [
        torch.utils.data.DistributedSampler(range(count), world, rank, shuffle=False)  # type: ignore[arg-type]
        for rank in range(world)
    ]
    assert [share.tolist() for share in shares] == [order[list(one)].tolist() for one in sampler]


def test_a_lone_process_shares_nothing():
    order = torch.arange(5)
    assert ALONE.share(order) is order and current_ranks() == ALONE
    numbers = torch.tensor([1.0, 2.0])
    assert ALONE.summed(numbers).tolist() == [1.0, 2.0]
    assert ALONE.any(True, torch.device("cpu")) and not ALONE.any(False, torch.device("cpu"))


TRAINS = """
import json, os, sys
import torch
from graphscope.session import watch
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.distributed import joined
from graphscope.trainer.loop import BatchResult, Trainer
from graphscope.trainer.settings import TrainerSettings

how = json.loads(sys.argv[1])
calls = 0
real = torch.distributed.all_reduce
def counted(*args, **kwargs):
    global calls
    calls += 1
    return real(*args, **kwargs)
with joined("cpu") as ranks:
    torch.distributed.all_reduce = counted
    told = {}
    for watched in (False, True):
        calls = 0
        trainer = Trainer(TrainerSettings(**how), data=shapes(0, 201, 61))
        session = watch(trainer.model, trainer.optimizer, every=1, run_dir="run", strict=True) if watched else None
        results = list(trainer.batches())
        if session is not None:
            session.close()
        torch.save(trainer.model.state_dict(), f"rank-{ranks.rank}-{watched}.pt")
        told[str(watched)] = {
            "losses": [r.loss for r in results], "accuracies": [r.accuracy for r in results],
            "images": [r.images for r in results], "recall": results[-1].recall, "collectives": calls,
        }
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn-bn", "gan"])
def test_two_processes_train_one_network_and_watching_changes_nothing(tmp_path, model):
    how = {"model": model, "epochs": 2, "batch_size": 32}
    started = processes(TRAINS, json.dumps(how), cwd=tmp_path)
    outputs = ended(started)
    assert [process.returncode for process in started] == [0, 0], outputs[0][1] + outputs[1][1]
    told = [json.loads(out) for out, _ in outputs]
    assert told[0] == told[1], "both say what all of them saw"
    assert told[0]["True"] == told[0]["False"], "no collective of ours, and the same losses to the bit"
    assert told[0]["True"]["images"] == [64, 64, 64, 10, 61] * 2, "201 images: the two shares are 101 long"
    states = {
        (rank, watched): torch.load(tmp_path / f"rank-{rank}-{watched}.pt", weights_only=True)
        for rank in (0, 1)
        for watched in (False, True)
    }
    first = states[0, False]
    for other in states.values():
        assert all(torch.equal(first[name], other[name]) for name in first)

    alone = Trainer(TrainerSettings(**how), data=shapes(0, 201, 61))
    alone.model.load_state_dict(first)
    evaluation = alone.evaluate()
    assert told[0]["True"]["losses"][-1] == pytest.approx(evaluation.loss, rel=1e-5 if model == "cnn-bn" else 0.2)
    assert told[0]["True"]["recall"] == list(evaluation.recall)

    run = graphscope.load(tmp_path / "run")
    assert sorted(header.rank for header in run.headers) == [0, 1] and run.finished and not run.notes
    assert run.steps == list(range(8))
    assert {header.world_size for header in run.headers} == {2}


@pytest.mark.slow
def test_two_shares_make_the_step_of_both_together(tmp_path):
    how = {"model": "mlp", "optimizer": "sgd", "lr": 0.1, "schedule": "constant", "batch_size": 32, "steps": 3}
    outputs = ended(processes(TRAINS, json.dumps(how), cwd=tmp_path))
    told = json.loads(outputs[0][0])
    trainer = Trainer(TrainerSettings(**how), data=shapes(0, 201, 61))
    shares = []
    for rank in range(2):
        other = Trainer(TrainerSettings(**how), data=shapes(0, 201, 61))
        other.data.ranks = Ranks(rank, 2)
        shares.append(list(other.data.train(0)))
    optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.1)
    losses = []
    for (x0, y0), (x1, y1) in list(zip(*shares, strict=True))[:3]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(trainer.model(torch.cat([x0, x1])), torch.cat([y0, y1]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert told["True"]["losses"][:3] == pytest.approx(losses, rel=1e-5)
    made = torch.load(tmp_path / "rank-1-True.pt", weights_only=True)
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(made[name], value, rtol=1e-4, atol=1e-6)


UNEVEN = """
import os, sys
import torch, torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel
import graphscope

dist.init_process_group("gloo")
rank = dist.get_rank()
for watched in (False, True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = graphscope.watch(model, optimizer, every=1, run_dir="run", strict=True) if watched else None
    torch.manual_seed(rank)
    with Join([wrapped]):
        for _ in range(5 + 3 * rank):
            optimizer.zero_grad()
            wrapped(torch.randn(4, 8)).square().mean().backward()
            optimizer.step()
    if session is not None:
        session.close()
    torch.save(model.state_dict(), f"rank-{rank}-{watched}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_of_unequal_length_in_a_loop_of_ones_own(tmp_path):
    started = processes(UNEVEN, cwd=tmp_path)
    outputs = ended(started)
    assert [process.returncode for process in started] == [0, 0], outputs[0][1] + outputs[1][1]
    for rank in (0, 1):
        plain, watched = (torch.load(tmp_path / f"rank-{rank}-{w}.pt", weights_only=True) for w in (False, True))
        assert all(torch.equal(plain[name], watched[name]) for name in plain)
    steps = {}
    for path in (tmp_path / "run").glob("*.gscope"):
        run = graphscope.load(path)
        steps[run.header.rank] = len(run.steps)
        assert run.finished
    assert steps == {0: 5, 1: 8}
    merged = graphscope.load(tmp_path / "run")
    assert len(merged.headers) == 2 and merged.steps == list(range(8))


@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False])
def test_when_one_process_is_killed_the_other_ends_and_both_files_are_readable(tmp_path, watched):
    recorded = ["--run-dir", "run"] if watched else ["--no-watch"]
    started = processes(
        SHELL, "--model", "mlp", "--epochs", "1000000", "--checkpoint-dir", "saved", *recorded, cwd=tmp_path
    )
    try:
        wait_for(lambda: len(list((tmp_path / "saved").glob("step-*"))) > 0, started)
        started[1].send_signal(signal.SIGKILL)
        _, err = started[0].communicate(timeout=60)
    finally:
        ended(started)
    assert started[0].returncode == 2 and "Traceback" not in err, err
    assert "another process of this training is gone" in err.splitlines()[-1]
    if watched:
        run = graphscope.load(tmp_path / "run")
        assert sorted(header.rank for header in run.headers) == [0, 1] and not run.finished
        assert len(run.steps) >= 12 and run.damaged == 0


def wait_for(condition, started: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert all(process.poll() is None for process in started), [p.communicate() for p in started]
        try:
            if condition():
                return
        except (OSError, GraphscopeError):
            pass  # not there yet
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's signals")
def test_torchrun_trains_and_the_first_process_speaks(tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "graphscope",
        "train", "--model", "mlp", "--epochs", "1", "--every", "1",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=150, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy ") == 1 and done.stdout.count("2 processes") == 1
    (run_dir,) = (tmp_path / "runs").iterdir()
    run = graphscope.load(run_dir)
    assert len(run.headers) == 2 and run.finished and run.steps == list(range(12))
    assert len({header.run_id for header in run.headers}) == 1
    assert run.scalars("test_accuracy")[1][-1] > 0.5
    assert "2 files of 2 ranks" in summary_text(run), "graphscope show tells the ranks"
