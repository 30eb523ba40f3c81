"""NaN and Inf: the first place is named, masks are not accused, and a long run of NaN stays one finding."""

from __future__ import annotations

import math

from graphscope.graph import Graph
from graphscope.rules import evaluate
from tests.reports.made_graphs import GraphMaker
from tests.rules.made_runs import RunMaker

NAN, INF, MASKED = {"nan": 8}, {"pos_inf": 3}, {"neg_inf": 16}


def net() -> Graph:
    """x -> fc1 -> log (in the root) -> fc2 -> head -> cross_entropy."""
    make = GraphMaker()
    x = make.layer("fc1", "Linear", "linear", make.input(4, 8))
    x = make.op("log", x, line=12)
    x = make.layer("fc2", "Linear", "linear", x)
    x = make.layer("head", "Linear", "linear", x, (4, 10))
    make.op("cross_entropy", x, shape=(), line=30)
    return with_outputs(make.graph(x))


def with_outputs(graph: Graph) -> Graph:
    """Calls give out what their last op made, as a capture records it."""
    from dataclasses import replace

    last = {node.scope: node.outputs for node in graph.nodes if node.op != "cross_entropy"}
    return replace(graph, calls=tuple(replace(call, outputs=last.get(call.id, ())) for call in graph.calls))


def test_the_first_module_whose_output_is_nan_is_named_with_the_op_before_it() -> None:
    make = RunMaker(net())
    make.passed(7)
    rows = [("fc1", "activation"), ("fc2", "activation", NAN), ("head", "activation", NAN), ("", "activation", NAN)]
    make.stats(7, *rows)
    make.step(7, captured=True, scalars={"loss": math.nan})
    (finding,) = evaluate(make.run)
    assert (finding.rule, finding.severity, finding.fqn, finding.step, finding.count) == (
        "nonfinite",
        "error",
        "fc2",
        7,
        1,
    )
    assert finding.node == 1 and finding.line == 12, "the log before it is what makes NaN of finite numbers"
    assert "8 of 64 values" in finding.message and "log (net.py:12)" in finding.message
    assert (finding.value, finding.limit) == (8.0, None) and "limit" not in finding.message
    assert finding.fix.startswith("- torch.log(x)\n+ ")


def test_a_module_fed_with_finite_outputs_is_the_origin_itself() -> None:
    make = RunMaker(net())
    make.passed(3)
    make.stats(3, ("fc1", "activation"), ("fc2", "activation"), ("head", "activation", NAN), ("", "activation", NAN))
    (finding,) = evaluate(make.run)
    assert finding.fqn == "head" and "what other modules gave it is finite" in finding.message


def test_the_order_is_that_of_execution_not_of_the_rows() -> None:
    make = RunMaker(net())
    make.passed(3)
    make.stats(
        3, ("", "activation", NAN), ("head", "activation", NAN), ("fc2", "activation", NAN), ("fc1", "activation", NAN)
    )
    (finding,) = evaluate(make.run)
    assert finding.fqn == "fc1"


def test_loss_alone() -> None:
    make = RunMaker(net())
    make.passed(3)
    make.stats(3, ("fc1", "activation"), ("head", "activation"), ("", "activation"))
    make.step(3, captured=True, scalars={"loss": math.inf})
    (finding,) = evaluate(make.run)
    assert finding.fqn == "" and finding.line == 30 and "cross_entropy (net.py:30)" in finding.message
    assert finding.value == math.inf


def test_loss_of_steps_that_were_not_captured_is_one_finding_that_counts() -> None:
    make = RunMaker()
    for step in range(50):
        make.step(step, 1.0)
    assert evaluate(make.run) == []
    said = 0
    for step in range(50, 1050):
        make.nan_loss(step)
        for finding in evaluate(make.run):
            make.run.add(finding)
            said += 1
    (finding,) = make.run.findings
    assert (finding.step, finding.severity) == (50, "error")
    assert finding.last_step is not None and finding.last_step > 950 and 900 < finding.count <= 1000
    assert said < 120, "a run full of NaN does not fill its file with findings"


def test_the_place_takes_over_once_a_captured_step_shows_it() -> None:
    make = RunMaker(net())
    make.nan_loss(10)
    (loss,) = evaluate(make.run)
    assert loss.fqn == "" and "not known" in loss.message
    make.passed(12)
    make.stats(12, ("fc1.weight", "parameter", NAN), ("fc1", "activation", NAN))
    (place,) = evaluate(make.run)
    assert place.fqn == "fc1" and "before step 12" in place.message


def test_gradients() -> None:
    make = RunMaker(net())
    make.passed(5)
    make.stats(
        5,
        ("fc1", "activation"), ("fc2", "activation"), ("head", "activation"),
        ("fc1", "gradient", NAN), ("fc2", "gradient"), ("head", "gradient"), ("fc1.weight", "parameter_gradient", NAN),
    )  # fmt: skip
    make.step(5, 0.7, captured=True)
    (finding,) = evaluate(make.run)
    assert finding.fqn == "fc1" and finding.severity == "error"
    assert "on the way back" in finding.message and "log (net.py:12)" in finding.message, "log reads fc1's output"


def test_gradient_of_a_parameter_alone() -> None:
    make = RunMaker(net())
    make.passed(5)
    make.stats(5, ("fc1", "activation"), ("fc1", "gradient"), ("fc2.weight", "parameter_gradient", INF))
    (finding,) = evaluate(make.run)
    assert finding.fqn == "fc2" and "Inf in gradients" in finding.title


def test_infinite_scaled_half_gradients_are_no_error() -> None:
    make = RunMaker(net())
    make.passed(5)
    make.stats(5, ("fc1", "gradient", INF), dtype="float16")
    (finding,) = evaluate(make.run)
    assert finding.severity == "info" and "GradScaler" in finding.advice


def attention(masked: bool = True) -> Graph:
    make = GraphMaker()
    x = make.input(2, 4, 4)
    with make.call("mask", "Mask"):
        y = make.op("masked_fill" if masked else "log", make.op("matmul", x))
    y = make.layer("soft", "Softmax", "softmax", y)
    return with_outputs(make.graph(y))


def test_minus_infinity_of_a_mask_is_not_accused() -> None:
    make = RunMaker(attention())
    for step in range(3):
        make.passed(step)
        make.stats(step, ("mask", "activation", MASKED), ("soft", "activation"), ("", "activation"))
        make.step(step, 0.5, captured=True)
    assert evaluate(make.run) == []


def test_but_the_nan_that_depends_on_it_is_and_the_mask_is_not_its_origin() -> None:
    make = RunMaker(attention())
    make.passed(0)
    make.stats(0, ("mask", "activation", MASKED), ("soft", "activation", NAN), ("", "activation", NAN))
    (finding,) = evaluate(make.run)
    assert finding.fqn == "soft" and finding.severity == "error" and "mask" in finding.advice


def test_minus_infinity_without_a_mask_is_a_hint_as_long_as_nothing_became_nan() -> None:
    make = RunMaker(attention(masked=False))
    make.passed(0)
    make.stats(0, ("mask", "activation", MASKED), ("soft", "activation"))
    make.step(0, 0.5, captured=True)
    (finding,) = evaluate(make.run)
    assert finding.severity == "info"


def test_what_begins_after_a_finite_step_is_looked_at_anew() -> None:
    make = RunMaker(net())
    make.passed(1)
    make.stats(1, ("fc1", "activation"), ("fc1", "gradient", INF))
    assert [f.fqn for f in evaluate(make.run)] == ["fc1"]
    make.passed(2)
    make.stats(2, ("fc1", "activation"), ("fc1", "gradient"))
    make.step(2, 0.5, captured=True)
    assert evaluate(make.run) == []
    make.passed(3)
    make.stats(3, ("fc1", "activation"), ("fc2", "activation"), ("head", "activation", NAN))
    assert [f.fqn for f in evaluate(make.run)] == ["head"]


def test_without_a_graph_the_first_row_is_named() -> None:
    make = RunMaker()
    make.passed(1)
    make.stats(1, ("a", "activation"), ("b", "activation", NAN), ("c", "activation", NAN))
    make.step(1, captured=True)
    (finding,) = evaluate(make.run)
    assert finding.fqn == "b" and finding.node is None


def test_finite_runs_are_silent() -> None:
    make = RunMaker(net())
    for step in range(20):
        make.passed(step)
        make.stats(step, ("fc1", "activation"), ("fc1", "gradient"), ("fc1.weight", "update"))
        make.step(step, 1.0 / (step + 1), captured=True)
        assert evaluate(make.run) == []


def test_gradients_of_a_step_whose_activations_were_not_measured_claim_no_place() -> None:
    make = RunMaker(net())
    make.passed(4)
    make.stats(4, ("fc1.weight", "parameter_gradient", NAN), ("fc2.weight", "parameter_gradient", NAN))
    make.step(4, captured=True, scalars={"grad_norm": math.nan})
    (finding,) = evaluate(make.run)
    assert (finding.fqn, finding.node) == ("", None), "nothing shows that it began in one of them"
    assert "Activations of this step were not measured" in finding.message and "finite" not in finding.message
    assert "every=1" in finding.advice and "capture_next" in finding.advice


def test_the_weights_it_left_behind_do_not_take_its_place() -> None:
    make = RunMaker(net())
    make.stats(4, ("fc1.weight", "parameter_gradient", NAN), ("fc2.weight", "parameter_gradient", NAN))
    make.step(4, captured=True, scalars={})
    first = evaluate(make.run)
    make.stats(5, ("fc1.weight", "parameter", NAN), ("fc1", "activation", NAN))
    make.step(5, captured=True, scalars={})
    (later,) = evaluate(make.run)
    assert (later.title, later.fqn, later.count, later.step) == (first[0].title, "", 2, 4)


def test_a_loss_of_a_step_whose_activations_were_not_measured_is_not_said_to_be_the_origin() -> None:
    make = RunMaker(net())
    make.passed(4)
    make.stats(4, ("fc1.weight", "parameter"))
    make.step(4, captured=True, scalars={"loss": math.nan})
    (finding,) = evaluate(make.run)
    assert (finding.fqn, finding.node, finding.line) == ("", None, None)
    assert "were not measured" in finding.message and "begins in the loss" not in finding.message


def test_of_several_passes_only_the_last_is_vouched_for() -> None:
    for rows, loss in (
        ([("fc1.weight", "parameter_gradient", NAN), ("fc2.weight", "parameter_gradient", NAN)], 0.5),
        ([], math.nan),
    ):
        make = RunMaker(net())
        make.passed(4, pass_index=2)
        make.stats(4, ("fc1", "activation"), ("head", "activation"), ("fc1", "gradient"), *rows)
        make.step(4, captured=True, passes=3, scalars={"loss": loss})
        (finding,) = evaluate(make.run)
        assert (finding.fqn, finding.node) == ("", None)
        assert "Of the 3 passes of this step only the last one's activations are kept" in finding.message
        assert "earlier pass" in finding.message


def test_what_the_last_of_several_passes_shows_is_named_as_its() -> None:
    make = RunMaker(net())
    make.passed(4, pass_index=2)
    make.stats(4, ("fc1", "activation"), ("fc2", "activation", NAN), ("head", "activation", NAN))
    make.step(4, captured=True, passes=3, scalars={"loss": math.nan})
    (finding,) = evaluate(make.run)
    assert finding.fqn == "fc2" and "in the last of its 3 passes" in finding.message
