"""Optimizers and schedules, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphscope.errors import TrainerError, UnknownName
from graphscope.trainer.optimizers import optimizer_for, schedule_factor
from graphscope.trainer.settings import OPTIMIZERS, SCHEDULES, TrainerSettings

TOTAL = 100


def torch_lrs(make) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    schedule = make(optimizer)
    lrs = []
    for _ in range(TOTAL):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return lrs


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, TOTAL)),
        ("step", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [TOTAL // 2, TOTAL * 3 // 4], gamma=0.1)),
        ("onecycle", lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=TOTAL)),
        ("constant", lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    ],
)
def test_a_schedule_equals_torchs(name, make):
    ours = [schedule_factor(name, step, TOTAL) for step in range(TOTAL)]
    assert ours == pytest.approx(torch_lrs(make), abs=1e-9)


@pytest.mark.parametrize("name", [name for name, _ in SCHEDULES if name != "auto"])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
def test_a_schedule_stays_within_0_and_1_also_for_very_short_trainings(name, total):
    assert all(0 <= schedule_factor(name, step, total) <= 1 for step in range(total + 2))


def test_a_schedule_over_an_unknown_number_of_steps_is_refused():
    with pytest.raises(TrainerError, match="steps="):
        schedule_factor("cosine", 0, None)
    assert schedule_factor("constant", 0, None) == 1


def test_every_optimizer_of_the_menu_is_built_with_its_numbers():
    for name, _ in OPTIMIZERS:
        settings = TrainerSettings(optimizer=name, lr=0.25, momentum=0.5, weight_decay=0.125).resolved()
        (group,) = optimizer_for([nn.Parameter(torch.zeros(1))], settings).param_groups
        assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
        assert group.get("momentum", 0) == (0.5 if settings.optimizer == "momentum" else 0)
        assert group.get("betas", (0.5,))[0] == 0.5


def test_an_unresolved_name_is_refused():
    with pytest.raises(UnknownName):
        optimizer_for([nn.Parameter(torch.zeros(1))], TrainerSettings(optimizer="auto", lr=0.1))
