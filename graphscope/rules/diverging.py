"""diverging: the loss stays far above where it began, while the model's outputs and parameters have grown with it.

Why it matters: steps that are too large overshoot, and each one makes the next larger. Even where every number stays
finite, what was learned is lost.
When it is fine: a learning-rate sweep that is meant to end so. A loss alone that rises or swings, as those of a GAN's
networks or of reinforcement learning do, is not accused: parameters that grew tenfold with it are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from graphscope.rules.news import News
from graphscope.rules.sizes import LOSS, NAMES, OUTPUT, WEIGHTS, Growth, slower
from graphscope.schema import Finding

IN_A_ROW = 10
"""Known losses in a row that must all be far above the first one."""
LIMIT = 10.0
"""Times its start for loss, outputs and parameters alike. A loss of 3 times its best was seen in none of 34 healthy
trainings of classifiers; losses that swing by nature need more room."""


def diverging(news: News) -> Iterator[Finding]:
    """One sight for every step that ends ten such losses in a row."""
    memory = news.memory.setdefault("diverging", {"start": None, "row": deque(maxlen=IN_A_ROW)})
    row: deque[tuple[int, float]] = memory["row"]
    for step in news.steps:
        loss = step.scalars.get("loss")
        if loss is None:
            continue
        memory["start"] = start = memory["start"] or (step.step, loss)
        if not math.isfinite(loss) or not loss > LIMIT * start[1] > 0:
            row.clear()
            continue
        row.append((step.step, loss))
        if len(row) < IN_A_ROW:
            continue
        grown = [news.sizes.change(name, step.step) for name in (OUTPUT, WEIGHTS)]
        if any(one is None or not one.end > LIMIT * one.start for one in grown):
            continue
        yield _finding(news, Growth(LOSS, start[1], start[0], loss, step.step), [g for g in grown if g], row[0][0])


def _finding(news: News, loss: Growth, grown: list[Growth], first: int) -> Finding:
    times = loss.end / loss.start
    advice, fix = slower(news.sizes, loss.end_step)
    return Finding(
        rule="diverging",
        severity="error",
        title="Training diverges",
        message=f"The loss is {loss.end:.3g} at step {loss.end_step:,}, {times:,.3g} times that of step "
        f"{loss.start_step:,} ({loss.start:.3g}; limit {LIMIT:g} times, {IN_A_ROW} losses in a row). With it grew "
        + " and ".join(map(str, grown))
        + f" (limit {LIMIT:g} times).",
        advice=advice,
        why=f"Steps that are too large overshoot, and each makes the next one larger. Where {NAMES[LOSS]} alone rises "
        "or swings, as in a GAN or in reinforcement learning, it may be fine; here the parameters grew with it.",
        step=first,
        last_step=loss.end_step,
        value=times,
        limit=LIMIT,
        fix=fix,
    )
