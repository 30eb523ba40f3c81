"""Gradients, losses and what is behind the output, held against torch.autograd."""

from __future__ import annotations

import gc
import math
import sys
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphscope.capture.gradients import backward_roots
from graphscope.session import watch
from tests.capture import models


def one_step(model, x, loss_of, tmp_path, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run", **options) as session:
        optimizer.zero_grad()
        loss = loss_of(model(x))
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimizer.step()
    return session.run, loss.detach(), gradients


def test_gradient_of_an_activation_equals_autograd(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    hidden = model.hidden(x).detach().requires_grad_()
    (want,) = torch.autograd.grad(model.head(hidden.relu()).square().sum(), hidden)
    run, _, _ = one_step(model, x, lambda out: out.square().sum(), tmp_path)
    for stat, value in {"mean": want.mean(), "l2": want.norm(), "min": want.min(), "max": want.max()}.items():
        _, got = run.series("hidden", stat, role="gradient")
        np.testing.assert_allclose(got, [value.item()], rtol=1e-5)


def test_gradient_before_an_inplace_relu_is_that_of_the_value_before_it(tmp_path):
    torch.manual_seed(1)
    inplace = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    hidden = inplace[0](x := torch.randn(3, 4)).detach().requires_grad_()
    (want,) = torch.autograd.grad(inplace[2](hidden.relu()).sum(), hidden)
    run, _, _ = one_step(inplace, x, torch.sum, tmp_path)
    np.testing.assert_allclose(run.series("0", "l2", role="gradient")[1], [want.norm().item()], rtol=1e-5)
    before = inplace  # weights moved by the step: compare the activation with the recorded one of the layer's output
    assert before is inplace
    assert run.series("0", "min")[1][0] < 0, "taken before the in-place ReLU overwrote it"


def test_parameter_gradients_parameters_and_updates(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    run, _, gradients = one_step(model, x, lambda out: out.square().mean(), tmp_path)
    for name, gradient in gradients.items():
        got = {role: run.series(name, "l2", role=role)[1][0] for role in ("parameter", "parameter_gradient", "update")}
        np.testing.assert_allclose(got["parameter"], weights[name].norm().item(), rtol=1e-5)
        np.testing.assert_allclose(got["parameter_gradient"], gradient.norm().item(), rtol=1e-5)
        np.testing.assert_allclose(got["update"], 0.1 * gradient.norm().item(), rtol=1e-3)
    total = math.sqrt(sum(g.norm().item() ** 2 for g in gradients.values()))
    np.testing.assert_allclose(run.scalars("grad_norm")[1], [total], rtol=1e-5)


LOSSES = {
    "function": (lambda out, y: F.cross_entropy(out, y), ["cross_entropy"]),
    "module": (lambda out, y: nn.CrossEntropyLoss()(out, y), ["cross_entropy"]),
    "two steps": (lambda out, y: F.nll_loss(F.log_softmax(out, dim=1), y), ["cross_entropy"]),
    "softmax before": (lambda out, y: F.cross_entropy(out.softmax(1), y), ["softmax", "cross_entropy"]),
    "scaled": (lambda out, y: F.cross_entropy(out, y) / 4, ["cross_entropy", "div"]),
    "mse": (lambda out, y: F.mse_loss(out, F.one_hot(y, 3).float()), ["mse_loss"]),
    "with penalty": (lambda out, y: F.cross_entropy(out, y) + 0 * sum(p.sum() for p in PENALTY),
                     ["cross_entropy", "add"]),
}  # fmt: skip
PENALTY = [torch.ones(2, requires_grad=True)]


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_found_without_being_told(name, tmp_path):
    loss_fn, ops = LOSSES[name]
    y = torch.tensor([0, 2, 1, 1, 0])
    run, loss, _ = one_step(models.Mlp(), torch.randn(5, 6), lambda out: loss_fn(out, y), tmp_path)
    steps, values = run.scalars("loss")
    assert steps.tolist() == [0]
    np.testing.assert_allclose(values, [loss.item()], rtol=1e-6)
    behind = [node for node in run.graph.nodes if node.id > 2]
    assert [node.op for node in behind] == ops
    head = run.graph.nodes[2].outputs[0]
    assert head in behind[0].inputs
    assert behind[-1].source[0] == __file__
    assert behind[-1].outputs[0].shape == ()
    if name == "softmax before":
        assert behind[0].outputs[0].shape == (5, 3)


def test_autograd_backward_and_grad_are_found_too(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        losses = []
        for how in (torch.autograd.backward, lambda t: torch.autograd.grad(t, list(model.parameters()))):
            loss = model(x).pow(2).mean()
            how(loss)
            losses.append(loss.item())
            optimizer.step()
    np.testing.assert_allclose(session.run.scalars("loss")[1], losses, rtol=1e-6)


def test_uncaptured_steps_have_their_loss_too(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    with watch(model, optimizer, every=5, budget=1.0, run_dir=tmp_path / "run") as session:
        for _ in range(11):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
    steps, values = session.run.scalars("loss")
    assert session.run.captured_steps == [0, 5, 10]
    np.testing.assert_allclose(values, [losses[i] for i in steps], rtol=1e-6)
    assert set(steps.tolist()) >= {0, 5, 10}
    assert len(steps) > 3


def test_a_loss_module_given_is_what_counts(tmp_path):
    model, x, y = models.Mlp(), torch.randn(5, 6), torch.tensor([0, 2, 1, 1, 0])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, loss_fn=criterion, every=1, run_dir=tmp_path / "run") as session:
        loss = criterion(model(x), y)
        (loss / 8).backward()
        optimizer.step()
    np.testing.assert_allclose(session.run.scalars("loss")[1], [loss.item()], rtol=1e-6)
    assert "_compiled_call_impl" not in criterion.__dict__


@pytest.mark.parametrize(
    ("clear", "stale"),
    [
        (lambda o, when: o.zero_grad() if when == "before" else None, False),
        (lambda o, when: o.zero_grad() if when == "after forward" else None, False),
        (lambda o, when: o.zero_grad(set_to_none=False) if when == "before" else None, False),
        (lambda o, when: None, True),
    ],
    ids=["zero_grad first", "zero_grad after forward", "zeros kept", "never"],
)
def test_gradients_that_were_never_cleared_are_seen(clear, stale, tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(3):
            clear(optimizer, "before")
            loss = model(x).pow(2).mean()
            clear(optimizer, "after forward")
            loss.backward()
            optimizer.step()
    seen = [record.stale_gradients for record in session.run.step_records]
    assert seen[0] is None
    assert seen[1] is stale or (seen[1] is None and not stale)
    assert bool(seen[2]) is stale


def test_a_discriminator_cleared_before_its_own_step_is_not_accused(tmp_path):
    generator, critic = models.Mlp(), torch.nn.Linear(3, 1)
    of_g, of_d = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, critic))
    with watch(critic, of_d, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(4):
            of_d.zero_grad()
            critic(generator(torch.randn(5, 6)).detach()).mean().backward()
            of_d.step()
            of_g.zero_grad()
            (-critic(generator(torch.randn(5, 6))).mean()).backward()
            of_g.step()
    assert not any(record.stale_gradients for record in session.run.step_records)
    assert session.findings == []


def test_accumulation_is_not_taken_for_stale_gradients(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(4):
                model(x).pow(2).mean().backward()
            optimizer.step()
    records = session.run.step_records
    assert [record.passes for record in records] == [4, 4, 4]
    assert not any(record.stale_gradients for record in records)


def test_a_loop_that_updates_by_hand_counts_its_forwards(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(4):
            for p in model.parameters():
                p.grad = None
            model(x).pow(2).mean().backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
    assert [record.step for record in session.run.step_records] == [0, 1, 2, 3]
    assert session.run.captured_steps == [0, 1, 2, 3]
    assert len(session.run.scalars("loss")[0]) == 4


def test_a_backward_in_this_thread_asks_no_other_thread(tmp_path, monkeypatch):
    def asked():
        raise AssertionError("sys._current_frames can wait for ever where a collection begins in it")

    monkeypatch.setattr(sys, "_current_frames", asked)
    run, loss, _ = one_step(models.Mlp(), torch.randn(5, 6), lambda y: y.square().mean(), tmp_path)
    assert run.scalars("loss")[1][0] == pytest.approx(float(loss))


def test_other_threads_are_asked_without_the_collector_and_their_backward_is_found(monkeypatch):
    collected = []
    plain = sys._current_frames
    monkeypatch.setattr(sys, "_current_frames", lambda: (collected.append(gc.isenabled()), plain())[1])
    inside, leave = threading.Event(), threading.Event()
    loss = torch.tensor(3.0)

    def _engine_run_backward(t_outputs):
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=_engine_run_backward, args=((loss,),))
    thread.start()
    inside.wait(10)
    roots = backward_roots()
    leave.set()
    thread.join()
    assert len(roots) == 1 and roots[0] is loss
    assert collected == [False] and gc.isenabled()
