"""StepStats and StepRecords -> how large outputs, gradients, weights, updates and the loss were, and what grew."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphscope.run.addresses import Addresses
from graphscope.schema import ROLES, StepRecord, StepStats

OUTPUT, WEIGHTS, GRADIENT, UPDATE, LOSS, RATE = "output", "weights", "gradient", "update", "loss", "lr"
NAMES = {
    OUTPUT: "the model's outputs (largest magnitude)",
    WEIGHTS: "its parameters (norm)",
    GRADIENT: "their gradients (norm)",
    LOSS: "the loss",
}
"""What of a step is compared with its start, in the order in which it is told."""
GREW = 1e3
"""Times its start from which on a magnitude is said to have grown: as a gradient norm of 1,000 times its median."""
LOSS_ROSE = 3.0
"""Times its start that the loss must have reached: 3 times the best was never seen in a healthy run."""

Series = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
_NORMS = {WEIGHTS: "parameter", GRADIENT: "parameter_gradient", UPDATE: "update"}


@dataclass(frozen=True, slots=True)
class Growth:
    """One magnitude at its start and at its end."""

    what: str
    start: float
    start_step: int
    end: float
    end_step: int

    def __str__(self) -> str:
        return (
            f"{NAMES[self.what]} from {self.start:.3g} at step {self.start_step:,} "
            f"to {self.end:.3g} at step {self.end_step:,}"
        )


class Sizes:
    """One number a captured step for outputs, weights, gradients and updates, and the loss of every step."""

    def __init__(self) -> None:
        self._steps = {name: array("q") for name in (*NAMES, UPDATE, RATE)}
        self._values = {name: array("d") for name in (*NAMES, UPDATE, RATE)}
        self._roots: dict[int, bool] = {}

    def add(self, stats: StepStats, table: Addresses) -> None:
        """Takes the statistics of one step in; what is not measured or nowhere finite is left out."""
        rows = np.flatnonzero(stats.role == ROLES.index("activation"))
        numbers = stats.address[rows].tolist()
        root = [row for row, number in zip(rows.tolist(), numbers, strict=True) if self._is_root(number, table)]
        self._put(OUTPUT, stats.step, max((float(v) for v in stats.absmax[root] if v == v), default=math.nan))
        for name, role in _NORMS.items():
            norms = stats.l2[(stats.role == ROLES.index(role)) & np.isfinite(stats.l2)]
            self._put(name, stats.step, float(np.linalg.norm(norms)) if len(norms) else None)

    def add_step(self, step: StepRecord) -> None:
        """Takes the loss and the learning rate of one step in."""
        self._put(LOSS, step.step, step.scalars.get("loss"))
        self._put(RATE, step.step, step.scalars.get("lr"))

    def series(self, name: str, until: int | None = None) -> Series:
        """Steps, up to one, at which a magnitude is known and finite, and its values."""
        steps, values = np.array(self._steps[name], np.int64), np.array(self._values[name], np.float64)
        keep = slice(None) if until is None else steps <= until
        return steps[keep], values[keep]

    def change(self, name: str, until: int) -> Growth | None:
        """The first value of a magnitude and its last one up to a step; None where nothing is known."""
        last = bisect_right(self._steps[name], until) - 1
        if last < 0:
            return None
        steps, values = self._steps[name], self._values[name]
        return Growth(name, values[0], steps[0], values[last], steps[last])

    def at(self, name: str, step: int) -> float | None:
        """A magnitude at one step."""
        change = self.change(name, step)
        return change.end if change is not None and change.end_step == step else None

    def grown(self, until: int) -> list[Growth]:
        """What grew by GREW up to a step; empty where the loss is known and did not rise with it."""
        loss = self.series(LOSS, until)[1]
        if len(loss) > 1 and loss[-1] - _start(loss) <= (LOSS_ROSE - 1) * abs(_start(loss)):
            return []
        found = (self._growth(name, until) for name in NAMES)
        return [growth for growth in found if growth is not None]

    def _growth(self, name: str, until: int) -> Growth | None:
        steps, values = self.series(name, until)
        if len(values) < 2:
            return None
        start = _start(values)
        if not 0 < start * GREW < values[-1]:
            return None
        at = int(np.flatnonzero(values <= start)[-1])
        return Growth(name, float(values[at]), int(steps[at]), float(values[-1]), int(steps[-1]))

    def _is_root(self, number: int, table: Addresses) -> bool:
        if number not in self._roots:
            self._roots[number] = number < len(table) and table[number].fqn == ""
        return self._roots[number]

    def _put(self, name: str, step: int, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self._steps[name].append(step)
            self._values[name].append(value)


def _start(values: npt.NDArray[np.float64]) -> float:
    """What a series began with, or is usually: the smaller one that is not 0."""
    known = [float(v) for v in (values[0], np.median(values[:-1])) if v != 0]
    return min(known, default=0.0)


def growth_text(grown: Sequence[Growth]) -> str:
    """What grew as a sentence."""
    return "Before it, values grew: " + "; ".join(map(str, grown[:3])) + "."


def slower(sizes: Sizes, step: int) -> tuple[str, str]:
    """Advice and change of code for a training whose steps are too large."""
    rates = sizes.series(RATE, step)[1]
    rate = f" (it is {rates[-1]:.3g})" if len(rates) else ""
    return (
        f"Lower the learning rate{rate}, ten times at first. If it has to be that high: clip gradients before the "
        "step, or let the rate rise over the first hundred steps (warm-up). Check too that inputs and targets are "
        "scaled.",
        "  loss.backward()\n+ torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n  optimizer.step()",
    )
