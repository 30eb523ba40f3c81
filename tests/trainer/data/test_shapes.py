"""The generated shapes: deterministic, balanced, and not to be had from colour alone."""

from __future__ import annotations

import torch

from graphscope.trainer.data.shapes import CLASSES, shapes


def test_the_same_seed_draws_the_same_pictures():
    a, b, c = shapes(1, 60, 20), shapes(1, 60, 20), shapes(2, 60, 20)
    assert torch.equal(a.train_images, b.train_images) and torch.equal(a.test_labels, b.test_labels)
    assert not torch.equal(a.train_images, c.train_images)


def test_classes_are_equally_frequent():
    data = shapes(0, 800, 200)
    counts = torch.bincount(torch.cat([data.train_labels, data.test_labels]), minlength=len(CLASSES))
    assert counts.tolist() == [100] * 10
    assert data.train_images.shape == (800, 3, 32, 32) and data.train_images.dtype == torch.uint8


def test_a_linear_model_does_not_solve_it():
    data = shapes(0, 1500, 300)
    x = (data.train_images.flatten(1).double() / 255) - 0.5
    one_hot = torch.eye(10, dtype=torch.float64)[data.train_labels]
    weights = torch.linalg.solve(x.T @ x + 100 * torch.eye(x.shape[1], dtype=torch.float64), x.T @ one_hot)
    guess = ((data.test_images.flatten(1).double() / 255 - 0.5) @ weights).argmax(dim=1)
    assert (guess == data.test_labels).double().mean() < 0.35
