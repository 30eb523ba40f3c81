"""Loss of each step, gradient norm of some -> when something is wrong, and why: the next steps are captured in full.

An anomaly is a loss or a gradient norm that is NaN or Inf for the first time, or far above what it was lately. Both are
numbers that the step has made anyway: the loss that the tap read, what the user logs as ``loss``, and at one step in
eight, as far as the budget allows, the norm of the parameters' gradients. Where not even the loss fits into the budget
(a step of half a millisecond), one number of one gradient is looked at: a loss that is NaN makes all of them NaN.
Nothing here waits for a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from graphscope.capture import native
from graphscope.capture.summary import dense, stays, why_not

BURST = 8
"""Steps captured in full after an anomaly."""
QUIET = 256
"""Steps without another burst after one: a training that goes on oscillating is captured as the schedule says."""
MEMORY = 0.05
"""Weight of the newest loss in the running mean and the running mean deviation."""
SETTLED = 20
"""Losses after which a spike can be told from a beginning."""
DEVIATIONS = 10.0
"""A spike is this many mean deviations above the mean, and at least its double."""
NORMS, FEWEST_NORMS, JUMP = 32, 8, 10.0
"""A jump is ten times the 95th percentile of the last 32 gradient norms, once eight are known."""
_C_TYPES = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
SKIPS, FIRST_SKIPS = 3, 17
"""Updates skipped in a row that are no more a GradScaler's search for its scale: it halves the scale at each, and grows
it by two; before the first update it may have to come from 65,536 down to 1."""
EVERY = 8
"""Gradient norms are taken at most at one step in so many."""


class Sentinel:
    """What a training looked like lately, and whether this step is unlike it."""

    def __init__(self) -> None:
        self._mean = self._deviation = 0.0
        self._losses = 0
        self._norms: deque[float] = deque(maxlen=NORMS)
        self._finite = {"loss": True, "gradient norm": True, "gradient": True}
        self._quiet_until = self._skips_quiet_until = -1

    def loss(self, step: int, loss: float) -> str | None:
        """The loss of a step -> what is wrong with it, or None."""
        if (odd := self._nonfinite("loss", step, loss)) is not None:
            return odd
        if not math.isfinite(loss):
            return None
        mean, above = self._mean, loss - self._mean
        spike = self._losses >= SETTLED and above > max(DEVIATIONS * self._deviation, abs(mean))
        if not self._losses:
            self._mean = loss
        else:
            # A spike must not hide the next one: it counts no more than what is just not one.
            moved = min(above, max(DEVIATIONS * self._deviation, abs(mean))) if self._losses >= SETTLED else above
            weight = max(MEMORY, 1 / (self._losses + 1))
            self._mean += weight * moved
            self._deviation += weight * (abs(moved) - self._deviation)
        self._losses += 1
        return (
            self._told(step, f"the loss of step {step:,} is {loss:.4g}, after {mean:.4g} on average") if spike else None
        )

    def skipped(self, step: int, count: int, first: bool) -> str | None:
        """Updates skipped in a row before a step -> what is wrong, or None. ``first``: there was no step yet."""
        if count < (FIRST_SKIPS if first else SKIPS) or step <= self._skips_quiet_until:
            return None
        self._skips_quiet_until = step + QUIET
        return (
            f"{count} updates in a row were skipped at step {step:,} (gradients were cleared and no optimizer "
            "stepped), as a GradScaler does where gradients are not finite"
        )

    def gradient_norm(self, step: int, norm: float) -> str | None:
        """The norm of all parameters' gradients of a step -> what is wrong with it, or None."""
        if (odd := self._nonfinite("gradient norm", step, norm)) is not None:
            return odd
        if not math.isfinite(norm):
            return None
        limit = JUMP * float(np.quantile(self._norms, 0.95)) if len(self._norms) >= FEWEST_NORMS else math.inf
        self._norms.append(norm)
        if norm <= limit or limit == 0:
            return None
        return self._told(
            step, f"the gradient norm of step {step:,} is {norm:.4g}, ten times and more what it was lately"
        )

    def gradient(self, step: int, gradient: Tensor) -> str | None:
        """A gradient on the CPU of which one number is read -> what is wrong with it, or None."""
        if gradient.layout != torch.strided or type(gradient) is not Tensor or not gradient.numel():
            return None
        if not gradient.untyped_storage().nbytes():
            return None  # sharded training gave its memory back
        kind = _C_TYPES.get(gradient.dtype)
        if kind is not None:
            value = kind.from_address(gradient.data_ptr()).value  # a hundredth of the time of reading it through torch
        else:
            value = float(gradient.detach().reshape(-1)[0])
        return self._nonfinite("gradient", step, value)

    def _nonfinite(self, what: str, step: int, value: float) -> str | None:
        before, self._finite[what] = self._finite[what], math.isfinite(value)
        if self._finite[what] or not before:
            return None
        return self._told(step, f"the {what} of step {step:,} is {'NaN' if math.isnan(value) else 'Inf'}")

    def _told(self, step: int, text: str) -> str | None:
        if step <= self._quiet_until:
            return None
        self._quiet_until = step + QUIET
        return text


def norm_of(gradients: Iterable[Tensor]) -> float | None:
    """Euclidean norm over all gradients on the CPU that have values to read; None if there are none.

    NaN or Inf in one of them makes it NaN or Inf.
    """
    readable = [dense(g) for g in gradients if not stays(g) and not why_not(g) and g.numel()]
    if not readable:
        return None
    with torch.no_grad():
        if all(map(native.reads, readable)):
            values, _ = native.statistics_of_many(readable, False)
            if values[:, 7].any():
                return math.nan
            if values[:, 8:10].any():
                return math.inf
            return math.sqrt(float((values[:, 5] ** 2).sum()))
        return math.sqrt(sum(float(torch.linalg.vector_norm(g.detach().double())) ** 2 for g in readable))
