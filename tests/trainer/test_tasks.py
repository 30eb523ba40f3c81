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


def test_an_autoencoder_is_measured_against_its_input():
    x = torch.rand(4, 1, 2, 2)
    model = nn.Sigmoid()
    out, want = torch.sigmoid(x).double().numpy(), x.double().numpy()
    mse = task_for(TrainerSettings(model="autoencoder")).outcome(model, x, LABELS)
    assert mse.loss.item() == pytest.approx(((out - want) ** 2).mean())
    assert mse.correct is None
    bce = task_for(TrainerSettings(model="autoencoder", loss="bce")).outcome(model, x, LABELS)
    assert bce.loss.item() == pytest.approx(-(want * np.log(out) + (1 - want) * np.log(1 - out)).mean())


def test_the_second_head_learns_the_brightness_of_the_quarters():
    x = torch.zeros(3, 2, 4, 4)
    x[0, :, :2, 2:] = 8.0  # upper right
    x[1, 0, 3, 0] = 4.0  # one pixel of four, in one channel of two: 0.5, lower left

    class Heads(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return SCORES, torch.tensor([[0.0, 8, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 2]])

    outcome = task_for(TrainerSettings(model="multitask")).outcome(Heads(), x, LABELS)
    assert outcome.parts["brightness"].item() == pytest.approx(4 / 12)
    assert outcome.parts["label"].item() == pytest.approx(loss("cross-entropy"))
    assert outcome.loss.item() == pytest.approx(loss("cross-entropy") + 4 / 12)
    assert outcome.correct is not None and outcome.correct.tolist() == [True, False, True]


def test_the_sides_of_a_gan_want_opposite_things():
    class Opinion(nn.Module):
        """Sure of every answer: real +20, generated -20."""

        def forward(self, noise: torch.Tensor, images: torch.Tensor | None = None):
            real = None if images is None else torch.full((len(images), 1), 20.0)
            return real, torch.full((len(noise), 1), -20.0)

    outcome = task_for(TrainerSettings(model="gan")).outcome(Opinion(), torch.zeros(3, 1, 4, 4), LABELS)
    assert outcome.parts["discriminator"].item() == pytest.approx(0, abs=1e-6)
    assert outcome.parts["generator"].item() == pytest.approx(20)


@pytest.mark.parametrize("wrong", [{"model": "gan", "loss": "mse"}, {"model": "autoencoder", "label_smoothing": 0.1}])
def test_a_loss_that_makes_no_sense_for_the_network_is_refused(wrong):
    with pytest.raises(TrainerError, match="takes auto|only cross-entropy"):
        task_for(TrainerSettings(**wrong))


def test_a_regression_has_no_accuracy():
    task = task_for(TrainerSettings())
    task.loss_fn = nn.MSELoss()
    outcome = task.outcome(nn.Linear(4, 1), torch.randn(3, 4), torch.randn(3, 1))
    assert outcome.correct is None and outcome.loss.dim() == 0
