"""weights-barely-change: for ten recorded steps the updates were too small to be kept, or all zero.

Why it matters: nothing is learned. Either the learning rate is 0 or far too low, or no gradient arrives, or the weights
are of a type (bfloat16, float16) that rounds such updates away.
When it is fine: a learning rate that still rises in a warm-up is not accused. At the very end of a schedule that goes
to 0 it is meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.news import News
from graphscope.rules.sizes import GRADIENT, RATE, UPDATE, WEIGHTS
from graphscope.schema import Finding

IN_A_ROW = 10
"""Recorded steps in a row."""
LIMIT = 1e-8
"""Norm of all updates over that of all parameters: float32 keeps seven digits. (SageMaker Debugger's weight update
ratio has the same limit; healthy trainings lie between 10**-3.2 and 10**-1.7.)"""


def weights_barely_change(news: News) -> Iterator[Finding]:
    """One sight for every recorded step that ends ten such steps in a row."""
    memory = news.memory.setdefault("weights-barely-change", {"row": 0, "first": 0, "rate": 0.0})
    sizes = news.sizes
    for stats in news.stats:
        update, weights = sizes.at(UPDATE, stats.step), sizes.at(WEIGHTS, stats.step)
        if update is None or not weights:
            continue
        rate = sizes.at(RATE, stats.step)
        if update > LIMIT * weights:
            memory["row"] = 0
            continue
        if memory["row"] == 0:
            memory["first"], memory["rate"] = stats.step, rate
        memory["row"] += 1
        rises = rate is not None and memory["rate"] is not None and rate > memory["rate"]
        if memory["row"] >= IN_A_ROW and not rises:
            yield _finding(memory["first"], stats.step, update / weights, rate, sizes.at(GRADIENT, stats.step))


def _finding(first: int, step: int, ratio: float, rate: float | None, gradient: float | None) -> Finding:
    if rate == 0:
        reason, advice = (
            "the learning rate is 0",
            "Set a learning rate above 0, and look at the scheduler if there is one.",
        )
    elif not gradient:
        reason = "all gradients are 0" if gradient == 0 else "no gradient was seen"
        advice = (
            "Find what stops them: a loss that is constant, dead ReLUs, a softmax over one value, or zero_grad() "
            "between backward() and step()."
        )
    else:
        reason = f"gradients are there (norm {gradient:.3g})" + (f", the learning rate is {rate:.3g}" if rate else "")
        advice = (
            "Raise the learning rate. Where weights are bfloat16 or float16, keep them in float32 and use autocast: "
            "updates of less than a thousandth are rounded away."
        )
    return Finding(
        rule="weights-barely-change",
        severity="warning",
        title="Weights do not change",
        message=f"Updates were {ratio:.2g} times the parameters at step {step:,} (norms; limit {LIMIT:g} in {IN_A_ROW} "
        f"recorded steps in a row): {reason}.",
        advice=advice,
        why="An update this much smaller than its weight is lost in rounding, so nothing is learned. In a warm-up, or "
        "at the end of a schedule that goes to 0, it is meant.",
        step=first,
        last_step=step,
        value=ratio,
        limit=LIMIT,
    )
