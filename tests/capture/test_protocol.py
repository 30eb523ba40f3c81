"""The order of calls of loops that people write, against the order read off the loop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphscope.schema import CALLS
from graphscope.schema.calls import unfolded
from graphscope.session import watch
from tests.capture.models import Mlp
from tests.capture.zoo.test_loops import gan


def watched(loop, tmp_path, model=None, optimizer=None, given=True, every=2):
    """Runs a loop of (model, optimizer) -> the step records. Every second step is captured: they must not differ."""
    torch.manual_seed(0)
    model = model or Mlp()
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer if given else None, every=every, budget=1.0, run_dir=tmp_path / "run") as session:
        loop(model, optimizer)
    records = list(session.run.step_records)
    assert {word for record in records for word in unfolded(record.calls)} <= set(CALLS)
    return records


X = torch.ones(2, 6)


def test_a_plain_loop(tmp_path):
    def loop(model, optimizer):
        for _ in range(4):
            optimizer.zero_grad()
            model(X).mean().backward()
            optimizer.step()

    records = watched(loop, tmp_path)
    first = "forward backward optimizer_step"  # nothing was there to be cleared
    assert [r.calls for r in records] == [first, *["zero_grad " + first] * 3]
    assert [(r.backwards, r.skipped) for r in records] == [(1, 0)] * 4


@pytest.mark.parametrize("to_none", [True, False])
def test_where_gradients_are_cleared(to_none, tmp_path):
    def loop(model, optimizer):
        for _ in range(3):
            loss = model(X).mean()
            optimizer.zero_grad(set_to_none=to_none)
            loss.backward()
            optimizer.step()

    assert watched(loop, tmp_path)[2].calls == "forward zero_grad backward optimizer_step"


def test_gradients_that_are_never_cleared(tmp_path):
    def loop(model, optimizer):
        for _ in range(3):
            model(X).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()

    assert {r.calls for r in watched(loop, tmp_path)} == {"forward backward optimizer_step"}


def test_accumulation_with_an_evaluation_in_between(tmp_path):
    def loop(model, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            for _ in range(4):
                (model(X).mean() / 4).backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                for _ in range(50):
                    model(X)
            model.train()

    records = watched(loop, tmp_path)
    assert records[0].calls == "(forward backward)*4 optimizer_step"
    assert records[1].calls == "forward_eval_no_grad*50 zero_grad (forward backward)*4 optimizer_step"
    assert [r.backwards for r in records] == [4, 4]


def test_two_losses_two_forwards_and_torch_autograd_grad(tmp_path):
    def loop(model, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            (model(X).mean() + model(X * 2).mean()).backward()  # one backward through two forwards
            out = model(X)
            torch.autograd.grad(out.sum(), list(model.parameters()))  # leaves no gradients
            optimizer.step()

    records = watched(loop, tmp_path)
    assert records[1].calls == "zero_grad forward*2 backward forward backward optimizer_step"
    assert [(r.backwards, r.skipped) for r in records] == [(2, 0)] * 2


def test_steps_that_a_gradscaler_skips(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

    def loop(model, optimizer):
        for step in range(6):
            optimizer.zero_grad()
            x = X * 1e38 if step in (0, 2, 3) else X
            scaler.scale((model(x) * 1e5).mean()).backward()
            scaler.step(optimizer)
            scaler.update()

    records = watched(loop, tmp_path)
    assert len(records) == 3, "what was skipped is no step"
    assert [r.skipped for r in records] == [1, 2, 0]
    assert records[1].calls == "(zero_grad forward backward skipped_step)*2 zero_grad forward backward optimizer_step"


def test_a_fused_optimizer_that_skips_itself_is_told_by_the_scaler(tmp_path):
    model = Mlp()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)

    def loop(model, optimizer):
        for step in range(3):
            optimizer.zero_grad()
            scaler.scale(model(X * (float("inf") if step == 1 else 1)).mean()).backward()
            scaler.step(optimizer)
            scaler.update()

    records = watched(loop, tmp_path, model, optimizer)
    assert [list(unfolded(r.calls))[-1] for r in records] == ["optimizer_step", "skipped_step", "optimizer_step"]
    assert [r.skipped for r in records] == [0, 1, 0]


SCHEDULERS = {
    "each step": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "no change of rate": lambda o: torch.optim.lr_scheduler.StepLR(o, 1_000),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_is_seen_after_the_optimizer_or_before_it(name, tmp_path):
    for before in (False, True):

        def loop(model, optimizer, before=before):
            scheduler = SCHEDULERS[name](optimizer)
            for _ in range(6):
                optimizer.zero_grad()
                model(X).mean().backward()
                scheduler.step(*[1.0] * (name == "plateau")) if before else None
                optimizer.step()
                scheduler.step(*[1.0] * (name == "plateau")) if not before else None

        last = watched(loop, tmp_path / str(before))[-1].calls
        if before:
            assert last == "zero_grad forward backward scheduler_step optimizer_step"
        else:
            assert last == "scheduler_step zero_grad forward backward optimizer_step"


def test_a_rate_that_is_set_by_hand(tmp_path):
    def loop(model, optimizer):
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.zero_grad()
            model(X).mean().backward()
            optimizer.step()

    assert watched(loop, tmp_path)[2].calls == "lr_change zero_grad forward backward optimizer_step"


def test_a_gan_shows_the_steps_of_the_other_and_nothing_skipped(tmp_path):
    _, (g, d) = gan(tmp_path)
    assert d.run.step_records[2].calls == (
        "forward backward other_optimizer_step zero_grad forward*2 backward optimizer_step"
    )
    assert g.run.step_records[2].calls == "forward other_optimizer_step zero_grad forward backward optimizer_step"
    assert {r.skipped for s in (g, d) for r in s.run.step_records} == {0}


def test_a_loop_that_updates_by_hand_skips_nothing_and_modes_are_told(tmp_path):
    def loop(model, _):
        model.eval()
        for _ in range(3):
            for p in model.parameters():
                p.grad = None
            model(X).mean().backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.01 * p.grad

    class NoOptimizer:
        pass

    records = watched(loop, tmp_path, optimizer=NoOptimizer(), given=False)
    assert [r.calls for r in records] == ["forward_eval backward", *["zero_grad forward_eval backward"] * 2]
    assert [r.skipped for r in records] == [0, 0, 0]


def test_a_forward_that_raises(tmp_path):
    def loop(model, optimizer):
        model(X).mean().backward()
        with pytest.raises(RuntimeError):
            model(torch.ones(2, 5))
        optimizer.step()

    assert watched(loop, tmp_path)[0].calls == "forward backward forward_raised optimizer_step"


def test_where_the_budget_leaves_nothing_calls_are_unknown_and_not_empty_guesses(tmp_path):
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, every=1_000, run_dir=tmp_path / "run") as session:
        session._watcher.schedule.affords = lambda seconds: False
        for _ in range(3):
            optimizer.zero_grad()
            model(X).mean().backward()
            optimizer.step()
    records = session.run.step_records
    assert [(r.calls, r.backwards, r.skipped) for r in records[1:]] == [("", None, None)] * 2
    assert {r.topology for r in records} == {0}, "the root's own fingerprint is always taken"


def test_closures_of_lbfgs_are_no_skipped_updates(tmp_path):
    model = Mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    calls = 0

    def loop(model, optimizer):
        def closure():
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            loss = model(X).square().mean()
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)

    records = watched(loop, tmp_path, model, optimizer)
    assert [r.skipped for r in records] == [0, 0]
    words = [word for r in records for word in unfolded(r.calls)]
    assert words.count("forward") == words.count("backward") == calls > 2
    assert "skipped_step" not in words
