"""One batch -> a loss to minimise and what was right: what differs between kinds of networks, in one place.

The loop asks its task and is the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphscope.errors import TrainerError
from graphscope.trainer.settings import TrainerSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one forward gave."""

    loss: Tensor
    """Scalar, mean over the batch."""
    correct: Tensor | None
    """bool [N]: which inputs were classified rightly; None where nothing is classified."""


class Task(Protocol):
    """A kind of training."""

    loss_fn: nn.Module

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        """One forward of ``model`` on a batch, and its loss."""


class Classification:
    """One class per input: any loss between scores and labels, accuracy by the highest score."""

    def __init__(self, loss_fn: nn.Module) -> None:
        self.loss_fn = loss_fn

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        out = model(x)
        loss = self.loss_fn(out, y)
        # Only class labels against a row of scores can be right or wrong; a regression has no accuracy.
        labelled = y.dim() == 1 and not y.is_floating_point() and out.dim() == 2 and out.shape[1] > 1
        return Outcome(loss, out.detach().argmax(dim=1) == y if labelled else None)


class OneHotLoss(nn.Module):
    """A loss between numbers, taken between scores and labels as one-hot rows. Shapes: [N, K], [N] -> scalar."""

    def __init__(self, loss_fn: nn.Module) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss_fn(scores, F.one_hot(labels, scores.shape[1]).to(scores.dtype))
        return loss


def task_for(settings: TrainerSettings) -> Task:
    """The task that the settings' network and loss ask for.

    Raises: TrainerError where the loss makes no sense for it.
    """
    if settings.label_smoothing and settings.loss not in ("auto", "cross-entropy"):
        raise TrainerError(
            f"Trainer(label_smoothing={settings.label_smoothing}, loss={settings.loss!r}): only cross-entropy smooths "
            "labels. Set label_smoothing=0 or loss='cross-entropy'."
        )
    match settings.loss:
        case "nll":
            return Classification(nn.NLLLoss())
        case "bce":
            return Classification(OneHotLoss(nn.BCEWithLogitsLoss()))
        case "mse":
            return Classification(OneHotLoss(nn.MSELoss()))
    return Classification(nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing))


def by_class(labels: Tensor, correct: Tensor, n_classes: int) -> Tensor:
    """How many of each class there were and how many of those were right. Shapes: [N], [N] -> int64 [2, n_classes]."""
    seen, right = (torch.bincount(part, minlength=n_classes) for part in (labels, labels[correct]))
    return torch.stack([seen, right])
