"""What sets off a burst and what does not, and what a burst records."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import graphscope
from graphscope.capture import native
from graphscope.capture.bursts import Bursts
from graphscope.capture.plan import Schedule
from graphscope.capture.sentinel import BURST, QUIET, Sentinel, norm_of
from tests.capture.models import Mlp


def seen(losses) -> list[int]:
    sentinel = Sentinel()
    return [step for step, loss in enumerate(losses) if sentinel.loss(step, float(loss))]


def falling(steps=600, noise=0.3):
    return 2.3 * np.exp(-np.arange(steps) / 150) + noise * np.abs(np.random.default_rng(0).normal(size=steps)) + 0.1


def test_a_loss_that_falls_noisily_is_no_anomaly():
    assert seen(falling()) == []
    assert seen(falling(noise=0.02)) == []
    assert seen(np.full(300, 0.7)) == []
    assert seen(-falling()) == [], "a loss below zero"


def test_a_noisy_loss_with_heavy_tails_seldom_is():
    losses = 1 + np.abs(np.random.default_rng(0).standard_t(4, size=5_000))
    assert len(seen(losses)) <= 10


def test_a_spike_is_seen_at_once_and_not_again_for_a_while():
    losses = falling(noise=0.05)
    losses[300] = 30
    losses[310] = 30
    assert seen(losses) == [300]
    losses[300 + QUIET + 1] = 30
    assert seen(losses) == [300, 301 + QUIET]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_loss_that_is_not_finite_is_seen_whenever_it_comes(value):
    assert seen([value, value]) == [0]
    assert seen([1, 1, value, value, 1, value]) == [2]


def test_gradient_norms():
    sentinel = Sentinel()
    norms = [*np.abs(np.random.default_rng(0).normal(1, 0.3, size=40)), 40.0, 1.0, math.nan]
    found = [sentinel.gradient_norm(10 * i, float(n)) is not None for i, n in enumerate(norms)]
    assert found == [False] * 40 + [True, False, False], "NaN within the quiet time"
    fresh = Sentinel()
    assert fresh.gradient_norm(0, math.nan) == "the gradient norm of step 0 is NaN"
    for norm in (1e-9, 1.0, 1e9):
        assert Sentinel().gradient_norm(0, norm) is None, "nothing to compare with"


@pytest.mark.parametrize("by", ["native", "torch"])
def test_the_norm_of_all_gradients_is_that_of_torch(by, monkeypatch):
    if by == "torch":
        monkeypatch.setattr(native, "library", None)
    gradients = [torch.randn(30, 20), torch.randn(7).double(), torch.randn(5, 6).t(), torch.empty(0)]
    want = torch.cat([g.double().reshape(-1) for g in gradients]).norm().item()
    assert norm_of(gradients) == pytest.approx(want, rel=1e-6)
    assert math.isnan(norm_of([*gradients, torch.tensor([math.nan, math.inf])]))
    assert norm_of([*gradients, torch.tensor([-math.inf])]) == math.inf
    assert norm_of([torch.randn(3).to_sparse()]) is None


def test_gradient_norms_are_taken_at_one_step_in_eight_at_most_and_within_the_budget(monkeypatch):
    schedule = Schedule(1000, 0.01)
    for step in range(30):
        schedule.account(step, False, 0.1, 0.0)
    taken = []
    monkeypatch.setattr("graphscope.capture.bursts.norm_of", lambda gradients: 1.0)
    bursts = Bursts(schedule)
    for step in range(80):
        bursts.before_step(step, 1.0, lambda: [], None)
        scalars: dict[str, float] = {}
        assert bursts.end_step(step, scalars, []) == []
        taken += [step] if "grad_norm" in scalars else []
    assert len(taken) == 10
    bursts._norm_cost = 0.25 * 0.1  # a quarter of a step: the quarter of one percent pays for it once in a hundred
    rest = sum(bursts._wants_norm() for _ in range(400))
    assert 3 <= rest <= 5


def train(session, model, optimizer, steps, spoil=None, after=None):
    torch.manual_seed(1)
    for step in range(steps):
        optimizer.zero_grad()
        x = torch.randn(6, 6)
        if spoil == step:
            x[0, 0] = math.nan
        model(x).square().mean().backward()
        optimizer.step()
        if after:
            after(step)


def test_a_loss_that_becomes_nan_is_captured_from_its_own_gradients_on(tmp_path):
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with graphscope.watch(model, optimizer, every=100, run_dir=tmp_path / "run") as session:
        train(session, model, optimizer, 60, spoil=30)
    run = session.run
    assert run.captured_steps == [0, *range(30, 31 + BURST)]
    assert run.addresses("activation")
    gradient = run.summary("hidden.weight", "parameter_gradient", 30)
    assert gradient.nan == model.hidden.weight.numel()
    assert run.summary("hidden.weight", "parameter", 30).nan == 0
    assert run.summary("hidden.weight", "parameter", 31).nan > 0
    (burst,) = [note for note in run.notes if note.text.startswith("Burst")]
    assert burst.step == 30
    assert "the loss of step 30 is NaN" in burst.text or "the gradient of step 30 is NaN" in burst.text
    assert f"Steps 31 to {30 + BURST} are captured in full" in burst.text


def test_a_loss_of_the_users_own_counts_too(tmp_path):
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with graphscope.watch(model, optimizer, every=1000, run_dir=tmp_path / "run") as session:
        train(session, model, optimizer, 40, after=lambda step: session.log(loss=50.0 if step == 30 else 1.0))
    steps = session.run.captured_steps
    assert steps[0] == 0
    assert steps[1:] == list(range(steps[1], steps[1] + BURST)) or steps[1:] == [31, *range(32, 32 + BURST)]


def test_gradient_norms_between_captures_are_those_of_the_optimizer(tmp_path):
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    want = []

    def keep(step):
        want.append(torch.cat([p.grad.reshape(-1) for p in model.parameters()]).norm().item())

    with graphscope.watch(model, optimizer, every=1000, run_dir=tmp_path / "run") as session:
        train(session, model, optimizer, 40, after=keep)
    steps, norms = session.run.scalars("grad_norm")
    assert 2 <= len(steps) <= 6, "the first is the captured step"
    assert norms == pytest.approx([want[step] for step in steps], rel=1e-5)


def test_one_number_of_a_gradient_tells_where_the_loss_is_not_read():
    sentinel = Sentinel()
    fine = [torch.randn(3), torch.randn(2, 2).t(), torch.empty(0), torch.randn(3).to_sparse()]
    assert [sentinel.gradient(step, gradient) for step, gradient in enumerate(fine)] == [None] * 4
    assert sentinel.gradient(9, torch.tensor([math.inf, 0])) == "the gradient of step 9 is Inf"
    assert sentinel.gradient(10, torch.tensor([math.nan])) is None, "no burst upon a burst"


class Diverges(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return (self.weight * x).sum()


def test_watching_for_anomalies_changes_nothing(tmp_path):
    def weights(watched):
        model = Diverges()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e3)
        session = graphscope.watch(model, optimizer, every=50, run_dir=tmp_path / "run") if watched else None
        for _ in range(60):
            optimizer.zero_grad()
            model(model.weight.detach()).backward()
            optimizer.step()
        if session:
            session.close()
            assert any("Burst" in note.text for note in session.run.notes)
        return model.weight.detach()

    assert torch.equal(weights(False), weights(True)) or torch.equal(weights(False).isnan(), weights(True).isnan())


def scaled_training(session_of, steps, bad, tmp_path):
    """A loop with a GradScaler; batches in ``bad`` hold NaN -> the run, and the rules that spoke before the end."""
    torch.manual_seed(0)
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    with session_of(model, optimizer) as session:
        for step in range(steps):
            optimizer.zero_grad()
            x = torch.randn(6, 6)
            if step in bad:
                x[0, 0] = math.nan
            scaler.scale(model(x).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        found = [finding.rule for finding in session.findings]
    return session.run, found


@pytest.mark.parametrize("every", [1, 100, "auto"])
def test_nan_that_a_gradscaler_hides_from_the_optimizer_is_told_and_captured_while_it_goes_on(every, tmp_path):
    def session_of(model, optimizer):
        return graphscope.watch(model, optimizer, every=every, run_dir=tmp_path / "run")

    run, found = scaled_training(session_of, 200, range(150, 200), tmp_path)
    assert "nonfinite" in found, "before the session ends: the step itself never does"
    texts = [note.text for note in run.notes]
    assert any("updates in a row were skipped at step 150" in text for text in texts), texts
    assert any("the loss of step 150 is NaN" in text for text in texts), texts
    assert run.captured_steps[-1] == 150
    indexes = [p.pass_index for p in run.passes if p.step == 150]
    assert len(indexes) >= BURST
    assert indexes == list(range(len(indexes)))
    assert all(note.step == 150 for note in run.notes)


def test_one_batch_with_nan_under_a_gradscaler_is_told_where_its_loss_is_known(tmp_path):
    def session_of(model, optimizer):
        return graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / "run")

    run, found = scaled_training(session_of, 40, [30], tmp_path)
    (note,) = run.notes
    assert note.text.startswith("Burst: the loss of step 30 is NaN")
    assert run.captured_steps == list(range(39))
    stats = [record.pass_index for record in run.records_at(30) if type(record).__name__ == "StepStats"]
    assert stats == [0, 1]
    assert run.step_records[30].skipped == 1
    assert "nonfinite" in found, "its numbers were recorded before those of the next batch, of the same step"


def test_a_gradscaler_that_looks_for_its_scale_is_no_anomaly(tmp_path):
    torch.manual_seed(0)
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**125, growth_interval=4)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(40):
            optimizer.zero_grad()
            scaler.scale(model(torch.ones(6, 6)).square().mean() * 1e3).backward()
            scaler.step(optimizer)
            scaler.update()
    skipped = [record.skipped for record in session.run.step_records]
    assert skipped[0] >= 3, "at first"
    assert sum(skipped[1:]) >= 2, "and each time that the scale has grown too far"
    assert not any("skipped" in note.text for note in session.run.notes), session.run.notes


def test_skips_in_a_row_are_told_once_and_later_where_no_update_was_made_yet():
    sentinel = Sentinel()
    assert [bool(sentinel.skipped(5, count, False)) for count in range(6)] == [False] * 3 + [True] + [False] * 2
    assert sentinel.skipped(5 + QUIET + 1, 3, False)
    assert [bool(Sentinel().skipped(0, count, True)) for count in (3, 16, 17)] == [False, False, True]
