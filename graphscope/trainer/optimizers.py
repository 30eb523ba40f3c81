"""Settings and parameters -> a torch optimizer and its learning-rate schedule, both of which can be changed midway."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from graphscope.errors import TrainerError, UnknownName
from graphscope.trainer.settings import TrainerSettings


def optimizer_for(parameters: Iterable[nn.Parameter], settings: TrainerSettings) -> torch.optim.Optimizer:
    """The optimizer that resolved settings name, over ``parameters``."""
    lr, decay, momentum = settings.lr, settings.weight_decay, settings.momentum
    assert lr is not None, "settings.resolved() fills it in"
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, weight_decay=decay)
        case "momentum":
            return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=lr, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, betas=(momentum, 0.999), weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, betas=(momentum, 0.999), weight_decay=decay)
    raise UnknownName(f"optimizer_for(optimizer={settings.optimizer!r}): wanted a resolved name of OPTIMIZERS.")


def schedule_factor(schedule: str, step: int, total: int | None) -> float:
    """What the learning rate is multiplied by at a step (0-based) of ``total``; None where the total is not known.

    Source: cosine: Loshchilov and Hutter, SGDR, 2017, without restarts; onecycle: Smith and Topin, Super-Convergence,
    2018, with the shape of torch.optim.lr_scheduler.OneCycleLR (0.04 up to 1 in 30 % of the steps, then down to 4e-6).
    """
    if schedule == "constant":
        return 1.0
    if total is None:
        raise TrainerError(f"schedule={schedule!r} needs the number of steps. Give steps=, or use schedule='constant'.")
    if schedule == "step":
        return 1.0 if step < 0.5 * total else 0.1 if step < 0.75 * total else 0.01
    if schedule == "cosine":
        return _cosine(1.0, 0.0, min(step / total, 1.0))
    if schedule == "onecycle":
        peak, last = 0.3 * total - 1, total - 1
        if step <= peak:
            return _cosine(0.04, 1.0, step / peak)
        return _cosine(1.0, 4e-6, min((step - peak) / (last - peak), 1.0) if last > peak else 1.0)
    raise UnknownName(f"schedule_factor({schedule!r}): no schedule is called that.")


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class LearningRate:
    """The learning rate of every parameter group, step by step; the schedule multiplies what was asked for."""

    def __init__(self, optimizers: list[torch.optim.Optimizer], schedule: str, total: int | None) -> None:
        schedule_factor(schedule, 0, total)  # raises now, not at the first step
        self._optimizers = optimizers
        self._schedule, self._total = schedule, total
        self._new: float | None = None
        self._applied = False
        self.base: list[float] = [group["lr"] for group in self._groups()]
        """Per parameter group, before the schedule."""

    def set(self, lr: float) -> None:
        """Another rate for all groups, taken at the next step. Raises: TrainerError if it is not finite, 0 or more."""
        if not (math.isfinite(lr) and lr >= 0):
            raise TrainerError(f"set_lr({lr!r}): wanted a finite number, 0 or more.")
        self._new = float(lr)

    def apply(self, step: int) -> float:
        """Gives every group its rate for a step (0-based); returns the first group's."""
        if self._schedule == "constant" and self._applied and self._new is None:
            return self.base[0]
        new, self._new, self._applied = self._new, None, True
        if new is not None:
            self.base = [new] * len(self.base)
        factor = schedule_factor(self._schedule, step, self._total)
        for group, lr in zip(self._groups(), self.base, strict=True):
            group["lr"] = lr * factor
        return self.base[0] * factor

    def _groups(self) -> list[dict[str, Any]]:
        # Asked for anew each time: load_state_dict() puts other dicts in their place.
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]


def has_momentum(optimizers: list[torch.optim.Optimizer]) -> bool:
    """Whether ``set_momentum`` has something to change in each of them."""
    return all(
        "betas" in group or isinstance(optimizer, torch.optim.SGD)
        for optimizer in optimizers
        for group in optimizer.param_groups
    )


def set_momentum(optimizers: list[torch.optim.Optimizer], momentum: float) -> None:
    """Another momentum, or first beta of Adam and AdamW.

    Raises: TrainerError if it is not from 0 to below 1, or an optimizer has none.
    """
    if not 0 <= momentum < 1:
        raise TrainerError(f"set_momentum({momentum!r}): wanted a number from 0 to below 1.")
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (float(momentum), *group["betas"][1:])
            elif isinstance(optimizer, torch.optim.SGD):
                group["momentum"] = float(momentum)
            else:
                raise TrainerError(f"set_momentum: {type(optimizer).__name__} as it is used here has no momentum.")
