"""check(model, inputs) -> Findings: the rules on one step of ours, without training anything."""

from __future__ import annotations

from typing import Any

from torch import nn

from graphscope.capture.arrival import arrived
from graphscope.capture.plan import Selection
from graphscope.capture.step import AddressNumbers, stats_record
from graphscope.capture.trace import captured_forward, checked_model
from graphscope.errors import InputMismatch
from graphscope.rules import evaluate
from graphscope.run import Run
from graphscope.schema import Finding, PassRecord, RunHeader


def check(model: nn.Module, *args: Any, loss_fn: Any = None, target: Any = None) -> list[Finding]:
    """Rules on one forward with the given inputs, and on ``loss_fn(output, target)`` if there is one.

    The model and all random states are as before. Raises NotAModule; InputMismatch where forward or loss raises, and
    for a target without a loss_fn.
    """
    checked_model("check(model, ...)", model)
    if loss_fn is None and target is not None:
        raise InputMismatch(
            f"check({type(model).__name__}, ..., target={type(target).__name__}): a target, but no loss_fn to compare "
            "the output with it. Wanted: loss_fn=nn.CrossEntropyLoss() or what the training uses; or no target, to "
            "check the forward alone."
        )
    if loss_fn is not None and not callable(loss_fn):
        raise InputMismatch(
            f"check({type(model).__name__}, ..., loss_fn={type(loss_fn).__name__}): wanted a function or module that "
            "is called with the output and the target, such as nn.CrossEntropyLoss()."
        )
    after = None
    if loss_fn is not None:
        after = (lambda output: loss_fn(output)) if target is None else (lambda output: loss_fn(output, target))
    capture = captured_forward(model, args, {}, Selection(roles=("activation",)), after, "check")
    graph, numbers = capture.graph(), AddressNumbers()
    run = Run()
    run.add(RunHeader(run_id="check", name="check", model=type(model).__name__, created=""))
    run.add(graph.to_record())
    stats = stats_record(0, 0, capture.activations.rows, numbers)
    addresses = numbers.news()
    if addresses is not None:
        run.add(addresses)
    run.add(PassRecord(step=0, pass_index=0, graph_id=graph.graph_id, training=model.training, grad_enabled=True))
    for record in arrived([*capture.pending, stats]):
        run.add(record)
    return evaluate(run)
