"""A Trainer in a thread of its own, one batch at a time: which is all that pausing, stepping and breaking need.

The trainer is a generator and knows nothing of this. Commands only set flags that are read between batches: they may
come from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from graphscope.conditions import Condition
from graphscope.errors import CommandRefused, GraphscopeError
from graphscope.messages import TrainerState
from graphscope.session import Session
from graphscope.trainer.loop import Trainer
from graphscope.trainer.progress import Progress
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import PANEL_FIELDS, TrainerSettings
from graphscope.trainer_watch import log_result, watched

Self = TypeVar("Self", bound="TrainingThread")
RECENT = 32
"""Batches over which accuracy and speed are averaged for showing."""


class TrainingThread:
    """One use of the trainer: built when started, watched while it runs. All methods may be called from any thread."""

    def __init__(
        self,
        settings: TrainerSettings,
        objects: Mapping[str, Any] | None = None,
        watching: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.session: Session | None = None
        self.trainer: Trainer | None = None
        self.state: TrainerState = "idle"
        self.message = ""
        self.broke_at = ""
        """Module whose statistic met the condition of the last break; empty if none did."""
        self.error: BaseException | None = None
        self.evaluations: list[EvaluationResult] = []
        self._objects = dict(objects or {})
        self._watching = dict(watching or {})
        self._changed = threading.Condition()
        self._go = False
        self._single = 0
        self._stop = False
        self._condition: Condition | None = None
        self._held = False
        self._broken: tuple[str, str] | None = None
        self._changes: list[Callable[[Trainer], None]] = []
        self._progress: Progress | None = None
        self._thread: threading.Thread | None = None
        self._recent: deque[BatchResult] = deque(maxlen=RECENT)
        self._recent_rates: deque[float] = deque(maxlen=RECENT)

    # Controls.

    def start(self: Self, settings: Mapping[str, Any] | None = None) -> Self:
        """Begins, or goes on after a pause. ``settings`` (names of the panel) are taken where a training begins.

        Raises GraphscopeError for settings that cannot be used.
        """
        self._join_stopped()
        with self._changed:
            if not self.under_way:
                if settings:
                    self.settings = with_panel(self.settings, settings)
                self.settings.checked()
                self._begin()
            self._go, self._single = True, 0
            self._changed.notify_all()
        return self

    def resume(self: Self) -> Self:
        """Goes on after a pause. Raises CommandRefused where nothing is under way."""
        with self._changed:
            if not self.under_way:
                raise CommandRefused(f"resume(): no training is under way ({self.state}). start() begins one.")
            self._go, self._single = True, 0
            self._changed.notify_all()
        return self

    def restart(self: Self, settings: Mapping[str, Any] | None = None) -> Self:
        """Ends what is under way, and begins anew from the first step, in a session of its own."""
        self.stop()
        return self.start(settings)

    def pause(self) -> None:
        """Stops after the batch under way; everything is kept."""
        with self._changed:
            self._go, self._single = False, 0

    def step(self, batches: int = 1) -> None:
        """Trains so many batches, captures them, and pauses again."""
        self._join_stopped()
        with self._changed:
            if not self.under_way:
                self.settings.checked()
                self._begin()
            self._go, self._single = False, self._single + batches
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the training after the batch under way and closes its session."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def wait(self: Self, timeout: float | None = None) -> Self:
        """Waits until it has ended (or ``timeout`` seconds); raises what ended it, if an error did."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self.error is not None:
            raise self.error
        return self

    @property
    def under_way(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and self._thread.is_alive() and not self._stop

    # The thread.

    def _join_stopped(self) -> None:
        """A training that was told to stop ends before the next one begins."""
        thread = self._thread
        if thread is not None and self._stop and thread is not threading.current_thread():
            thread.join()

    def _reset(self) -> None:
        self._stop, self.error, self.message, self.state = False, None, "", "loading"
        self._held, self.broke_at, self._broken = False, "", None
        self._changes.clear()
        self.trainer = None  # the session stays to be looked at until the next one begins
        self.evaluations = []
        self._recent.clear()
        self._recent_rates.clear()

    def _begin(self) -> None:
        self._reset()
        self._thread = threading.Thread(target=self._work, name="graphscope-training", daemon=True)
        self._thread.start()

    def run(self: Self) -> Self:
        """Trains here instead of in a thread, with progress bars, and returns when it has ended; raises what ended it.

        Pausing and stopping then are for other threads.
        """
        with self._changed:
            if self.under_way:
                raise CommandRefused("run(): a training is under way in its thread. wait() for it, or stop() it.")
            self.settings.checked()
            self._reset()
            self._thread = threading.current_thread()
            self._go, self._single = True, 0
        try:
            self._work(bars=True)
        finally:
            self._thread = None
        if self.error is not None:
            raise self.error
        return self

    def _work(self, bars: bool = False) -> None:
        try:
            self.trainer = trainer = Trainer(self.settings, **self._objects)
            self.settings = trainer.settings
            if self._condition is not None:
                check_condition(self._condition, trainer)
            self._progress = Progress(trainer) if bars else None
            with watched(trainer, **self._watching) as session:
                session.trainer = self
                self.session = session
                for result in self._batches(trainer):
                    self._take(session, result)
            self.state = "stopped" if self._stop else "finished"
            self.message = trainer.stopped or ""
        except KeyboardInterrupt as error:  # only in run()
            self.error, self.state, self.message = error, "stopped", "interrupted"
        except GraphscopeError as error:
            self.error, self.state, self.message = error, "failed", str(error)
        except BaseException as error:
            self.error, self.state, self.message = error, "failed", f"{type(error).__name__}: {error}"
        finally:
            if self._progress is not None:
                self._progress.close()

    def _batches(self, trainer: Trainer) -> Any:
        """The trainer's results, fetched one by one when they may be."""
        batches: Any = trainer.batches()
        try:
            while self._may_go_on():
                result = next(batches, None)
                if result is None:
                    return
                yield result
        finally:
            batches.close()

    def _may_go_on(self) -> bool:
        """Waits while paused; False when it is to stop."""
        with self._changed:
            while not (self._go or self._single or self._stop):
                self.state = "paused"
                if self._broken is not None:
                    (self.message, self.broke_at), self._broken = self._broken, None
                self._changed.wait()
            if self._stop:
                return False
            wanted = self._condition is not None and self._condition.needs_statistics
            if self._single and not self._go:
                self._single -= 1
                wanted = True
            if wanted and self.session is not None:
                self.session.capture_next()
            self.state, self.message, self.broke_at = "training", "", ""
            self._change()
            return True

    def _change(self) -> None:
        """What was asked for while a batch was under way."""
        for change in self._changes:
            try:
                if self.trainer is not None:
                    change(self.trainer)
            except GraphscopeError as error:
                self.message = str(error)
        self._changes.clear()

    def _take(self, session: Session, result: BatchResult | EvaluationResult) -> None:
        log_result(session, result)
        if self._progress is not None:
            self._progress.show(result)
        if isinstance(result, EvaluationResult):
            self.evaluations.append(result)
        else:
            self._recent.append(result)
            self._recent_rates.append(result.images / result.seconds if result.seconds > 0 else 0.0)
            self._break_if_it_holds(session, result)

    def _break_if_it_holds(self, session: Session, result: BatchResult) -> None:
        """Pauses where the condition holds and did not behind the batch before."""
        condition = self._condition
        if condition is None:
            return
        run = session.run if condition.needs_statistics else None
        scalars = {
            "loss": result.loss, "accuracy": result.accuracy, "lr": result.lr, "epoch": float(result.epoch + 1),
            "step": float(result.step),
        }  # fmt: skip
        held = condition.held(run, result.step, scalars)
        with self._changed:
            if self._condition is not condition:
                return  # another was set meanwhile
            before, self._held = self._held, held is not None
            if held is None or before:
                return
            self._go, self._single = False, 0
            self._broken = f"Paused at step {result.step}: {held.text}", _module_of(held.fqn, self.trainer)


def _module_of(fqn: str, trainer: Trainer | None) -> str:
    """A module's path as it is; of a parameter its module's."""
    modules = {} if trainer is None else dict(trainer.model.named_modules())
    return fqn if fqn in modules else fqn.rpartition(".")[0]


def check_condition(condition: Condition, trainer: Trainer) -> None:
    """Raises UnknownAddress for an address that the trainer's network does not have."""
    modules = [name for name, _ in trainer.model.named_modules()]
    condition.check(modules, [name for name, _ in trainer.model.named_parameters()])


def with_panel(settings: TrainerSettings, given: Mapping[str, Any]) -> TrainerSettings:
    """Settings with what a page set: only numbers and names out of the menus, never a path or a name to import."""
    TrainerSettings.from_dict(given, allowed=PANEL_FIELDS)
    merged = {**settings.to_dict(), **given}
    if given.get("model", settings.model) != settings.model:
        # What suits another network: a learning rate that the last one resolved to is not meant for it.
        usual = {"lr": None, "optimizer": "auto", "schedule": "auto"}
        merged |= {name: default for name, default in usual.items() if name not in given}
    elif given.get("optimizer", settings.optimizer) != settings.optimizer and "lr" not in given:
        merged["lr"] = None
    return TrainerSettings.from_dict(merged)
