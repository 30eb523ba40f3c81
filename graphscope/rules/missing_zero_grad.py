"""missing-zero-grad: gradients of the step before were still there when backward began, in two steps in a row.

Why it matters: backward adds to the gradients that are there. Without zero_grad every step uses the sum of all
gradients since the start: the steps grow and point into old directions.
When it is fine: accumulating several batches into one step is no such case and not accused, since the gradients are
cleared after the step.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.news import News
from graphscope.schema import Finding

IN_A_ROW = 2
"""Steps with old gradients from which on it fires: one alone may be meant."""


def missing_zero_grad(news: News) -> Iterator[Finding]:
    """One sight for every step with old gradients that follows another such step."""
    memory = news.memory.setdefault("missing-zero-grad", {"in_a_row": 0})
    for step in news.steps:
        if step.stale_gradients is None:
            continue
        memory["in_a_row"] = memory["in_a_row"] + 1 if step.stale_gradients else 0
        if memory["in_a_row"] < IN_A_ROW:
            continue
        first = memory["in_a_row"] == IN_A_ROW
        yield Finding(
            rule="missing-zero-grad",
            severity="error",
            title="Gradients are never cleared",
            message=f"When backward of step {step.step:,} began, the gradients of the step before were still there, "
            f"for the {_nth(memory['in_a_row'])} time in a row (limit {IN_A_ROW}): each step adds its gradients to all "
            "earlier ones.",
            advice="Call optimizer.zero_grad() once in every step, before backward.",
            why="backward adds to the gradients that are there. Without zero_grad each step uses the sum of all "
            "gradients since the start, so the steps grow and point into old directions. To accumulate several batches "
            "on purpose, clear after the step.",
            step=step.step,
            count=IN_A_ROW if first else 1,
            value=float(memory["in_a_row"]),
            limit=float(IN_A_ROW),
            fix="+ optimizer.zero_grad()\n  loss.backward()\n  optimizer.step()",
        )


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number:,}{ending}"
