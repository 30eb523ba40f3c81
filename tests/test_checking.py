"""check: the rules on one forward, the model as before, and errors that say what was asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import graphscope
from graphscope.errors import InputMismatch, NotAModule


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 3), nn.Softmax(1))


X, Y = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])


def test_the_rules_see_forward_and_loss() -> None:
    (finding,) = graphscope.check(classifier(), X, loss_fn=nn.CrossEntropyLoss(), target=Y)
    assert finding.rule == "softmax-before-cross-entropy" and "0 is the best" in finding.message
    assert graphscope.check(classifier(), X) == [], "without a loss, a softmax is fine"


def test_label_smoothing_is_seen() -> None:
    loss = nn.CrossEntropyLoss(label_smoothing=0.2)
    (finding,) = graphscope.check(classifier(), X, loss_fn=loss, target=Y)
    sure = nn.functional.one_hot(Y, 3).float()
    assert finding.value == pytest.approx(loss(sure, Y).item()) and "label smoothing of 0.2" in finding.message


def test_a_loss_of_the_output_alone_needs_no_target() -> None:
    assert graphscope.check(nn.Linear(6, 3), X, loss_fn=lambda output: output.square().mean()) == []


def test_a_target_without_a_loss_is_refused() -> None:
    with pytest.raises(InputMismatch, match=r"^check\(Linear, \.\.\., target=Tensor\): a target, but no loss_fn"):
        graphscope.check(nn.Linear(6, 3), X, target=Y)


def test_a_loss_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(InputMismatch, match=r"^check\(Linear, \.\.\., loss_fn=str\): wanted a function or module"):
        graphscope.check(nn.Linear(6, 3), X, loss_fn="cross_entropy", target=Y)


@pytest.mark.parametrize(
    ("inputs", "given", "text"),
    [
        (torch.randn(5, 7), {}, r"^check\(Linear, float32\[5, 7\]\): its forward raised in Linear \(linear.*as the"),
        (X, {"loss_fn": nn.CrossEntropyLoss(), "target": torch.tensor([9, 0, 0, 0, 0])},
         r"^check\(Linear, float32\[5, 6\]\): loss_fn, on its output, raised.*IndexError.*loss_fn\(output, target\)"),
    ],
)  # fmt: skip
def test_errors_begin_with_check_and_say_what_raised(inputs: torch.Tensor, given: dict[str, Any], text: str) -> None:
    with pytest.raises(InputMismatch, match=text) as caught:
        graphscope.check(nn.Linear(6, 3), inputs, **given)
    assert caught.value.graph is not None


def test_something_else_than_a_module() -> None:
    with pytest.raises(NotAModule, match=r"^check\(model, \.\.\.\): found function"):
        graphscope.check(classifier, X)


def test_the_model_is_as_before() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    before, rng = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    graphscope.check(model, X, loss_fn=nn.CrossEntropyLoss(), target=Y)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state()) and model.training
    assert all(p.grad is None for p in model.parameters())
