"""Conditions: what the grammar takes and refuses, and values against numbers worked out from autograd's gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import graphscope
from graphscope.conditions import Condition
from graphscope.errors import GraphscopeError, TrainerError, UnknownAddress, UnknownName


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """One step of a small network, and its gradients before the step."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("fc1", nn.Linear(4, 8))
    model.add_module("block", nn.Sequential(nn.ReLU(), nn.Linear(8, 3)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path_factory.mktemp("run")) as session:
        model(torch.randn(5, 4)).square().sum().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimizer.step()
        run = session.run
    return run, model, gradients


def held(text: str, run, **scalars: float | None):
    return Condition(text).held(run, 0, scalars)


@pytest.mark.parametrize(
    ("text", "loss", "holds"),
    [
        ("loss > 1", 2.0, True), ("loss > 1", 1.0, False), ("loss >= 1", 1.0, True), ("loss<=-1e-3", -0.5, True),
        ("loss == 2", 2.0, True), ("loss != 2", 2.0, False), ("loss < .5", 0.25, True),
        ("loss > 1 and loss < 3", 2.0, True), ("loss > 1 and loss < 2", 2.0, False),
        ("loss > 5 or loss == 2", 2.0, True), ("loss > 5 or loss < 1 and loss > 0", 2.0, False),
        ("(loss > 5 or loss > 1) and loss < 3", 2.0, True), ("loss == 2 or loss > 5 and loss > 6", 2.0, True),
        ("loss > 1", math.nan, False), ("loss < 1", math.nan, False), ("loss > 1", None, False),
    ],
)  # fmt: skip
def test_numbers_are_compared_and_joined_as_in_python(text, loss, holds):
    assert (held(text, None, loss=loss) is not None) is holds
    assert not Condition(text).needs_statistics


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grad_nrom('fc1') > 1", 'Did you mean "grad_norm"'), ("los > 1", 'Did you mean "loss"'),
        ("", "found the end"), ("loss", "found the end at character 5, wanted one of >="),
        ("loss > ", "wanted a number"), ("loss > x", "found 'x' at character 8, wanted a number"),
        ("loss > 1 2", "found '2'"), ("loss > 1 or", "wanted a statistic"), ("(loss > 1", 'wanted ")"'),
        ("loss = 1", "found '= 1'"), ("mean() > 1", "of one module or parameter"), ("grad_norm('fc1)", "found"),
        ("grad_norm('fc1') > 1; import os", "found '; import os'"), ("__import__('os')", "no statistic"),
        ("loss > 1e", "wanted"), ("loss > 0x10", "wanted a number"), ("(" * 9 + "loss > 1" + ")" * 9, "at most 8"),
        ("loss > 1 " * 100, "at most 512"),
    ],
)  # fmt: skip
def test_what_the_grammar_does_not_know_is_refused_with_its_place(text, words):
    with pytest.raises((TrainerError, UnknownName)) as error:
        Condition(text)
    assert words in str(error.value)
    assert len(str(error.value)) < 600


@given(st.text(max_size=60) | st.text("()<>=!'\"andorloss .019e-+_", max_size=60))
@example("nan(" + "(" * 50)
@example("'" * 50)
def test_any_text_is_a_condition_or_one_of_our_errors(text):
    try:
        condition = Condition(text)
    except GraphscopeError:
        return
    condition.held(None, 0, {"loss": 1.0})


def test_norms_are_those_of_the_gradients(watched):
    run, model, gradients = watched
    for address in ("fc1", "fc1.weight", "block", "block.1.bias", ""):
        of = [g for name, g in gradients.items() if f"{name}.".startswith(f"{address}." if address else "")]
        norm = math.sqrt(sum(g.double().square().sum().item() for g in of))
        written = f"grad_norm('{address}')" if address else "grad_norm()"
        assert held(f"{written} > {norm * (1 - 1e-4):.8f}", run) and not held(
            f"{written} > {norm * (1 + 1e-4):.8f}", run
        )
        # SGD: the update is the gradient times the learning rate.
        update = written.replace("grad", "update")
        assert held(f"{update} > {0.099 * norm:.8f} and {update} < {0.101 * norm:.8f}", run)
    ratio = 0.1 * gradients["fc1.bias"].norm() / (model.fc1.bias.detach() + 0.1 * gradients["fc1.bias"]).norm()
    found = held("update_ratio(fc1.bias) > 0", run)
    assert found and float(found.text.split(" = ")[1].split()[0]) == pytest.approx(ratio.item(), rel=0.2)


def test_statistics_of_an_output_are_those_of_the_run(watched):
    run, *_ = watched
    share = run.summary("block.0", "activation", 0).zero_share
    assert 0 < share < 1
    found = held(f"zero_share('block.0') > {share / 2:.6f}", run)
    assert found is not None and found.fqn == "block.0" and found.text.startswith("zero_share('block.0') = 0.")
    assert held("std(fc1) > 0 and max(fc1.weight) > 0", run)


def test_an_address_that_the_network_does_not_have(watched):
    _, model, _ = watched
    modules, parameters = [n for n, _ in model.named_modules()], [n for n, _ in model.named_parameters()]
    Condition("nan() or nan(block) or nan(fc1.weight) or std(block.0) > 1").check(modules, parameters)
    with pytest.raises(UnknownAddress, match='Modules: fc1, block, block.0, block.1.*Did you mean "block.1"'):
        Condition("grad_norm('block.2') > 1").check(modules, parameters)


def test_what_is_not_known_holds_for_nothing(watched):
    run, *_ = watched
    for text in ("std(fc1) >= 0", "nan(fc1)", "grad_norm() >= 0", "nan() == 0"):
        assert Condition(text).held(run, 7, {}) is None, "step 7 was not captured"
        assert Condition(text).held(None, 0, {}) is None


def test_nan_is_found_wherever_it_is(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        model[1].bias[0] = math.nan
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path) as session:
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        run = session.run
    found = held("nan()", run)
    assert found is not None and found.fqn.startswith("1")
    assert held("nan(1)", run) and held("nan(1.bias) >= 1", run) and not held("nan(0.weight)", run)
    assert not held("inf()", run) and not held("nan(0) > 100", run)
