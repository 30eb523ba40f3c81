"""nonfinite: NaN or Inf in the loss, an activation, a gradient or a parameter, with the place where it began.

Why it matters: every number computed from a NaN is NaN. One step with a NaN gradient makes the weights NaN, and nothing
that follows can repair them. Where magnitudes grew before it, the step is too large; where they did not, an op made NaN
of ordinary numbers, or the data hold it.
When it is fine: -inf alone, as attention masks put it in front of a softmax, is no error and not accused. With mixed
precision a scaled float16 gradient may overflow now and then: GradScaler skips that step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from graphscope.rules.news import News
from graphscope.rules.nonfinite_origin import in_parameters, origin
from graphscope.rules.sizes import Sizes, growth_text, slower
from graphscope.schema import Finding


def nonfinite(news: News) -> Iterator[Finding]:
    """The first module that gave out NaN or Inf; then one sight of it for every further step that has any."""
    memory = news.memory.setdefault("nonfinite", {})
    losses = {s.step: s.scalars["loss"] for s in news.steps if not math.isfinite(s.scalars.get("loss", 0.0))}
    told: set[int] = set()
    for stats in news.stats:
        found = origin(news, stats, losses.get(stats.step))
        if found is None:
            if stats.step not in losses:
                memory.clear()  # all finite again: what comes later begins elsewhere
            continue
        told.add(stats.step)
        first = memory.get("first")
        # What was seen in the loss alone is replaced by the place, once a captured step shows it.
        # But weights that are NaN after a step whose gradients were seen to be say nothing new.
        unknown = first is not None and first.fqn == "" and not (memory.get("measured") and in_parameters(found))
        if first is None or (unknown and found.fqn != ""):
            memory["measured"] = True
            memory["first"] = first = _explained(found, news.sizes, memory.setdefault("since", stats.step))
        yield replace(first, step=stats.step)
    for step, loss in losses.items():
        if step in told:
            continue
        if "first" not in memory:
            memory["first"] = _explained(_loss_alone(step, loss), news.sizes, memory.setdefault("since", step))
        yield replace(memory["first"], step=step)


def _explained(finding: Finding, sizes: Sizes, step: int) -> Finding:
    """With what grew up to the step at which it was first seen: then the steps are too large, not the data wrong."""
    grown = sizes.grown(step)
    if not grown or finding.severity != "error":
        return finding
    advice, fix = slower(sizes, step)
    return replace(
        finding,
        title=f"Training diverged: {finding.title[0].lower() if finding.title.startswith('Loss') else finding.title[0]}"
        + finding.title[1:],
        message=f"{finding.message} {growth_text(grown)}",
        advice=advice,
        fix=fix,
    )


def _loss_alone(step: int, loss: float) -> Finding:
    """The loss of a step of which nothing else was measured."""
    what = "NaN" if math.isnan(loss) else "Inf"
    return Finding(
        rule="nonfinite",
        severity="error",
        title=f"Loss is {what}",
        message=f"The loss of step {step:,} is {what}. Nothing else was measured in that step, so the place where it "
        "began is not known; the next captured step shows what is not finite then.",
        advice="Watch every step (every=1) from shortly before to see which module gives out the first one.",
        why="Every number computed from a NaN is NaN: one such step makes the weights NaN for good.",
        step=step,
        value=loss,
    )
