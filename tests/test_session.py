"""A Session as a user meets it: what it takes, refuses, records and says."""

from __future__ import annotations

import itertools
import math
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import graphscope
from graphscope.errors import GraphscopeError, NoSuchStep, NotAModule, SessionClosed, UnknownName
from graphscope.session import default_run_dir
from tests.capture.models import Cnn, Mlp


def loop(model, x, steps, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()


def test_with_and_close_record_the_same_loop(tmp_path):
    x = torch.randn(5, 6)
    torch.manual_seed(3)
    with graphscope.watch(Mlp(), every=1, run_dir=tmp_path / "a") as first:
        torch.manual_seed(3)
        model = Mlp()
    model = Mlp()
    second = graphscope.watch(model, every=1, run_dir=tmp_path / "b")
    loop(model, x, 3)
    second.close()
    second.close()
    assert list(first.run.step_records) == []
    assert [r.step for r in second.run.step_records] == [0, 1, 2]
    assert second.state == "closed"
    assert second.run.finished
    again = graphscope.load(tmp_path / "b")
    assert again.steps == second.run.steps
    for stat in ("mean", "std", "l2"):
        np.testing.assert_array_equal(again.series("hidden", stat)[1], second.run.series("hidden", stat)[1])


def test_status_tells_how_it_is_doing(tmp_path):
    model = Cnn()
    with graphscope.watch(model, every=2, run_dir=tmp_path / "run") as session:
        empty = session.status()
        loop(model, torch.randn(4, 1, 8, 8), 5)
        assert session.run.steps == [0, 1, 2, 3, 4]
        status = session.status()
    assert (empty.step, empty.loss, empty.overhead, empty.state) == (None, None, None, "live")
    assert (status.step, status.captured_steps, status.state) == (4, 3, "live")
    assert status.loss > 0
    assert status.steps_per_second > 0
    assert status.overhead > 0
    assert session.status().state == "closed"


def test_numbers_of_the_user_and_a_counter_of_the_user(tmp_path):
    model, x = Mlp(), torch.randn(5, 6)
    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session:
        session.step = 100
        session.log(epoch=7, beta=0.5)
        loop(model, x, 2)
        session.log(step=101, accuracy=torch.tensor(0.75))
        with pytest.raises(UnknownName, match=r"log\(name=str\): wanted one number"):
            session.log(name="high")
    run = session.run
    assert run.steps == [100, 101]
    assert [r.epoch for r in run.step_records] == [7, 7]
    assert [a.tolist() for a in run.scalars("beta")] == [[100], [0.5]]
    assert [a.tolist() for a in run.scalars("accuracy")] == [[101], [0.75]]


def test_a_counter_of_the_user_rises_or_is_refused_with_words(tmp_path):
    model, x = Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for number in (0, 10, 20):
            session.step = number  # before the forward: this step's
            loop(model, x, 1, optimizer)
        assert session.step == 21
        model(x).mean().backward()
        session.step = 30  # while a step is under way: the next one's
        optimizer.step()
        loop(model, x, 1, optimizer)
        session.step = np.int64(31)
        for wrong in (30, 5, -1, 2**60):
            with pytest.raises(NoSuchStep, match="steps rise"):
                session.step = wrong
        for wrong in (1.5, "7", None):
            with pytest.raises(UnknownName, match="wanted a whole number"):
                session.step = wrong
    assert session.run.steps == [0, 10, 20, 21, 30]
    assert session.run.captured_steps == session.run.steps


def test_a_loop_of_forwards_alone_counts_them(tmp_path):
    model, x = Mlp(), torch.randn(5, 6)
    with graphscope.watch(model, every=1, run_dir=tmp_path / "learns") as session:
        for _ in range(8):
            model(x)
    assert (len(session.run.step_records), session.run.captured_steps) == (8, list(range(8)))
    with graphscope.watch(model, every=1, run_dir=tmp_path / "no_grad") as session, torch.no_grad():
        for _ in range(8):
            model(x)
    assert session.run.steps == []
    assert sum(one.repeats for one in session.run.passes) == 8


def test_what_is_logged_after_the_last_step_belongs_to_it(tmp_path):
    with graphscope.watch(model := Mlp(), every=1, run_dir=tmp_path / "run") as session:
        loop(model, torch.randn(5, 6), 2)
        session.log(test_accuracy=0.5)
    assert [a.tolist() for a in graphscope.load(tmp_path / "run").scalars("test_accuracy")] == [[1], [0.5]]


def test_capture_next_captures_the_coming_step(tmp_path):
    model, x = Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, every=100, run_dir=tmp_path / "run") as session:
        loop(model, x, 3, optimizer)
        session.capture_next()
        loop(model, x, 3, optimizer)
    assert session.run.captured_steps == [0, 3]
    with pytest.raises(SessionClosed, match="was closed"):
        session.capture_next()


def test_include_exclude_and_roles_choose_statistics_and_leave_the_graph_whole(tmp_path):
    model = Cnn()
    with graphscope.watch(
        model, every=1, include=["conv*", "fc*"], exclude="fc.bias", roles=["activation", "parameter_gradient"],
        run_dir=tmp_path / "run",
    ) as session:  # fmt: skip
        loop(model, torch.randn(4, 1, 8, 8), 1)
    run = session.run
    assert set(run.addresses("activation")) == {"conv", "fc"}
    assert set(run.addresses("parameter_gradient")) == {"conv.weight", "conv.bias", "fc.weight"}
    assert run.addresses("gradient") == []
    assert {node.op for node in session.graph.nodes} > {"conv2d", "linear", "batch_norm"}


def test_update_ratio_and_cosine_are_those_of_the_optimizers_step(tmp_path):
    torch.manual_seed(0)
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = next(model.parameters())
    ratios, gradients = [], []
    with graphscope.watch(model, optimizer, every=2, run_dir=tmp_path / "run") as session:
        for step in range(5):
            optimizer.zero_grad()
            model(torch.randn(6, weight.shape[1])).square().mean().backward()
            before = weight.detach().clone()
            optimizer.step()
            if step % 2 == 0:
                ratios.append(((weight.detach() - before).norm() / before.norm()).item())
                gradients.append(weight.grad.ravel().clone())
    name = next(iter(dict(model.named_parameters())))
    steps, found = session.run.series(name, "update_ratio", "update")
    assert steps.tolist() == [0, 2, 4]
    assert found == pytest.approx(ratios, rel=1e-4)
    _, cosine = session.run.series(name, "cosine", "parameter_gradient")
    want = [torch.cosine_similarity(a, b, 0).item() for a, b in itertools.pairwise(gradients)]
    assert math.isnan(cosine[0])
    assert cosine[1:] == pytest.approx(want, rel=1e-4)
    assert session.run.summary(name, "parameter_gradient", 4).cosine == cosine[2]
    with pytest.raises(UnknownName, match="'cosine', 'parameter_gradient'"):
        session.run.series(name, "cosine")
    again = graphscope.load(tmp_path / "run")
    assert again.series(name, "cosine", "parameter_gradient")[1][1:] == pytest.approx(want, rel=1e-4)


def test_an_exclude_that_matches_nothing_is_noted(tmp_path):
    with graphscope.watch(Cnn(), exclude=["fc.*", "layer9.*"], run_dir=tmp_path / "run") as session:
        pass
    assert ["layer9" in note.text for note in session.run.notes] == [True]


REFUSED = {
    "a class": (lambda d: graphscope.watch(nn.Linear, run_dir=d), NotAModule, "Did you mean an instance"),
    "a state dict": (lambda d: graphscope.watch({"w": 1}, run_dir=d), NotAModule, "state_dict"),
    "an input for an optimizer": (lambda d: graphscope.watch(Mlp(), torch.zeros(2), run_dir=d), NotAModule, "trace"),
    "a loss function": (lambda d: graphscope.watch(Mlp(), loss_fn=torch.nn.functional.mse_loss, run_dir=d),
                        NotAModule, "mse_loss"),
    "an include that matches nothing": (lambda d: graphscope.watch(Cnn(), include="con.*", run_dir=d), UnknownName,
                                        r"include='con\.\*'.*no module path or parameter name matches"),
    "no budget": (lambda d: graphscope.watch(Mlp(), budget=0, run_dir=d), UnknownName, "budget=0"),
    "a run_dir that is a file": (lambda d: graphscope.watch(Mlp(), run_dir=__file__), GraphscopeError, "run_dir"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_watched_is_refused_before_anything_is_touched(name, tmp_path):
    call, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        call(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("steps", [0, -3, 1.5, "x", True])
def test_capture_next_wants_a_whole_number_of_steps(steps, tmp_path):
    model = Mlp()
    with (
        graphscope.watch(model, run_dir=tmp_path) as session,
        pytest.raises(UnknownName, match="a whole number from 1"),
    ):
        session.capture_next(steps)


def test_a_refused_run_dir_leaves_the_model_unwatched():
    model = Mlp()
    with pytest.raises(GraphscopeError):
        graphscope.watch(model, run_dir=__file__)
    assert "_compiled_call_impl" not in model.__dict__


def test_default_directories_never_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_run_dir("Net-1")
    first.mkdir(parents=True)
    assert default_run_dir("Net-1") != first
    assert first.parts[0] == "runs"


def test_a_compiled_model_says_what_is_not_observed(tmp_path):
    model = Mlp()
    model.compile(backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(NotAModule, match="compiled in place"):
        graphscope.watch(model, optimizer, run_dir=tmp_path / "run")


def test_views_follow_on_the_recorders_thread_and_a_broken_one_is_dropped(tmp_path):
    model, x, got = Mlp(), torch.randn(5, 6), []

    def broken(frames, records):
        raise ValueError("broken view")

    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.subscribe(broken)
        end = session.subscribe(lambda frames, records: got.append((len(frames), len(records))))
        loop(model, x, 2)
        assert session.run.steps == [0, 1]
        end()
        loop(model, x, 1)
        assert session.run.steps == [0, 1, 2]
    assert len(got) == 2
    assert all(frames == records for frames, records in got)


def test_a_disk_that_does_not_keep_up_costs_statistics_and_never_steps(tmp_path, monkeypatch):
    from graphscope import recorder

    gate, real = threading.Event(), recorder.RunWriter.append

    def slow(self, records):
        gate.wait(30)
        return real(self, records)

    monkeypatch.setattr(recorder.RunWriter, "append", slow)
    monkeypatch.setattr(recorder, "MOST_WAITING", 3)
    model = Mlp()
    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session:
        loop(model, torch.randn(5, 6), 12)
        gate.set()
    run = graphscope.load(tmp_path / "run")
    assert run.steps == list(range(12))
    assert 0 < len(run.captured_steps) < 12 or any(np.isnan(run.series("hidden", "mean")[1]))
    assert run.ends[-1].dropped == session._recorder.dropped > 0


def test_handing_the_records_over_counts_as_our_own_time(tmp_path):
    model = Mlp()
    with graphscope.watch(model, every=100, run_dir=tmp_path / "run") as session:
        sink = session._watcher.sink
        session._watcher.sink = lambda records: (time.sleep(0.02), sink(records))
        loop(model, torch.randn(5, 6), 5)
    own = [record.self_seconds for record in session.run.step_records]
    assert own[0] < own[1]
    assert min(own[1:]) >= 0.02


def test_what_a_slow_disk_had_dropped_before_an_anomaly_is_written_after_all(tmp_path, monkeypatch):
    from graphscope import recorder

    gate, real = threading.Event(), recorder.RunWriter.append

    def slow(self, records):
        gate.wait(30)
        return real(self, records)

    monkeypatch.setattr(recorder.RunWriter, "append", slow)
    monkeypatch.setattr(recorder, "MOST_WAITING", 3)
    model, kept = Mlp(), recorder.MOST_MISSED
    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session:
        loop(model, torch.randn(5, 6), 50)
        assert 40 < session._recorder.dropped < 50
        loop(model, torch.full((5, 6), float("nan")), 1)
        assert session._recorder.dropped < 50 - kept + 2
        gate.set()
    run = graphscope.load(tmp_path / "run")
    assert set(run.captured_steps) >= set(range(51 - kept, 50)), "the flight before it"
    assert run.ends[-1].dropped == session._recorder.dropped


def test_check_finds_a_mistake_without_training(tmp_path):
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(x).softmax(dim=1)

    model, x, y = Wrong(), torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rules = [f.rule for f in graphscope.check(model, x, loss_fn=nn.CrossEntropyLoss(), target=y)]
    assert rules == ["softmax-before-cross-entropy"]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert graphscope.check(Mlp(), x, loss_fn=nn.CrossEntropyLoss(), target=y) == []
