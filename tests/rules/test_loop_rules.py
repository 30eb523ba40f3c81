"""Rules about the order of calls in a loop: zero_grad and train/eval mode."""

from __future__ import annotations

import pytest

from graphscope.graph import Graph
from graphscope.rules import evaluate
from graphscope.schema import Finding
from tests.reports.made_graphs import GraphMaker
from tests.rules.made_runs import RunMaker


def stale(*flags: bool | None) -> list[Finding]:
    """A run whose steps had old gradients or not, asked after every step."""
    make = RunMaker()
    for step, flag in enumerate(flags):
        make.step(step, 1.0, stale_gradients=flag)
        for finding in evaluate(make.run):
            make.run.add(finding)
    return make.run.findings


def test_gradients_that_are_never_cleared() -> None:
    (finding,) = stale(None, True, True, True)
    assert (finding.rule, finding.severity) == ("missing-zero-grad", "error")
    assert (finding.step, finding.last_step, finding.count, finding.value, finding.limit) == (2, 3, 3, 3.0, 2.0)
    assert "optimizer.zero_grad()" in finding.fix and "3rd" in finding.message


@pytest.mark.parametrize(
    "flags",
    [(None, False, False), (None, True, False, True, False), (None, True), (None, None, None), (False, True, False)],
)
def test_one_step_with_old_gradients_may_be_meant(flags: tuple[bool | None, ...]) -> None:
    assert stale(*flags) == []


def test_steps_of_which_nothing_is_known_do_not_break_the_row() -> None:
    (finding,) = stale(None, True, None, None, True)
    assert finding.count == 2


def net() -> Graph:
    make = GraphMaker()
    x = make.layer("bn", "BatchNorm1d", "batch_norm", make.input(4, 8))
    return make.graph(make.layer("drop", "Dropout", "dropout", x))


def evaluated(*passes: tuple[int, int, bool, tuple[str, ...]]) -> list[Finding]:
    """Passes without gradients: (step, repeats, root in train mode, layers in train mode)."""
    make = RunMaker(net())
    make.passed(0)
    for step, repeats, training, layers in passes:
        make.passed(
            step, graph_id=None, grad_enabled=False, training=training, repeats=repeats, train_mode_layers=layers
        )
        for finding in evaluate(make.run):
            make.run.add(finding)
    return make.run.findings


def test_validation_without_eval() -> None:
    (finding,) = evaluated(
        (100, 1, True, ("bn", "drop")), (100, 7, True, ("bn", "drop")), (200, 8, True, ("bn", "drop"))
    )
    assert (finding.rule, finding.severity, finding.fqn) == ("evaluated-in-train-mode", "warning", "")
    assert (finding.step, finding.last_step, finding.count) == (100, 200, 16)
    assert "bn, drop" in finding.message and "2 BatchNorm and Dropout layers" in finding.message
    assert finding.fix.startswith("+ model.eval()")


def test_it_fires_at_the_first_pass() -> None:
    (finding,) = evaluated((100, 1, True, ("drop",)))
    assert finding.count == 1 and (finding.value, finding.limit) == (1.0, None)
    assert "1 forward without gradients at step 100, with 1 Dropout layer in train mode: drop" in finding.message


def test_the_message_tells_all_steps_and_not_the_last_one() -> None:
    (finding,) = evaluated(*((step, 1, True, ("bn", "drop")) for step in range(60)))
    assert finding.step == 1 and finding.last_step is not None and finding.last_step > 50
    told = f"{finding.count} forwards without gradients at steps 1 to {finding.last_step}, with 2 BatchNorm and"
    assert finding.message.startswith(told) and "limit" not in finding.message


def test_evaluation_before_training_begins_needs_more_than_a_look_at_shapes() -> None:
    assert evaluated((0, 1, True, ("bn", "drop"))) == []
    (finding,) = evaluated((0, 1, True, ("bn", "drop")), (0, 9, True, ("bn", "drop")))
    assert finding.step == 0


@pytest.mark.parametrize(
    "one",
    [
        (100, 8, False, ()),  # model.eval()
        (100, 8, True, ()),  # no layer cares about the mode
        (100, 8, False, ("drop",)),  # Monte Carlo dropout
    ],
)
def test_evaluations_that_are_right(one: tuple[int, int, bool, tuple[str, ...]]) -> None:
    assert evaluated(one) == []


def test_a_batch_norm_left_in_train_mode_by_itself_is_accused() -> None:
    (finding,) = evaluated((100, 8, False, ("bn",)))
    assert "in eval mode, they are not" in finding.message


def test_training_passes_are_never_evaluations() -> None:
    make = RunMaker(net())
    make.passed(5, train_mode_layers=("bn", "drop"))
    assert evaluate(make.run) == []
