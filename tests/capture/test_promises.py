"""What watching promises, each with a test that can fail: the same bits in every way of training, nothing leaks,
threads and forked processes go on, and an own failure anywhere is one warning that the training does not notice."""

from __future__ import annotations

import gc
import os
import random
import threading
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graphscope import recorder
from graphscope.capture import activations, fingerprint, forward, loss_tap, ops, protocol, stale, step, taps, watcher
from graphscope.capture.plan import Schedule
from graphscope.session import watch
from tests.capture import models
from tests.capture.test_observer import attributes, state_of_torch
from tests.capture.zoo.test_zoo import CASES, loss_of

WAYS = ("float32", "bfloat16 autocast", "GradScaler, clipping and accumulation")


def train(name: str, way: str, run_dir: Path | None = None):
    """Three steps of a zoo model, of which the first and the last are captured -> everything that may not differ."""
    case = CASES[name]
    torch.manual_seed(1)
    random.seed(1)
    model = case.make()
    inputs = case.inputs()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=way.startswith("GradScaler"))
    session = watch(model, optimizer, every=2, budget=1.0, run_dir=run_dir) if run_dir else None
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(2 if scaler.is_enabled() else 1):
            with torch.autocast("cpu", torch.bfloat16, enabled=way != "float32"):
                loss = loss_of(model(*inputs))
            scaler.scale(loss).backward()
            losses.append(loss.item())
        if scaler.is_enabled():
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    if session is not None:
        session.close()
        assert session.run.captured_steps == [0, 2]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    moments = [value.clone() for entry in optimizer.state.values() for value in entry.values()]
    return losses, state, [*moments, torch.get_rng_state()], random.getstate(), scaler.state_dict()


@pytest.mark.seconds
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_every_model_of_the_zoo_trains_to_the_same_bits_in_every_way(name, way, tmp_path):
    try:
        plain = train(name, way)
    except (RuntimeError, TypeError) as error:  # the model itself cannot be trained in this way
        with pytest.raises(type(error)) as watched_error:
            train(name, way, tmp_path / "run")
        assert str(watched_error.value) == str(error)
        assert way != "float32"
        return
    watched = train(name, way, tmp_path / "run")
    assert repr(plain[0]) == repr(watched[0])
    assert all(torch.equal(plain[1][key], watched[1][key]) for key in plain[1])
    assert all(torch.equal(a, b) for a, b in zip(plain[2], watched[2], strict=True))
    assert plain[3:] == watched[3:]


# An own failure.


class Net(nn.Module):
    """Has every kind of layer that something of ours looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.drop = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.3)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.drop(self.relu(self.bn(self.conv(x)))), 1))


def loop(run_dir: Path | None, **options):
    """Training with an evaluation and a forward that raises in between -> what came out, and the session."""
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    session = watch(model, optimizer, every=2, run_dir=run_dir, strict=False, **options) if run_dir else None
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = model(torch.randn(2, 1, 6, 6)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            losses.append(model(torch.ones(1, 1, 6, 6)).sum().item())
        model.train()
        with pytest.raises(RuntimeError, match="weight of size"):
            model(torch.ones(1, 2, 6, 6))
    state = [value.clone() for value in model.state_dict().values()]
    return losses, [*state, torch.get_rng_state()], model, session


class BrokenLog(list):
    """What a tap writes into, inside the user's forward."""


ENTRIES = [
    (watcher.Watcher, "_begin_pass"), (watcher.Watcher, "_end_pass"), (watcher.Watcher, "_end_raising"),
    (watcher.Watcher, "_take_before"), (watcher.Watcher, "_take_after"), (watcher.Watcher, "_end_step"),
    (watcher.Watcher, "_begin_step"), (watcher, "kinds_of"), (watcher, "fingerprint"),
    (fingerprint.Fingerprints, "begin"), (fingerprint.Fingerprints, "_attach"), (BrokenLog, "append"),
    (protocol.Protocol, "forward"), (protocol.Protocol, "output"), (protocol.Protocol, "_backward"),
    (protocol.Gradients, "remember"), (protocol.Gradients, "cleared"), (protocol.Rates, "follow"),
    (forward.ForwardCapture, "take_inputs"), (forward.ForwardCapture, "_enter_module"),
    (forward.ForwardCapture, "_leave_module"), (forward.ForwardCapture, "_leave_raising"),
    (forward.ForwardCapture, "_end"), (forward.ForwardCapture, "graph"), (taps.Taps, "attach"),
    (ops.OpRecorder, "_record"), (ops.OpRecorder, "_failed"), (activations.Activations, "take"),
    (loss_tap.LossTap, "hook"), (loss_tap.LossTap, "_take"), (loss_tap.LossTap, "scalars"),
    (stale.StaleGradients, "look"), (stale.StaleGradients, "remember"),
    (step.ParameterCapture, "before"), (step.ParameterCapture, "after"), (step.Pass, "records"),
    (watcher, "stats_record"), (Schedule, "wants"), (Schedule, "account"), (recorder.Recorder, "_take"),
]  # fmt: skip


class SightThatBreaks(fingerprint.Sight):
    def __init__(self, *args):
        super().__init__(*args)
        self.log = BrokenLog()


@pytest.fixture(scope="module")
def undisturbed():
    return loop(None)[:2]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry[0].__name__.rsplit('.', 1)[-1]}.{entry[1]}")
def test_an_own_failure_anywhere_is_one_warning_and_the_same_training(entry, undisturbed, tmp_path, monkeypatch):
    owner, name = entry
    assert hasattr(owner, name)
    calls = []

    def broken(*args, **kwargs):
        calls.append(name)
        raise ZeroDivisionError("ours")

    before = state_of_torch()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            if owner is BrokenLog:
                fingerprint.tap_seconds()
                patch.setattr(fingerprint, "Sight", SightThatBreaks)
            losses, state, model, session = loop(tmp_path / "run")
            session.flush()
            assert calls, "nothing was tried"
            session.close()
    assert losses == undisturbed[0]
    assert all(torch.equal(a, b) for a, b in zip(state, undisturbed[1], strict=True))
    ours = [str(one.message) for one in told if "GraphScope" in str(one.message)]
    assert len(ours) == 1, ours
    assert "stopped recording" in ours[0]
    assert "ZeroDivisionError" in session.failure
    assert attributes(model) == attributes(Net())
    assert state_of_torch() == before


# Threads and processes.


def test_two_threads_that_take_turns_train_to_the_same_bits(tmp_path):
    def run(run_dir):
        torch.manual_seed(0)
        model = models.Cnn()
        session = watch(model, every=3, budget=1.0, run_dir=run_dir) if run_dir else None
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        turns = [threading.Semaphore(1), threading.Semaphore(0)]
        failures = []

        def work(me):
            try:
                for _ in range(6):
                    turns[me].acquire()
                    optimizer.zero_grad()
                    model(torch.randn(3, 1, 8, 8)).square().mean().backward()
                    optimizer.step()
                    turns[1 - me].release()
            except BaseException as error:
                failures.append(error)
                turns[1 - me].release()

        threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        if session is not None:
            session.close()
            assert session.run.steps == list(range(12))
            assert {record.topology for record in session.run.step_records} == {0}
            assert attributes(model) == attributes(models.Cnn())
        return [value.clone() for value in model.state_dict().values()]

    assert all(torch.equal(a, b) for a, b in zip(run(None), run(tmp_path / "run"), strict=True))


class UsesTheModel(torch.utils.data.Dataset):
    """Calls the watched model in the worker, and steps an optimizer of its own."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0)
        self.model(torch.ones(2, 6)).sum().backward()
        optimizer.step()
        return torch.tensor([os.getpid() != PARENT, index])


PARENT = os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_dataloader_workers_are_silent_and_the_parents_file_is_whole(tmp_path):
    model = models.Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        loader = torch.utils.data.DataLoader(
            UsesTheModel(model), batch_size=2, num_workers=2, multiprocessing_context="fork"
        )
        for flags in loader:
            assert flags[:, 0].all()
            optimizer.zero_grad()
            model(torch.ones(2, 6)).mean().backward()
            optimizer.step()
    assert session.run.steps == [0, 1]
    assert [record.passes for record in session.run.step_records] == [1, 1]
    assert len(list((tmp_path / "run").glob("*.gscope"))) == 1
    assert session.run.finished and not session.run.damaged


# Nothing leaks.


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def leaks(steps: int, run_dir: Path) -> tuple[list[int], list[int]]:
    """Living tensors and objects of ours, each tenth of a run in which the graph changes now and then."""
    model = models.Cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    tensors, ours = [], []
    with watch(model, optimizer, every=50, run_dir=run_dir) as session:
        for i in range(steps):
            model.drop.train(i % 7 != 0)
            optimizer.zero_grad()
            model(torch.ones(2, 1, 8, 8)).sum().backward()
            optimizer.step()
            if i % (steps // 10) == steps // 20:
                session.flush()
                gc.collect()
                living = [type(thing) for thing in gc.get_objects()]
                tensors.append(sum(issubclass(kind, Tensor) for kind in living))
                ours.append(sum(str(kind.__module__).startswith("graphscope.capture") for kind in living))
    return tensors, ours


def test_a_thousand_steps_leave_no_tensor_and_nothing_of_ours_behind(tmp_path):
    tensors, ours = leaks(1_000, tmp_path / "run")
    assert len(set(tensors[2:])) == 1, tensors
    assert max(ours[2:]) - min(ours[2:]) <= 2, ours


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_ten_thousand_steps_do_not_grow(tmp_path):
    leaks(1_000, tmp_path / "warm")
    before = resident_pages()
    tensors, ours = leaks(10_000, tmp_path / "run")
    assert len(set(tensors[2:])) == 1, tensors
    assert max(ours[2:]) - min(ours[2:]) <= 2, ours
    # 10,000 steps of columns, 200 captured ones and the allocator's own; an activation a step would be hundreds.
    assert (resident_pages() - before) * os.sysconf("SC_PAGE_SIZE") < 64 << 20
