"""A training whose steps are too large: finite or not, the step size is named and not the data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphscope.rules import evaluate
from graphscope.run import Run
from graphscope.schema import Finding
from tests.rules.made_runs import RunMaker
from tests.rules.trainings import classes, mlp, train


def regress(folder: Path, rate: float, **options: object) -> Run:
    """Least squares on inputs of size 1 with plain gradient descent."""
    torch.manual_seed(0)
    x, model = torch.randn(256, 20), mlp(20, 32, 10)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    return train(folder, model, optimizer, x, x[:, :10], loss=F.mse_loss, **{"steps": 12, **options})  # type: ignore[arg-type]


def of_rule(run: Run, rule: str) -> list[Finding]:
    return [finding for finding in run.findings if finding.rule == rule]


def test_an_infinite_loss_after_values_grew_is_blamed_on_the_steps(tmp_path: Path) -> None:
    run = regress(tmp_path, 100.0, steps=4)
    (finding,) = of_rule(run, "nonfinite")
    _, loss = run.scalars("loss")
    assert np.isinf(loss[3]) and np.isfinite(loss[:3]).all(), "the material: finite, growing, then Inf"
    assert finding.step == 3 and finding.title == "Training diverged: loss is Inf"
    outputs = run.series("", "absmax")[1]
    assert f"from {outputs[0]:.3g} at step 0 to {outputs[3]:.3g} at step 3" in finding.message
    assert "learning rate (it is 100)" in finding.advice and "clip" in finding.advice and "warm-up" in finding.advice
    assert "empty" not in finding.advice and "Check the targets" not in finding.advice
    assert "clip_grad_norm_" in finding.fix


def test_nan_after_values_grew_names_its_place_and_the_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(20, 32, 10)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 1e6), *classes(), steps=8)
    (finding,) = of_rule(run, "nonfinite")
    assert finding.fqn == "2" and finding.title == "Training diverged: NaN begins here"
    assert "Before it, values grew: the model's outputs" in finding.message
    assert "learning rate (it is 1e+06)" in finding.advice


def test_growth_of_the_loss_is_told_where_nothing_else_was_measured() -> None:
    make = RunMaker()
    for step, loss in enumerate((1.02, 4.65e3, 4.83e16)):
        make.step(step, loss)
    make.nan_loss(3)
    (finding,) = evaluate(make.run)
    assert finding.rule == "nonfinite" and "learning rate" in finding.advice
    assert "values grew: the loss from 1.02 at step 0 to 4.83e+16 at step 2" in finding.message


def test_bad_targets_of_a_model_whose_values_did_not_grow(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(256, 20), torch.randn(256, 10)
    y[:] = math.inf
    model = mlp(20, 32, 10)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 0.01), x, y, loss=F.mse_loss, steps=1)
    (finding,) = of_rule(run, "nonfinite")
    assert finding.title == "Loss is Inf" and "Check the targets" in finding.advice
    assert f"ordinary size (up to {run.series('', 'absmax')[1][0]:.3g})" in finding.message


def test_outputs_that_are_large_from_the_start_are_not_called_ordinary(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, model = torch.full((256, 20), 1e20), mlp(20, 32, 10)
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 0.0), x, x[:, :10], loss=F.mse_loss, steps=1)
    (finding,) = of_rule(run, "nonfinite")
    assert "limit 10000" in finding.message and "Scale inputs and targets" in finding.advice


def test_a_loss_that_stays_finite_far_above_its_start(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(20, 32, 10)
    run = train(tmp_path, model, torch.optim.Adam(model.parameters(), 1e6), *classes(), steps=30)
    (finding,) = of_rule(run, "diverging")
    _, loss = run.scalars("loss")
    assert np.isfinite(loss).all() and loss[1:].min() > 1e9 > 100 > loss[0]
    assert (finding.severity, finding.step, finding.limit) == ("error", 1, 10.0) and finding.last_step in range(27, 30)
    assert finding.value is not None and finding.value > 1e9
    assert "outputs" in finding.message and "parameters" in finding.message and "it is 1e+06" in finding.advice


def losses(*values: float, grows: float = 1.0) -> list[Finding]:
    """A run of these losses whose outputs and parameters are multiplied by ``grows`` at every step."""
    make = RunMaker()
    for step, loss in enumerate(values):
        size = {"absmax": grows**step, "l2": grows**step}
        make.stats(step, ("", "activation", size), ("fc.weight", "parameter", size))
        make.step(step, loss, captured=True)
    return evaluate(make.run)


def test_all_three_must_have_grown() -> None:
    high = [1.0] + [20.0] * 12
    (finding,) = losses(*high, grows=1.5)
    assert (finding.rule, finding.step, finding.value) == ("diverging", 1, 20.0)
    assert losses(*high) == [], "a loss alone"
    assert losses(*high[:9], grows=1.5) == [], "too few of them"
    assert losses(1.0, *([20.0] * 6), 9.0, *([20.0] * 6), grows=1.5) == [], "one in between is back"
    assert losses(*[1.0 - 0.01 * i for i in range(20)], grows=1.5) == [], "the loss falls while values grow"
    assert losses(-1.0, *[20.0] * 12, grows=1.5) == [], "a loss that began below 0 has no such limit"


@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0])
def test_rates_that_work_are_silent(rate: float, tmp_path: Path) -> None:
    run = regress(tmp_path, rate, steps=40)
    assert run.scalars("loss")[1][-1] < run.scalars("loss")[1][0]
    assert run.findings == []
