"""Anomalies -> captured steps: the step in which one is seen, as far as it still can be, and the next ones in full."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

from torch import Tensor

from graphscope.capture.plan import Schedule
from graphscope.capture.sentinel import BURST, EVERY, Sentinel, norm_of
from graphscope.capture.summary import stays
from graphscope.schema import Note


class Bursts:
    """Asks the sentinel about each step and makes the schedule capture what follows an anomaly."""

    def __init__(self, schedule: Schedule, whole: bool = True) -> None:
        self._schedule = schedule
        self._whole = whole
        """Whether captured steps have the norm of all gradients, so that sampled ones are the same series."""
        self.on_anomaly: Callable[[], None] = lambda: None
        self._sentinel = Sentinel()
        self._arrived: deque[tuple[int, float]] = deque(maxlen=1024)
        self._norm: float | None = None
        self._norm_cost = 0.0
        self._norm_due = 0.0
        self._loss_seen = False
        self._why: str | None = None

    def before_step(
        self, step: int, loss: float | None, gradients: Callable[[], Iterable[Tensor]] | None, one: Tensor | None
    ) -> bool:
        """At the optimizer's step -> whether to measure parameters, gradients and updates of this very step.

        ``gradients`` makes the parameters' gradients; None where they are measured anyway. ``one`` is one of them.
        """
        while self._arrived:
            self._why = self._why or self._sentinel.loss(*self._arrived.popleft())
        if loss is not None and not self._loss_seen:
            self._loss_seen = True
            self._why = self._why or self._sentinel.loss(step, loss)
        if loss is None and one is not None and not stays(one):
            self._why = self._why or self._sentinel.gradient(step, one)
        if gradients is not None and self._wants_norm():
            started = time.perf_counter()
            self._norm = norm_of(gradients())
            seconds = time.perf_counter() - started
            self._norm_cost = 0.9 * self._norm_cost + 0.1 * seconds if self._norm_cost else seconds
            if self._norm is not None:
                self._why = self._why or self._sentinel.gradient_norm(step, self._norm)
        return self._why is not None

    def within_step(self, step: int, loss: float | None, skipped: int, first: bool) -> list[Note]:
        """At another pass of a step -> the note of a burst that begins here.

        Where a GradScaler skips the update, no optimizer step asks ``before_step``. ``loss`` is that of the pass
        before, if it is known; ``skipped`` updates came in a row, ``first`` if none was ever made before.
        """
        why = self._sentinel.loss(step, loss) if loss is not None and not math.isfinite(loss) else None
        whys = [text for text in (why, self._sentinel.skipped(step, skipped, first)) if text is not None]
        if not whys:
            return []
        self._schedule.capture_next(BURST + 1)  # the step under way is one of them
        self.on_anomaly()
        text = f"Burst: {'; '.join(whys)}. Its next passes and the {BURST} steps after it are captured in full."
        return [Note(severity="warning" if skipped else "info", step=step, text=text)]

    def arrived(self, step: int, loss: float) -> None:
        """A loss that was on a device, some steps later, on another thread."""
        self._arrived.append((step, loss))

    def end_step(self, step: int, scalars: dict[str, float], captured: list[int]) -> list[Note]:
        """When a step is over -> the note of a burst that begins. Adds ``grad_norm`` where it was sampled.

        ``captured`` are the last captured steps, this one included if it is one.
        """
        norm, self._norm = self._norm, None
        if norm is not None and self._whole:
            scalars.setdefault("grad_norm", norm)
        elif "grad_norm" in scalars and self._whole:
            self._why = self._why or self._sentinel.gradient_norm(step, scalars["grad_norm"])
        if "loss" in scalars and not self._loss_seen:
            self._why = self._why or self._sentinel.loss(step, scalars["loss"])
        why, self._why, self._loss_seen = self._why, None, False
        if why is None:
            return []
        this_too = captured[-1:] == [step]  # the schedule counts a captured step when it is over
        self._schedule.capture_next(BURST + this_too)
        self.on_anomaly()
        before = (
            f"; captured before: {len(captured)} of the steps {captured[0]:,} to {captured[-1]:,}" if captured else ""
        )
        return [Note(
            severity="info", step=step,
            text=f"Burst: {why}. Steps {step + 1:,} to {step + BURST:,} are captured in full{before}.",
        )]  # fmt: skip

    def _wants_norm(self) -> bool:
        """At most one step in ``EVERY``, and less often where the norm would take over a quarter of the budget."""
        allowed = self._schedule.allowance / 4
        self._norm_due += min(1 / EVERY, allowed / self._norm_cost if self._norm_cost else math.inf)
        if self._norm_due < 1:
            return False
        self._norm_due -= 1
        return True
