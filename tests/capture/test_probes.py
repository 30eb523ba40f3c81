"""BatchNorm and Dropout probes against hand computation in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graphscope.session import watch


def layer_stats(model, x, tmp_path, fqn, steps=1):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(steps):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
    return session.run.layer(fqn, steps - 1)


@pytest.mark.parametrize("training", [True, False])
def test_batchnorm_batch_against_running(training, tmp_path):
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, momentum=0.3))
    model.train(training)
    x = torch.randn(4, 2, 5, 5) * 3 + 1
    with torch.no_grad():
        seen = model[0](x).double().numpy()
    stats = layer_stats(model, x, tmp_path, "1")
    np.testing.assert_allclose(stats.batch_mean, seen.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(stats.batch_var, seen.var(axis=(0, 2, 3)), rtol=1e-5)
    n = 4 * 5 * 5
    want_mean, want_var = np.zeros(3), np.ones(3)
    if training:  # torch: new = 0.7 * old + 0.3 * batch, with the unbiased variance
        want_mean = 0.3 * seen.mean(axis=(0, 2, 3))
        want_var = 0.7 + 0.3 * seen.var(axis=(0, 2, 3)) * n / (n - 1)
    np.testing.assert_allclose(stats.running_mean, want_mean, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(stats.running_var, want_var, rtol=1e-4)
    assert (stats.training, stats.momentum, stats.count) == (training, 0.3, n)
    assert stats.batches_tracked == int(training)
    np.testing.assert_array_equal(stats.weight, np.ones(3), err_msg="as it was in the forward, before the update")


def test_batchnorm_without_running_statistics_says_none(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False, track_running_stats=False))
    stats = layer_stats(model, torch.randn(6, 2), tmp_path, "1")
    assert stats.running_mean is None
    assert stats.weight is None
    assert stats.training


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_counts_what_was_dropped_of_what_was_there(inplace, tmp_path):
    model = nn.Sequential(nn.Linear(50, 400), nn.Identity(), nn.Dropout(0.3, inplace=inplace))
    outputs = []
    model[2].register_forward_hook(lambda m, a, out: outputs.append(out.detach().clone()))
    x = torch.randn(64, 50)
    with torch.no_grad():
        nonzero = int((model[1](model[0](x)) != 0).sum())
    stats = layer_stats(model, x, tmp_path, "2")
    kept = int((outputs[0] != 0).sum())
    assert stats.nonzero == nonzero
    assert stats.dropped == pytest.approx((nonzero - kept) / nonzero)
    assert abs(stats.dropped - 0.3) < 4 * np.sqrt(0.3 * 0.7 / nonzero)
    assert (stats.p, stats.training, stats.drops, stats.units) == (0.3, True, "values", 64 * 400)


def test_dropout_in_eval_mode_keeps_its_p_and_drops_nothing(tmp_path):
    model = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5))
    model[1].eval()
    stats = layer_stats(model, torch.randn(8, 5), tmp_path, "1")
    assert (stats.p, stats.dropped, stats.training) == (0.5, 0.0, False)


def test_dropout2d_drops_channels_of_images_and_values_of_rows(tmp_path):
    images = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Dropout2d(0.5))
    stats = layer_stats(images, torch.randn(4, 1, 6, 6), tmp_path / "a", "1")
    assert (stats.drops, stats.units) == ("channels", 32)
    rows = nn.Sequential(nn.Linear(5, 8), nn.Dropout2d(0.5))
    with pytest.warns(UserWarning, match="dropout2d"):
        stats = layer_stats(rows, torch.randn(4, 5), tmp_path / "b", "1")
    assert (stats.drops, stats.units) == ("values", 32)


def test_all_zero_inputs_have_no_share_rather_than_zero(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    stats = layer_stats(model, torch.randn(2, 3), tmp_path, "1")
    assert stats.dropped is None
    assert stats.nonzero == 0
