"""A Trainer in a thread of its own, one batch at a time: which is all that pausing, stepping and breaking need.

The trainer is a generator and knows nothing of this. Commands only set flags that are read between batches: they may
come from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from graphscope.conditions import Condition
from graphscope.errors import GraphscopeError
from graphscope.messages import TrainerState
from graphscope.session import Session
from graphscope.trainer.loop import Trainer
from graphscope.trainer.optimizers import has_momentum
from graphscope.trainer.progress import Progress
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import TrainerSettings
from graphscope.trainer_watch import log_result, watched
from graphscope.training_layers import Arrival, Stop, checked_stop, in_words, told_by_layers
from graphscope.training_samples import SampleMaker

RECENT = 32
"""Batches over which accuracy and speed are averaged for showing."""
PAUSED_SECONDS = 0.5
"""How often a paused training looks whether somebody wants to see samples."""


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
        self.at_layer, self.at_direction = "", ""
        """While it is paused inside a step: module path of the layer just reached, and forward or backward."""
        self.error: BaseException | None = None
        self.evaluations: list[EvaluationResult] = []
        self._objects = dict(objects or {})
        self._watching = dict(watching or {})
        self._changed = threading.Condition()
        self._go = False
        self._single = 0
        self._layer: Stop | None = None
        self._inside = False
        self._stop = False
        self._condition: Condition | None = None
        self._held = False
        self._broken: tuple[str, str] | None = None
        self._changes: list[Callable[[Trainer], None]] = []
        self._samples: SampleMaker | None = None
        self._progress: Progress | None = None
        self._thread: threading.Thread | None = None
        self._recent: deque[BatchResult] = deque(maxlen=RECENT)
        self._recent_rates: deque[float] = deque(maxlen=RECENT)

    @property
    def under_way(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread is not None and self._thread.is_alive() and not self._stop

    # The thread.

    def _reset(self) -> None:
        self._stop, self.error, self.message, self.state = False, None, "", "loading"
        self._held, self.broke_at, self._broken = False, "", None
        self._layer, self._inside, self.at_layer, self.at_direction = None, False, "", ""
        self._changes.clear()
        self._samples = None
        self.trainer = None  # the session stays to be looked at until the next one begins
        self.evaluations = []
        self._recent.clear()
        self._recent_rates.clear()

    def _begin(self) -> None:
        self._reset()
        self._thread = threading.Thread(target=self._work, name="graphscope-training", daemon=True)
        self._thread.start()

    def _work(self, bars: bool = False) -> None:
        try:
            trainer = self._build()
            self._samples = SampleMaker(trainer)
            if self._condition is not None:
                check_condition(self._condition, trainer)
            self._progress = Progress(trainer) if bars else None
            with watched(trainer, **self._watching) as session:
                session.trainer = self
                self.session = session
                for result in self._batches(trainer):
                    self._take(session, result)
                self._samples.make(resting=True)
            self.state = "stopped" if self._stop or trainer.stopped else "finished"
            self.message = f"Stopped early: {trainer.stopped}." if trainer.stopped else ""
        except KeyboardInterrupt as error:  # only in run()
            self.error, self.state, self.message = error, "stopped", "interrupted"
        except GraphscopeError as error:
            self.error, self.state, self.message = error, "failed", str(error)
        except BaseException as error:
            self.error, self.state, self.message = error, "failed", f"{type(error).__name__}: {error}"
        finally:
            if self._progress is not None:
                self._progress.close()

    def _build(self) -> Trainer:
        """The trainer; a rate or momentum that was asked for while it was being built is its own from the start."""
        asked = self.settings
        trainer = Trainer(asked, **self._objects)
        with self._changed:
            now = {name: getattr(self.settings, name) for name in ("lr", "momentum")}
            meanwhile = {name: value for name, value in now.items() if value != getattr(asked, name)}
            self.trainer, self.settings = trainer, replace(trainer.settings, **meanwhile)
            if "lr" in meanwhile:
                trainer.set_lr(meanwhile["lr"])
            if "momentum" in meanwhile and has_momentum(trainer.optimizers):
                trainer.set_momentum(meanwhile["momentum"])
            if self._layer is not None:
                checked_stop(*self._layer, trainer.model)
        return trainer

    def _batches(self, trainer: Trainer) -> Any:
        """The trainer's results, fetched one by one when they may be."""
        batches: Any = trainer.batches()
        try:
            while self._may_go_on():
                wanted = self._layer
                with self._stops(trainer):
                    result = next(batches, None)
                if result is None:
                    return
                if isinstance(result, BatchResult):
                    self._passed_by(wanted, result.step)
                yield result
        finally:
            batches.close()

    def _may_go_on(self) -> bool:
        """Waits while paused; False when it is to stop."""
        with self._changed:
            while not self._asked():
                self.state = "paused"
                if self._broken is not None:
                    (self.message, self.broke_at), self._broken = self._broken, None
                if self._samples is not None:
                    self._samples.make(resting=True)
                # A page that opens meanwhile wants to see what the network says.
                self._changed.wait(PAUSED_SECONDS)
            if self._stop:
                return False
            wanted = self._condition is not None and self._condition.needs_statistics
            if self._single and not self._go:
                self._single -= 1
                wanted = True
            wanted = wanted or self._layer is not None
            if wanted and self.session is not None:
                self.session.capture_next()
            self.state, self.message, self.broke_at = "training", "", ""
            self._change()
            return True

    def _asked(self) -> bool:
        """Whether there is something to do but wait."""
        return self._go or self._single > 0 or self._layer is not None or self._stop

    # Inside a step.

    def _stops(self, trainer: Trainer) -> AbstractContextManager[None]:
        self._inside = False
        return nullcontext() if self._layer is None else told_by_layers(trainer.model, self._arrived)

    def _arrived(self, arrival: Arrival) -> None:
        """Waits where the step was to stop, on the thread that trains, until something else is asked for."""
        with self._changed:
            if self._layer is None or self._stop or not self._layer.is_at(arrival):
                return
            self._layer, self._inside = None, True
            step = self.trainer.step if self.trainer is not None else 0
            self.message = f"Paused in step {step}, after {_name(arrival)}: {in_words(arrival)}"
            self.at_layer, self.at_direction, self.state = arrival.fqn, arrival.direction, "paused"
            while not self._asked():
                self._changed.wait()
            if self._single and not self._go:
                self._single -= 1  # the rest of this step
            self.state, self.message, self.at_layer, self.at_direction = "training", "", "", ""

    def _passed_by(self, wanted: Stop | None, step: int) -> None:
        """Pauses behind a whole step that did not reach its stop; one asked for within the step is for the next."""
        with self._changed:
            if wanted is not None and self._layer is wanted:
                self._layer, self._broken = None, (f"Step {step} did not reach {wanted}.", "")

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
            if not self._inside:  # the wait at a layer is no time of the step's
                self._recent_rates.append(result.images / result.seconds if result.seconds > 0 else 0.0)
            if self._samples is not None:
                self._samples.make()
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


def _name(arrival: Arrival) -> str:
    return f"{arrival.fqn or 'the network'}'s {arrival.direction}"


def _module_of(fqn: str, trainer: Trainer | None) -> str:
    """A module's path as it is; of a parameter its module's."""
    modules = {} if trainer is None else dict(trainer.model.named_modules())
    return fqn if fqn in modules else fqn.rpartition(".")[0]


def check_condition(condition: Condition, trainer: Trainer) -> None:
    """Raises UnknownAddress for an address that the trainer's network does not have."""
    modules = [name for name, _ in trainer.model.named_modules()]
    condition.check(modules, [name for name, _ in trainer.model.named_parameters()])
