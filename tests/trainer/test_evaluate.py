"""Totals over batches of different sizes, against numpy over all of them at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from graphscope.trainer.evaluate import Totals, evaluated
from graphscope.trainer.tasks import Classification, Outcome


def test_figures_are_over_inputs_and_not_over_batches():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(17, 5, generator=generator), torch.randint(0, 4, (17,), generator=generator)
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5))
    totals = evaluated(model, Classification(nn.CrossEntropyLoss()), zip(x.split(6), y.split(6), strict=True), 6)
    scores = (x @ model[0].weight.T + model[0].bias).detach().double().numpy()
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    guess, labels = scores.argmax(axis=1), y.numpy()
    assert totals.loss == pytest.approx(-log_p[range(17), labels].mean(), rel=1e-5)
    assert totals.accuracy == pytest.approx((guess == labels).mean())
    want = [(guess[labels == k] == k).mean() if (labels == k).any() else None for k in range(6)]
    assert totals.recall == pytest.approx(tuple(want))
    assert totals.recall[4:] == (None, None)  # no such inputs: unknown, not zero
    assert model.training


def test_classes_that_appear_later_are_counted_too():
    totals = Totals(None)
    for labels, right in (([0, 1], [True, False]), ([3], [True])):
        totals.add(Outcome(torch.tensor(1.0), torch.tensor(right)), torch.tensor(labels), len(labels))
    assert totals.recall == (1.0, 0.0, None, 1.0)


def test_nothing_seen_is_unknown():
    totals = Totals(3)
    assert math.isnan(totals.loss) and totals.accuracy is None and totals.recall == ()


def test_the_mode_is_restored_also_when_the_network_raises():
    class Raises(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    model = Raises()
    with pytest.raises(RuntimeError):
        evaluated(model, Classification(nn.MSELoss()), [(torch.zeros(1), torch.zeros(1))], None)
    assert model.training
