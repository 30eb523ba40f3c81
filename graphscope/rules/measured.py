"""What was measured of one step -> what a Finding may say of it: no more than that.

Activations are recorded for the last pass of a step alone, and not at all where a step was recorded only because its
gradient came out NaN: then they were gone before anybody asked for them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from graphscope.rules.news import News
from graphscope.rules.sizes import LOSS
from graphscope.schema import ROLES, StepStats

WATCH_NEXT = (
    "To see where it begins, watch every step (every=1) from shortly before, or call session.capture_next() before "
    "a step that you expect to do it."
)
"""What to do where nothing recorded shows the place."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of one step beside what is not finite."""

    activations: bool
    """Outputs of modules, of its last pass."""
    gradients: bool
    """Gradients of those."""
    finite_loss: bool
    """A loss that is finite, of its last pass."""
    passes: int
    """Passes with gradients in it, as far as known; 1 where nothing says more."""

    @property
    def gap(self) -> str:
        """What was not measured, as a sentence; empty where nothing was left out."""
        if not self.activations:
            return "Activations of this step were not measured, so where it began is not known."
        if self.passes > 1:
            return f"Of the {self.passes:,} passes of this step only the last one's activations are kept."
        return ""

    @property
    def last_pass(self) -> str:
        """Which pass what is recorded belongs to, to be put behind a step's number."""
        return f", in the last of its {self.passes:,} passes" if self.passes > 1 else ""

    def finite(self, *asked: str) -> str:
        """Those of ``activations``, ``loss`` and ``gradients`` that were measured, for who found them finite."""
        known = {"activations": self.activations, "loss": self.finite_loss, "gradients": self.gradients}
        return ", ".join(name for name in asked if known[name])


def measured(news: News, stats: StepStats) -> Measured:
    """What is known of the step of these statistics."""
    roles = {ROLES[role] for role in set(stats.role.tolist()) if role < len(ROLES)}
    return Measured(
        activations="activation" in roles,
        gradients="gradient" in roles,
        finite_loss=news.sizes.at(LOSS, stats.step) is not None,
        passes=max(_passes(news, stats.step), stats.pass_index + 1),
    )


def _passes(news: News, step: int) -> int:
    """Forwards with gradients in a step, by its record; 1 where that is not there (yet)."""
    records = news.run.step_records
    at = bisect_left(records, step, key=lambda one: one.step)
    return max(records[at].passes, 1) if at < len(records) and records[at].step == step else 1
