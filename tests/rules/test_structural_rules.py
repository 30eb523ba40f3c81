"""Rules that need one graph: what they must say, and above all what they must not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from graphscope.graph import Graph, Value
from graphscope.rules import evaluate
from graphscope.schema import Finding
from tests.reports.made_graphs import GraphMaker, residual_block, transformer
from tests.rules.made_runs import RunMaker


def findings(graph: Graph, step: int = 4) -> list[Finding]:
    make = RunMaker(graph)
    make.passed(step)
    return evaluate(make.run)


def rules_of(graph: Graph) -> list[str]:
    return [finding.rule for finding in findings(graph)]


def classifier(after: Callable[[GraphMaker, Value], Value], loss: str = "cross_entropy", **facts: Any) -> Graph:
    """x -> fc (linear to ten classes) -> what is asked for -> loss in the root."""
    make = GraphMaker()
    x = make.layer("fc", "Linear", "linear", make.input(64, 128), (64, 10), params=("fc.weight", "fc.bias"))
    x = after(make, x)
    make.op(loss, x, make.value(64, kind="input", name="target"), shape=(), line=40, **facts)
    return make.graph(x)


# softmax-before-cross-entropy


def _softmax(make: GraphMaker, x: Value) -> Value:
    with make.call("softmax", "Softmax", "dim=1"):
        return make.op("softmax", x, attrs={"dim": 1}, line=17)


def test_softmax_before_cross_entropy() -> None:
    (finding,) = findings(classifier(_softmax))
    assert (finding.rule, finding.severity, finding.fqn) == ("softmax-before-cross-entropy", "error", "softmax")
    # ln(1 + 9 / e): the softmax of (1, 0, ..., 0) gives the right class e / (e + 9).
    assert finding.value == pytest.approx(-math.log(math.e / (math.e + 9))) == pytest.approx(1.4612, abs=1e-4)
    assert "1.4612" in finding.message and "10 classes" in finding.message and "net.py:17" in finding.message
    assert (finding.node, finding.line, finding.step, finding.limit) == (1, 17, 4, None)
    assert finding.fix == "- x = self.softmax(x)"
    assert finding.graph_id == classifier(_softmax).graph_id


def test_softmax_as_a_function_and_through_views() -> None:
    def functional(make: GraphMaker, x: Value) -> Value:
        x = make.op("softmax", x, attrs={"dim": -1})
        return make.op("squeeze", make.op("view", x, shape=(64, 10, 1), view=True), shape=(64, 10), view=True)

    (finding,) = findings(classifier(functional))
    assert finding.fqn == "" and "return F.softmax(x, dim=-1)" in finding.fix


def test_softmax_in_the_loop_is_taken_out_there() -> None:
    make = GraphMaker()
    output = make.layer("fc", "Linear", "linear", make.input(64, 128), (64, 10))
    make.op("cross_entropy", make.op("softmax", output, attrs={"dim": 1}), shape=())
    (finding,) = findings(make.graph(output))
    assert finding.fix.startswith("- loss = F.cross_entropy(F.softmax(output, dim=1), target)\n+ loss = ")


def test_softmax_before_log_softmax_and_nll() -> None:
    def both(make: GraphMaker, x: Value) -> Value:
        return make.op("log_softmax", make.op("softmax", x, attrs={"dim": 1}), attrs={"dim": 1})

    assert rules_of(classifier(both, "nll_loss")) == ["softmax-before-cross-entropy"]


@pytest.mark.parametrize(
    "after",
    [
        lambda make, x: x,
        lambda make, x: make.op("log_softmax", x, attrs={"dim": 1}),
        lambda make, x: make.op("log", make.op("softmax", x, attrs={"dim": 1})),
        lambda make, x: make.op("div", x),
        lambda make, x: make.op("matmul", make.op("softmax", x, attrs={"dim": -1}), x),  # attention
        lambda make, x: make.op("mul", make.op("softmax", x, attrs={"dim": -1}), x),  # gating
    ],
)
def test_what_softmax_rule_must_not_accuse(after: Callable[[GraphMaker, Value], Value]) -> None:
    assert "softmax-before-cross-entropy" not in rules_of(classifier(after))


def test_the_softmax_of_a_teacher_is_a_target_not_a_logit() -> None:
    make = GraphMaker()
    x = make.input(64, 128)
    student = make.layer("student", "Linear", "linear", x, (64, 10))
    teacher = make.op("softmax", make.layer("teacher", "Linear", "linear", x, (64, 10)), attrs={"dim": 1})
    make.op("cross_entropy", student, teacher, shape=())
    assert rules_of(make.graph(student)) == []


def test_softmax_over_another_dimension_has_not_this_floor() -> None:
    def over_batch(make: GraphMaker, x: Value) -> Value:
        return make.op("softmax", x, attrs={"dim": 0})

    assert "softmax-before-cross-entropy" not in rules_of(classifier(over_batch))


def test_classes_of_a_segmentation_are_dimension_one() -> None:
    make = GraphMaker()
    x = make.layer("head", "Conv2d", "conv2d", make.input(2, 8, 32, 32), (2, 21, 32, 32))
    x = make.op("softmax", x, attrs={"dim": 1})
    make.op("cross_entropy", x, shape=())
    (finding,) = findings(make.graph(x))
    assert finding.value == pytest.approx(math.log(1 + 20 / math.e))


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.3])
def test_label_smoothing_has_another_floor_and_another_best(smoothing: float) -> None:
    (finding,) = findings(classifier(_softmax, attrs={"label_smoothing": smoothing, "reduction": "mean"}))
    target = torch.tensor([3])
    sure = F.one_hot(target, 10).double()
    floor = F.cross_entropy(sure, target, label_smoothing=smoothing).item()
    # Logits that are the logarithms of the smoothed target are the best there are.
    best = F.cross_entropy((sure * (1 - smoothing) + smoothing / 10).log(), target, label_smoothing=smoothing).item()
    assert finding.value == pytest.approx(floor)
    assert f"{floor:.4f}" in finding.message and f"{best:.4g} is the best" in finding.message
    assert "where 0 is the best" not in finding.message
    tried = torch.rand(5000, 10, dtype=torch.float64).pow(8).softmax(1)
    assert F.cross_entropy(tried, target.expand(5000), label_smoothing=smoothing, reduction="none").min() > floor


def test_smoothing_that_only_autograd_saw_is_one_finding_without_a_number() -> None:
    make = GraphMaker()
    x = make.layer("fc", "Linear", "linear", make.input(64, 128), (64, 10))
    x = _softmax(make, x)
    make.op("sum", make.op("log_softmax", x, attrs={"dim": 1}))
    make.op("add", make.op("mul", make.op("cross_entropy", x, shape=()), shape=()), shape=())
    (finding,) = findings(make.graph(x))
    assert (finding.value, finding.count) == (None, 1) and "best" not in finding.message
    assert "cross_entropy" in finding.message and "e times as likely" in finding.message


def test_targets_that_are_shares_have_no_known_floor() -> None:
    make = GraphMaker()
    x = _softmax(make, make.layer("fc", "Linear", "linear", make.input(64, 128), (64, 10)))
    make.op("cross_entropy", x, make.value(64, 10, kind="input", name="target"), shape=())
    (finding,) = findings(make.graph(x))
    assert finding.value is None and "0 is the best" not in finding.message


# activation-on-logits


def test_sigmoid_before_bce_with_logits() -> None:
    graph = classifier(lambda make, x: make.op("sigmoid", x), "binary_cross_entropy_with_logits")
    (finding,) = findings(graph)
    assert (finding.rule, finding.severity) == ("activation-on-logits", "error")
    assert finding.value == pytest.approx(0.3133, abs=1e-4) and "0.6931" in finding.message


def test_relu_and_tanh_before_cross_entropy_are_warnings() -> None:
    for op in ("relu", "tanh"):
        (finding,) = findings(classifier(lambda make, x, op=op: make.op(op, x)))  # type: ignore[misc]
        assert (finding.rule, finding.severity) == ("activation-on-logits", "warning")
        assert finding.title == {"relu": "ReLU", "tanh": "Tanh"}[op] + " in front of a loss on logits"
    # ten classes, outputs in -1 .. 1: the right class can get e / (e + 9 / e)
    assert finding.value == pytest.approx(-math.log(math.e / (math.e + 9 / math.e)))


def test_a_smoothed_loss_behind_a_tanh_promises_no_zero() -> None:
    graph = classifier(lambda make, x: make.op("tanh", x), attrs={"label_smoothing": 0.1})
    (finding,) = findings(graph)
    assert finding.value is None and "between -1 and 1" in finding.message and "0 is the best" not in finding.message


def test_sigmoid_before_plain_bce_is_right() -> None:
    assert rules_of(classifier(lambda make, x: make.op("sigmoid", x), "binary_cross_entropy")) == []


# nll-without-log-softmax


def test_nll_on_raw_outputs_and_on_probabilities() -> None:
    (raw,) = findings(classifier(lambda make, x: x, "nll_loss"))
    assert (raw.rule, raw.severity, raw.fqn) == ("nll-without-log-softmax", "error", "fc")
    (probabilities,) = findings(classifier(_softmax, "nll_loss"))
    assert probabilities.fqn == "softmax" and "between -1 and 0" in probabilities.message


@pytest.mark.parametrize("op", ["log_softmax", "logsigmoid", "log", "sub", "add", "mul"])
def test_nll_on_what_may_be_log_probabilities(op: str) -> None:
    assert rules_of(classifier(lambda make, x: make.op(op, x, attrs={"dim": 1}), "nll_loss")) == []


# dropout2d-on-2d-input


def dropout2d(*shape: int) -> Graph:
    make = GraphMaker()
    x = make.input(*shape)
    with make.call("drop2", "Dropout2d", "p=0.5"):
        x = make.op("dropout2d", x, attrs={"p": 0.5, "training": True, "inplace": False}, line=9)
    return make.graph(x)


def test_dropout2d_behind_a_flatten() -> None:
    (finding,) = findings(dropout2d(64, 128))
    assert (finding.rule, finding.severity, finding.fqn) == ("dropout2d-on-2d-input", "warning", "drop2")
    assert "64 × 128" in finding.message and (finding.value, finding.limit, finding.line) == (2.0, 3.0, 9)
    assert finding.fix == "- self.drop2 = nn.Dropout2d(0.5)\n+ self.drop2 = nn.Dropout(0.5)"


@pytest.mark.parametrize("shape", [(64, 8, 14, 14), (8, 14, 14)])
def test_dropout2d_on_images_is_right(shape: tuple[int, ...]) -> None:
    assert rules_of(dropout2d(*shape)) == []


# linear-without-nonlinearity


def two_layers(between: Callable[[GraphMaker, Value], Value], widths: tuple[int, int, int] = (64, 64, 64)) -> Graph:
    make = GraphMaker()
    x = make.layer("a", "Linear", "linear", make.input(4, widths[0]), (4, widths[1]), params=("a.weight",))
    x = between(make, x)
    x = make.layer("b", "Linear", "linear", x, (4, widths[2]), params=("b.weight",))
    return make.graph(x)


@pytest.mark.parametrize("ops", [(), ("dropout",), ("batch_norm", "dropout"), ("view",)])
def test_two_linear_layers_in_a_row(ops: tuple[str, ...]) -> None:
    def between(make: GraphMaker, x: Value) -> Value:
        for op in ops:
            x = make.op(op, x, attrs={"training": True})
        return x

    (finding,) = findings(two_layers(between))
    assert (finding.rule, finding.severity, finding.fqn) == ("linear-without-nonlinearity", "warning", "b")


@pytest.mark.parametrize("op", ["relu", "gelu", "layer_norm", "softmax", "max_pool2d", "tanh"])
def test_a_nonlinearity_between_them(op: str) -> None:
    assert rules_of(two_layers(lambda make, x: make.op(op, x))) == []


def test_low_rank_factors_branches_and_separable_convolutions_are_meant() -> None:
    assert rules_of(two_layers(lambda make, x: x, (512, 8, 512))) == []
    assert rules_of(two_layers(lambda make, x: make.op("add", x, make.op("relu", x)))) == []
    make = GraphMaker()
    x = make.op("conv2d", make.input(1, 32, 8, 8), params=("d.weight",), attrs={"groups": 32})
    assert rules_of(make.graph(make.op("conv2d", x, params=("p.weight",)))) == []


# bias-before-norm


def conv_norm(bias: bool, op: str = "batch_norm", training: bool = True, layers: int = 1) -> Graph:
    make = GraphMaker()
    x = make.input(8, 16, 14, 14)
    for i in range(layers):
        names = (f"conv{i}.weight", f"conv{i}.bias") if bias else (f"conv{i}.weight",)
        with make.call(f"conv{i}", "Conv2d", parameters={"weight": (16, 16, 3, 3), "bias": (16,)}):
            x = make.op("conv2d", x, params=names)
        x = make.op("relu", make.op(op, x, attrs={"training": training}))
    return make.graph(x)


def test_bias_before_batch_norm_is_one_hint_for_all_layers() -> None:
    (finding,) = findings(conv_norm(True, layers=3))
    assert (finding.rule, finding.severity, finding.fqn) == ("bias-before-norm", "info", "conv0")
    assert "in 2 more" in finding.message and finding.value == 48.0
    assert "limit" not in finding.message


def test_a_frozen_bias_is_not_trained_and_not_accused() -> None:
    def frozen(*names: str) -> Graph:
        graph = conv_norm(True, layers=2)
        return replace(
            graph,
            modules=tuple(
                replace(m, parameters=tuple(replace(p, requires_grad=p.name not in names) for p in m.parameters))
                for m in graph.modules
            ),
        )

    assert rules_of(frozen("conv0.bias", "conv1.bias")) == []
    (finding,) = findings(frozen("conv0.bias"))
    assert finding.fqn == "conv1" and finding.value == 16.0 and "more" not in finding.message


@pytest.mark.parametrize(
    "graph", [conv_norm(False), conv_norm(True, "relu"), conv_norm(True, "layer_norm"), conv_norm(True, training=False)]
)
def test_biases_that_matter(graph: Graph) -> None:
    assert rules_of(graph) == []


# all of them


@pytest.mark.parametrize("graph", [residual_block(), residual_block(True), transformer(3)])
def test_healthy_networks_are_not_accused(graph: Graph) -> None:
    assert rules_of(graph) == []


def test_a_second_graph_with_the_same_mistake_counts() -> None:
    make = RunMaker(classifier(_softmax))
    make.passed(0)
    (first,) = evaluate(make.run)
    other = classifier(lambda m, x: _softmax(m, m.op("mul", x)))
    make.run.add(other.to_record())
    make.graph = other
    make.passed(9)
    (second,) = evaluate(make.run)
    assert (first.count, second.count, second.step, second.last_step) == (1, 2, 0, 9)
    assert evaluate(make.run) == [], "nothing is new"
