"""What is captured, and when: selection by module path and role, and a schedule that keeps a budget of step time."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from graphscope.errors import UnknownName, did_you_mean
from graphscope.schema import DENSE_STEPS, LOG_SPACED, ROLES

OP_GRADIENT = "op_gradient"
"""Beside the roles of statistics: the gradient that flowed through each op."""
WATCHED = (*ROLES, OP_GRADIENT)
"""What ``watch(roles=)`` takes."""
Every = str | int | Callable[[int], bool]

FLOOR_SECONDS = 20e-6
"""Least time a step that watching may take: below it a budget of a tiny step could never be kept."""
WINDOW = 64


@dataclass(frozen=True)
class Selection:
    """Which modules and which roles have statistics taken."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    roles: tuple[str, ...] = WATCHED
    named: bool = False
    """Whether the roles were given by name: then each is measured at every captured step."""

    @classmethod
    def of(
        cls, include: str | Sequence[str] | None, exclude: str | Sequence[str] | None, roles: Sequence[str] | None
    ) -> Selection:
        """Arguments of ``watch`` -> a Selection. Raises UnknownName for a role that does not exist."""

        def globs(given: str | Sequence[str] | None) -> tuple[str, ...]:
            return () if given is None else (given,) if isinstance(given, str) else tuple(given)

        wanted = tuple(WATCHED if roles is None else [roles] if isinstance(roles, str) else roles)
        for role in wanted:
            if role not in WATCHED:
                raise UnknownName(
                    f"watch(roles={list(wanted)!r}): no role is called {role!r}. "
                    f"Roles: {', '.join(WATCHED)}.{did_you_mean(str(role), WATCHED)}"
                )
        return cls(globs(include), globs(exclude), wanted, roles is not None)

    def wants(self, name: str) -> bool:
        """Whether a module path or parameter name is included and not excluded, by globs such as ``layer1.*``."""
        if self.include and not any(fnmatch.fnmatchcase(name, glob) for glob in self.include):
            return False
        return not any(fnmatch.fnmatchcase(name, glob) for glob in self.exclude)

    def checked(self, names: Collection[str]) -> list[str]:
        """The globs of ``exclude`` that match none of the module paths and parameter names.

        Raises UnknownName for a glob of ``include`` that matches none: nothing would be recorded.
        """

        def idle(globs: Iterable[str]) -> list[str]:
            return [glob for glob in globs if not any(fnmatch.fnmatchcase(name, glob) for name in names)]

        if missing := idle(self.include):
            shown = ", ".join(list(names)[1:6])
            raise UnknownName(
                f"watch(include={missing[0]!r}): no module path or parameter name matches. Wanted a glob of names such "
                f"as {shown}; model.named_modules() lists them.{did_you_mean(missing[0], list(names))}"
            )
        return idle(self.exclude)

    @property
    def activations(self) -> bool:
        return "activation" in self.roles

    @property
    def gradients(self) -> bool:
        return "gradient" in self.roles

    @property
    def is_whole(self) -> bool:
        """Whether every parameter's gradient is measured, so that their norm is that of the model."""
        return not self.include and not self.exclude and "parameter_gradient" in self.roles

    @property
    def op_gradients(self) -> bool:
        return OP_GRADIENT in self.roles

    @property
    def layers(self) -> bool:
        """Whether probes look into layers: what they record is about activations."""
        return self.activations


STRUCTURE_ONLY = Selection(roles=())
"""The graph and no statistics."""


def checked_every(every: object) -> Every:
    """The argument of ``watch`` as it can be used. Raises UnknownName for anything else."""
    if every == "auto" or callable(every):
        return every
    if isinstance(every, int) and not isinstance(every, bool) and every >= 1:
        return every
    raise UnknownName(
        f'watch(every={every!r}): wanted "auto", a whole number of steps from 1 up, '
        "or a function of the step number that says whether to capture it."
    )


def measures_ops(selection: Selection, schedule: Schedule, captured_steps: int) -> bool:
    """Whether the gradients of ops are measured at the step under way.

    They are a third of what a captured step of a Transformer takes. So, unless they were asked for by name, only where
    the budget bounds what watching takes, at the first captured step, and at a step that somebody asks for.
    """
    due = selection.named or schedule.every == "auto" or schedule.forced or not captured_steps
    return selection.op_gradients and due


class Schedule:
    """Decides for each step whether to capture it, from what watching took so far."""

    def __init__(self, every: Every = "auto", budget: float = 0.01) -> None:
        self.every = every
        self.budget = budget
        self._forced = 0
        self._capture_cost = 0.0
        self._light_cost = 0.0
        self._light_due = 0.0
        self._light_taken = False
        self._step_seconds = 0.0
        self._credit = 0.0
        self._debt = 0.0
        self._recent: deque[tuple[float, float, bool]] = deque(maxlen=WINDOW)
        self._trace_debt = 0.0

    def capture_next(self, steps: int = 1) -> None:
        """Capture the coming steps whatever the schedule says."""
        self._forced = max(self._forced, steps)

    @property
    def forced(self) -> bool:
        """Whether the coming step is captured whatever the schedule says."""
        return self._forced > 0

    def wants(self, step: int) -> bool:
        """Whether the step that begins now is captured."""
        if self._forced > 0:
            return True
        if callable(self.every):
            return bool(self.every(step))
        if isinstance(self.every, int):
            return step % self.every == 0
        return is_warm_up(step) or self._credit >= self._capture_cost

    @property
    def allowance(self) -> float:
        """Seconds that the budget gives to a step."""
        return max(self.budget * self._step_seconds, FLOOR_SECONDS)

    def affords(self, seconds: float) -> bool:
        """Whether something that takes this long in every step fits beside the captures."""
        return not self._step_seconds or seconds <= self.allowance / 2

    def affords_trace(self, step: int) -> bool:
        """Whether one more pass may be recorded that was not due: when the one before is paid for."""
        return step <= max(LOG_SPACED) or self._trace_debt <= 0.0

    def wants_loss(self) -> bool:
        """Whether the loss of an uncaptured pass is read: always if it fits into half the budget, else now and then."""
        allowed = self.allowance / 2
        self._light_due += min(1.0, allowed / self._light_cost) if self._light_cost else 1.0
        taken = self._light_due >= 1.0
        if taken:
            self._light_due -= 1.0
            self._light_taken = True
        return taken

    def account(
        self, step: int, captured: bool, step_seconds: float | None, self_seconds: float, traced_seconds: float = 0.0
    ) -> None:
        """What a step took in all and what of it was ours; ``traced_seconds`` apart, for a graph recorded unplanned."""
        if captured:
            self._forced = max(0, self._forced - 1)
            # The worst of recent costs, forgotten slowly: one cheap capture must not lead to a burst of dear ones.
            self._capture_cost = max(self_seconds, 0.9 * self._capture_cost)
        elif self._light_taken:
            self._light_cost = 0.9 * self._light_cost + 0.1 * self_seconds if self._light_cost else self_seconds
        self._light_taken = False
        if step_seconds is None:
            return
        own = max(step_seconds - self_seconds - traced_seconds, 0.0)
        self._step_seconds = 0.9 * self._step_seconds + 0.1 * own if self._step_seconds else own
        self._recent.append((own, self_seconds + traced_seconds, not (self.every == "auto" and is_warm_up(step))))
        if step >= DENSE_STEPS:
            earned = max(self.budget * own, FLOOR_SECONDS)
            most = max(self._capture_cost, earned) * 1.001
            # Half of what is earned is kept for captures: where the bookkeeping of a tiny step alone takes the budget,
            # a view would else stand still after the first steps for good.
            self._debt = min(self._debt + (0.0 if captured else self_seconds), self._capture_cost + earned)
            repaid = min(self._debt, earned / 2)
            self._debt -= repaid
            self._trace_debt += traced_seconds
            trace_repaid = min(self._trace_debt, earned / 4)
            self._trace_debt -= trace_repaid
            spent = repaid + trace_repaid + (self_seconds if captured else 0.0)
            self._credit = min(self._credit + earned - spent, most)
            if step <= max(LOG_SPACED):
                self._credit = max(self._credit, 0.0)  # the first captures are not paid back later

    @property
    def overhead(self) -> float | None:
        """Share of step time that watching took over the last steps; None before the first step."""
        return _share((own, ours) for own, ours, _ in self._recent)

    @property
    def steady_overhead(self) -> float | None:
        """The same without the first steps, which "auto" captures at any price; None while there are no others."""
        return _share((own, ours) for own, ours, steady in self._recent if steady)


def is_warm_up(step: int) -> bool:
    """Whether "auto" captures a step whatever it costs."""
    return step <= DENSE_STEPS or step in LOG_SPACED


def _share(steps: Iterable[tuple[float, float]]) -> float | None:
    total, taken = 0.0, 0.0
    for own, ours in steps:
        total, taken = total + own, taken + ours
    return taken / total if total > 0 else None
