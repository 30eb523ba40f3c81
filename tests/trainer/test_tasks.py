"""Losses and counts per task, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graphscope.errors import TrainerError
from graphscope.trainer.settings import TrainerSettings
from graphscope.trainer.tasks import by_class, task_for

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.5]])
LABELS = torch.tensor([0, 2, 0])


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return SCORES


def loss(name: str, **more: float) -> float:
    task = task_for(TrainerSettings(loss=name, **more))
    outcome = task.outcome(Fixed(), torch.zeros(3), LABELS)
    assert outcome.correct is not None and outcome.correct.tolist() == [True, False, True]
    return outcome.loss.item()


def test_losses_equal_their_definition():
    scores, labels = SCORES.double().numpy(), LABELS.numpy()
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    one_hot = np.eye(3)[labels]
    sigmoid = 1 / (1 + np.exp(-scores))
    assert loss("auto") == loss("cross-entropy") == pytest.approx(-log_p[range(3), labels].mean())
    assert loss("cross-entropy", label_smoothing=0.3) == pytest.approx(-((0.7 * one_hot + 0.1) * log_p).sum(1).mean())
    assert loss("nll") == pytest.approx(-scores[range(3), labels].mean())
    assert loss("mse") == pytest.approx(((scores - one_hot) ** 2).mean())
    assert loss("bce") == pytest.approx(-(one_hot * np.log(sigmoid) + (1 - one_hot) * np.log(1 - sigmoid)).mean())


def test_smoothing_anything_else_than_cross_entropy_is_refused():
    with pytest.raises(TrainerError, match="label_smoothing"):
        task_for(TrainerSettings(loss="mse", label_smoothing=0.1))


def test_counts_per_class():
    seen, right = by_class(torch.tensor([0, 0, 2, 2, 2]), torch.tensor([True, False, True, True, False]), 4).tolist()
    assert (seen, right) == ([2, 0, 3, 0], [1, 0, 2, 0])


def test_a_regression_has_no_accuracy():
    task = task_for(TrainerSettings())
    task.loss_fn = nn.MSELoss()
    outcome = task.outcome(nn.Linear(4, 1), torch.randn(3, 4), torch.randn(3, 1))
    assert outcome.correct is None and outcome.loss.dim() == 0
