"""The bundled digits: all of them, once, split by class."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from graphscope.trainer.data.digits import digits, fifth_of_each_class


def test_all_scans_are_there_split_four_to_one_in_every_class():
    data = digits()
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert data.shape == (1, 28, 28)
    for label in range(10):
        test, train = (data.test_labels == label).sum().item(), (data.train_labels == label).sum().item()
        assert test == (test + train) // 5


def test_a_scan_keeps_its_ink():
    scans, labels = load_digits(return_X_y=True)
    data = digits()
    test = fifth_of_each_class(torch.from_numpy(labels.astype(np.int64)))
    want = torch.from_numpy(scans)[test].mean(dim=1) * 255 / 16
    # Bilinear enlargement keeps the mean but for the border.
    got = data.test_images.double().mean(dim=(1, 2, 3))
    assert (got - want).abs().max() < 6
    assert np.corrcoef(got, want)[0, 1] > 0.98
    assert torch.equal(data.test_labels, torch.from_numpy(labels.astype(np.int64))[test])


def test_the_fifth_of_each_class():
    labels = torch.tensor([1, 0] * 11)
    assert fifth_of_each_class(labels).nonzero().flatten().tolist() == [8, 9, 18, 19]
