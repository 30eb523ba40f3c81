"""The recorded loss under a GradScaler is the loss that the loop computed."""

from __future__ import annotations

import pytest
import torch

import graphscope
from tests.capture.models import Mlp

X = torch.ones(4, 6)


def recorded(tmp_path, scaled, steps=12, every=1):
    """A loop whose backward begins at ``scaled(loss)`` -> the recorded losses, those of the loop, and the notes."""
    torch.manual_seed(0)
    model = Mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    want = []
    with graphscope.watch(model, optimizer, every=every, run_dir=tmp_path / "run") as session:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(X).square().mean()
            want.append(loss.item())
            scaled(loss, optimizer)
    return list(session.run.scalars("loss")[1]), want, [note.text for note in session.run.notes]


@pytest.mark.parametrize("passes", [1, 3])
def test_a_loss_that_a_gradscaler_scales_is_recorded_to_the_bit(passes, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)

    def scaled(loss, optimizer):
        scaler.scale(loss / passes).backward()
        scaler.step(optimizer)
        scaler.update()

    got, want, _ = recorded(tmp_path, scaled)
    assert scaler.get_scale() == 2.0**16, "it grew six times"
    kept = [float(torch.tensor(loss) / passes) for loss in want]  # the division is the loop's own
    assert got == kept


def test_a_growing_scale_is_no_spike_of_the_loss(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=30, growth_factor=64.0)

    def scaled(loss, optimizer):
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    _, _, notes = recorded(tmp_path, scaled, steps=70)
    assert notes == []


@pytest.mark.parametrize("weight", [8.0, torch.tensor(8.0), torch.tensor(8.0, dtype=torch.float64)])
def test_a_weight_of_the_users_own_stays_in_the_loss_beside_a_scaler(weight, tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))  # used and alive, but not in this loop

    def scaled(loss, optimizer):
        (loss * weight).backward()
        optimizer.step()

    got, want, _ = recorded(tmp_path, scaled, steps=4)
    assert got == [8.0 * loss for loss in want]
    assert scaler.get_scale() == 8.0


def test_watching_a_scaled_loss_changes_no_weight(tmp_path):
    def weights(watched):
        torch.manual_seed(0)
        model = Mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        session = graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / "run") if watched else None
        for _ in range(5):
            optimizer.zero_grad()
            scaler.scale(model(X).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        if session:
            session.close()
        return [p.detach().clone() for p in model.parameters()]

    assert all(torch.equal(plain, watched) for plain, watched in zip(weights(False), weights(True), strict=True))
