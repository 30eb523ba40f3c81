"""What the recorded gradients of parameters are, held against ``p.grad`` where the optimizer begins its step."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import graphscope
from graphscope.reports.text import summary_text
from graphscope.session import watch
from tests.capture import models
from tests.trainer.test_distributed import ended, processes


def recorded(run, model, stat="l2", step=0):
    return {name: run.summary(name, "parameter_gradient", step).__getattribute__(stat) for name, _ in named(model)}


def named(model):
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def seen_by(optimizer, model):
    """Norms of the gradients at each step's begin, as a hook of this test sees them."""
    norms = []
    optimizer.register_step_pre_hook(lambda *_: norms.append({n: p.grad.norm().item() for n, p in named(model)}))
    return norms


def both_ways(loop, tmp_path, make):
    """The loop on a twin that nobody watches -> the gradients its optimizer saw; the loop watched -> (run, weights)."""
    torch.manual_seed(0)
    model, x = models.Mlp(), torch.randn(4, 5, 6)
    twin = copy.deepcopy(model)
    optimizer = make(twin.parameters())
    norms = seen_by(optimizer, twin)
    loop(twin, optimizer, x)
    optimizer = make(model.parameters())
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        loop(model, optimizer, x)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    return session.run, norms, model


def agree(run, norms, model):
    assert norms and len(norms) == len(run.captured_steps)
    for step, want in zip(run.captured_steps, norms, strict=True):
        got = recorded(run, model, step=step)
        np.testing.assert_allclose([got[n] for n in want], list(want.values()), rtol=1e-5)


def test_accumulated_and_clipped_gradients_are_final(tmp_path):
    def loop(model, optimizer, x):
        for _ in range(3):
            optimizer.zero_grad()
            for batch in x:
                model(batch).pow(2).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()

    run, norms, model = both_ways(loop, tmp_path, lambda p: torch.optim.SGD(p, lr=0.1))
    agree(run, norms, model)
    np.testing.assert_allclose(run.scalars("grad_norm")[1], [0.05] * 3, rtol=1e-3)
    assert [run.gradient_state(step) for step in run.captured_steps] == ["final"] * 3
    again = graphscope.load(tmp_path / "run")
    assert again.gradient_state() == again.gradient_state(0) == "final"
    assert "Gradients of parameters are final" in summary_text(again)
    with pytest.raises(graphscope.errors.NoSuchStep, match="nearest: 2"):
        again.gradient_state(9)


def scaled_loop(unscale):
    def loop(model, optimizer, x):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for batch in x:
            optimizer.zero_grad()
            scaler.scale(model(batch).pow(2).mean()).backward()
            if unscale:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()

    return loop


@pytest.mark.parametrize("unscale", [True, False])
def test_a_scaler_unscales_before_an_optimizer_that_cannot(unscale, tmp_path):
    run, norms, model = both_ways(scaled_loop(unscale), tmp_path, lambda p: torch.optim.SGD(p, lr=0.1))
    agree(run, norms, model)
    assert run.gradient_state() == "final"


@pytest.mark.parametrize("unscale", [True, False])
def test_a_fused_optimizer_gets_them_scaled_unless_they_were_unscaled(unscale, tmp_path):
    run, norms, model = both_ways(scaled_loop(unscale), tmp_path, lambda p: torch.optim.Adam(p, lr=0.01, fused=True))
    agree(run, norms, model)
    assert run.gradient_state() == ("final" if unscale else "scaled")
    torch.manual_seed(0)
    plain, x = models.Mlp(), torch.randn(4, 5, 6)
    plain(x[0]).pow(2).mean().backward()
    factor = 1 if unscale else 1024
    for name, got in recorded(run, plain).items():
        np.testing.assert_allclose(got, factor * plain.get_parameter(name).grad.norm().item(), rtol=1e-4)


def test_a_step_with_a_closure_makes_its_gradients_inside(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        return loss

    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(3):
            optimizer.step(closure)
    assert session.run.gradient_state() is None


def test_two_optimizers_that_do_not_agree_say_nothing(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    head = torch.optim.SGD(model.head.parameters(), lr=0.1)
    hidden = torch.optim.Adam(model.hidden.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu")
    with watch(model, hidden, every=1, run_dir=tmp_path / "run") as session:
        scaler.scale(model(x).pow(2).mean()).backward()
        scaler.step(head)
        scaler.step(hidden)
    assert session.run.gradient_state(0) is None


def by_hand(model, x, steps=3, rate=0.1):
    norms = []
    for _ in range(steps):
        for p in model.parameters():
            p.grad = None
        model(x).pow(2).mean().backward()
        norms.append({n: p.grad.norm().item() for n, p in named(model)})
        for p in model.parameters():
            p.data -= rate * p.grad
    return norms


def test_without_an_optimizer_they_are_read_when_backward_is_done(tmp_path):
    torch.manual_seed(0)
    model, x = models.Mlp(), torch.randn(5, 6)
    twin = copy.deepcopy(model)
    norms = by_hand(twin, x)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        by_hand(model, x)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    agree(session.run, norms, model)
    assert [session.run.gradient_state(step) for step in range(3)] == ["local"] * 3
    assert np.isfinite(session.run.series("hidden.weight", "cosine", "parameter_gradient")[1]).tolist() == [0, 1, 1]


def test_of_two_backwards_of_a_step_the_last_one_leaves_the_gradients(tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        out = model(x)
        out.pow(2).mean().backward(retain_graph=True)
        out.abs().mean().backward()
        want = {n: p.grad.norm().item() for n, p in named(model)}
    assert recorded(session.run, model) == pytest.approx(want, rel=1e-5)


def test_an_optimizer_that_nobody_named_has_the_last_word_from_its_first_step_on(tmp_path):
    def loop(model, optimizer, x):
        for _ in range(2):
            optimizer.zero_grad()
            for batch in x:
                model(batch).pow(2).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()

    torch.manual_seed(0)
    model, x = models.Mlp(), torch.randn(3, 5, 6)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    norms = seen_by(optimizer, model)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        loop(model, optimizer, x)
    run = session.run
    assert [run.gradient_state(step) for step in run.captured_steps] == ["final"] * 2
    for step in range(2):
        assert run.summary("head.weight", "parameter_gradient", step).l2 == pytest.approx(norms[step]["head.weight"])
    assert run.addresses("parameter_gradient") == ["head.weight", "head.bias"], "no other was seen by an optimizer"


@pytest.fixture
def alone(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("inner", [False, True], ids=["the wrapper is watched", "the model in it is"])
def test_hooks_of_ddp_reduce(inner, alone, tmp_path):
    model, x = models.Mlp(), torch.randn(5, 6)
    wrapped = DistributedDataParallel(model)
    with watch(model if inner else wrapped, every=1, run_dir=tmp_path / "run") as session:
        by_hand(wrapped, x, steps=2)
        with wrapped.no_sync():
            by_hand(wrapped, x, steps=1)
    assert [session.run.gradient_state(step) for step in range(3)] == ["reduced", "reduced", "local"]


def test_a_part_of_the_model_that_reduces_for_itself_is_not_known(alone, tmp_path):
    model, x = nn.Sequential(DistributedDataParallel(nn.Linear(6, 4)), nn.Linear(4, 3)), torch.randn(5, 6)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        by_hand(model, x, steps=2)
    assert session.run.gradient_state() is None
    assert session.run.series("1.weight", "l2", "parameter_gradient")[1].all()


RANKS = """
import json, sys, torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import graphscope
dist.init_process_group("gloo")
rank, where, with_optimizer = dist.get_rank(), sys.argv[1], sys.argv[2] == "optimizer"
torch.manual_seed(0)
model = DistributedDataParallel(nn.Linear(6, 3))
torch.manual_seed(rank)
x = torch.randn(5, 6)
local = torch.autograd.grad(model.module(x).pow(2).mean(), model.module.weight)[0].norm().item()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if with_optimizer else None
with graphscope.watch(model, optimizer, every=1, run_dir=f"{where}/{rank}") as session:
    model(x).pow(2).mean().backward()
    want = model.module.weight.grad.norm().item()
    if optimizer:
        optimizer.step()
got = session.run.summary("module.weight", "parameter_gradient", 0).l2
print(json.dumps([session.run.gradient_state(0), got, want, local]))
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "state"), [("optimizer", "final"), ("by hand", "reduced")])
def test_two_processes_record_what_was_reduced(how, state, tmp_path):
    told = [json.loads(out.splitlines()[-1]) for out, _ in ended(processes(RANKS, str(tmp_path), how, cwd=tmp_path))]
    assert [one[0] for one in told] == [state] * 2
    for _, got, want, local in told:
        assert got == pytest.approx(want, rel=1e-5)
        assert got != pytest.approx(local, rel=1e-3), "the mean over the two is not what one of them has"
    assert told[0][1] == pytest.approx(told[1][1], rel=1e-6)
