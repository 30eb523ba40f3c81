"""Updates and directions of gradients against numpy, by the C kernel and by torch operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graphscope.capture import native
from graphscope.capture.changes import KEPT, Directions, Updates
from graphscope.capture.summary import FIELDS, collect, cosines_of, measure_all
from graphscope.schema import COSINE_ESTIMATE, ESTIMATE


@pytest.fixture(autouse=True, params=["native", "torch"])
def path(request, monkeypatch) -> str:
    """Each test once with the kernel and once as where none was built."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", None)
    elif native.library is None:
        pytest.skip(native.missing)
    return request.param


def updated(parameters, change):
    updates = Updates()
    updates.before(parameters)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(change(parameter))
    rows = updates.after(parameters)
    table, _, _ = collect(list(rows.values()))
    return {name: (row, dict(zip(FIELDS, table[i], strict=True))) for i, (name, row) in enumerate(rows.items())}


PARAMETERS = {
    "weight": lambda: torch.randn(40, 50),
    "bias": lambda: torch.randn(7),
    "half": lambda: torch.randn(30, 9).bfloat16(),
    "double": lambda: torch.randn(31, dtype=torch.float64),
    "channels last": lambda: torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
}


def test_updates_are_those_of_numpy():
    parameters = {name: nn.Parameter(make()) for name, make in PARAMETERS.items()}
    before = {name: parameter.detach().double().numpy().copy() for name, parameter in parameters.items()}
    for name, (row, got) in updated(parameters, lambda p: 0.1 * torch.randn_like(p)).items():
        change = parameters[name].detach().double().numpy() - before[name]
        assert not row.flags & ESTIMATE
        np.testing.assert_allclose(got["l2"], np.linalg.norm(change), rtol=1e-6)
        np.testing.assert_allclose(got["mean"], change.mean(), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose([got["min"], got["max"]], [change.min(), change.max()], rtol=1e-6)


def test_the_update_of_a_large_parameter_is_an_estimate_and_near():
    parameter = nn.Parameter(torch.randn(1000, 300))
    before = parameter.detach().clone()
    (row, got) = updated({"p": parameter}, lambda p: 0.01 * torch.randn_like(p))["p"]
    assert row.flags & ESTIMATE
    np.testing.assert_allclose(got["l2"], (parameter.detach() - before).norm().item(), rtol=0.02)


def test_a_parameter_that_was_replaced_or_cannot_be_read_has_no_update():
    updates = Updates()
    updates.before({"a": nn.Parameter(torch.randn(5)), "b": nn.Parameter(torch.empty(3, device="meta"))})
    assert updates.after({"a": nn.Parameter(torch.randn(5).double())}) == {}


def cosines(directions, gradients):
    rows = dict(zip(gradients, measure_all(gradients.values()), strict=True))
    directions.cosines(gradients, rows)
    return rows, dict(zip(rows, cosines_of(list(rows.values())).tolist(), strict=True))


def test_the_cosine_of_small_gradients_is_exact():
    directions = Directions()
    first = {name: make() for name, make in PARAMETERS.items()}
    _, unknown = cosines(directions, first)
    assert np.isnan(list(unknown.values())).all()
    second = {name: gradient + 0.5 * torch.randn_like(gradient) for name, gradient in first.items()}
    rows, got = cosines(directions, second)
    for name in PARAMETERS:
        a, b = first[name].double().numpy().ravel(), second[name].double().numpy().ravel()
        np.testing.assert_allclose(got[name], a @ b / np.linalg.norm(a) / np.linalg.norm(b), rtol=1e-5)
        assert not rows[name].flags & COSINE_ESTIMATE
    _, opposite = cosines(directions, {name: -gradient for name, gradient in second.items()})
    np.testing.assert_allclose(list(opposite.values()), -1, rtol=1e-6)


def test_the_cosine_of_a_large_gradient_is_an_estimate_and_near():
    directions = Directions()
    first = torch.randn(500, 400)
    second = first + torch.randn(500, 400)
    cosines(directions, {"p": first})
    rows, got = cosines(directions, {"p": second})
    assert rows["p"].flags & COSINE_ESTIMATE
    np.testing.assert_allclose(got["p"], torch.cosine_similarity(first.ravel(), second.ravel(), 0).item(), atol=0.05)
    ((kept, _),) = directions._kept.values()
    assert kept.numel() == KEPT


@pytest.mark.parametrize("second", [torch.zeros(6), torch.full((6,), torch.nan), torch.full((6,), torch.inf)])
def test_without_a_direction_there_is_no_cosine(second):
    directions = Directions()
    for gradient in (torch.randn(6), second, torch.randn(6)):
        _, got = cosines(directions, {"p": gradient})
        assert np.isnan(got["p"])


def test_a_gradient_of_another_size_or_layout_begins_anew():
    directions = Directions()
    x = torch.randn(3, 4, 5, 5)
    for gradient in (torch.randn(9), x, x.to(memory_format=torch.channels_last)):
        _, got = cosines(directions, {"p": gradient})
        assert np.isnan(got["p"])


def test_with_very_many_parameters_less_is_kept_of_each(monkeypatch):
    monkeypatch.setattr("graphscope.capture.changes.MOST_KEPT", 1024)
    directions = Directions()
    cosines(directions, {str(i): torch.randn(500) for i in range(8)})
    assert sum(kept.numel() for kept, _ in directions._kept.values()) == 8 * 128
