"""Settings and parameters -> a torch optimizer and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

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
