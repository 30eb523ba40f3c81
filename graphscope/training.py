"""train(...) -> Training: the built-in trainer joined to a Session, in a thread, so that the kernel stays free.

The trainer is a generator and knows nothing of this; here it is driven one batch at a time, which is all that pausing,
stepping and stopping need. Commands only set flags that the loop reads between batches: they may come from any thread.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphscope.errors import CommandRefused, GraphscopeError, RunDirectoryError
from graphscope.messages import TrainerState, TrainerStatus
from graphscope.session import Session, watch
from graphscope.trainer.loop import Trainer
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import (
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    PANEL_FIELDS,
    SCHEDULES,
    TrainerSettings,
)

if TYPE_CHECKING:
    from graphscope.jupyter.widget import View

RECENT = 32
"""Batches over which accuracy and speed are averaged for showing."""
CHOICES = {
    "data": DATASETS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}


class Training:
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
        self.error: BaseException | None = None
        self.evaluations: list[EvaluationResult] = []
        self._objects = dict(objects or {})
        self._watching = dict(watching or {})
        self._changed = threading.Condition()
        self._go = False
        self._single = 0
        self._stop = False
        self._thread: threading.Thread | None = None
        self._recent: deque[BatchResult] = deque(maxlen=RECENT)
        self._recent_rates: deque[float] = deque(maxlen=RECENT)

    # Controls.

    def start(self, settings: Mapping[str, Any] | None = None) -> Training:
        """Begins, or goes on after a pause. ``settings`` (names of the panel) are taken where a training begins.

        Raises GraphscopeError for settings that cannot be used.
        """
        self._join_stopped()
        with self._changed:
            if not self.under_way:
                if settings:
                    self.settings = _with_panel(self.settings, settings)
                self.settings.checked()
                self._begin()
            self._go, self._single = True, 0
            self._changed.notify_all()
        return self

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

    def wait(self, timeout: float | None = None) -> Training:
        """Waits until it has ended (or ``timeout`` seconds); raises what ended it, if an error did."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self.error is not None:
            raise self.error
        return self

    def set_lr(self, lr: float) -> None:
        """Another learning rate, taken at the next batch. Raises CommandRefused for one that cannot be used."""
        if not (isinstance(lr, int | float) and 0 <= lr < float("inf")):
            raise CommandRefused(f"set_lr({lr!r}): wanted a learning rate of 0 or more.")
        with self._changed:
            if self.trainer is not None:
                self.trainer.set_lr(float(lr))
            else:
                self.settings = _with_panel(self.settings, {"lr": float(lr)})

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

    def _begin(self) -> None:
        self._stop, self.error, self.message, self.state = False, None, "", "loading"
        self.evaluations = []
        self._recent.clear()
        self._recent_rates.clear()
        self._thread = threading.Thread(target=self._work, name="graphscope-training", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.trainer = trainer = Trainer(self.settings, **self._objects)
            self.settings = trainer.settings
            with watched(trainer, **self._watching) as session:
                session.trainer = self
                self.session = session
                for result in self._batches(trainer):
                    self._take(session, result)
            self.state = "stopped" if self._stop else "finished"
            self.message = trainer.stopped or ""
        except GraphscopeError as error:
            self.error, self.state, self.message = error, "failed", str(error)
        except BaseException as error:
            self.error, self.state, self.message = error, "failed", f"{type(error).__name__}: {error}"

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
                self._changed.wait()
            if self._stop:
                return False
            if self._single and not self._go:
                self._single -= 1
                if self.session is not None:
                    self.session.capture_next()
            self.state = "training"
            return True

    def _take(self, session: Session, result: BatchResult | EvaluationResult) -> None:
        log_result(session, result)
        if isinstance(result, EvaluationResult):
            self.evaluations.append(result)
        else:
            self._recent.append(result)
            self._recent_rates.append(result.images / result.seconds if result.seconds > 0 else 0.0)

    # How it is doing.

    def status(self) -> TrainerStatus:
        """For the panel beside the graph; waits for nothing."""
        trainer, recent = self.trainer, list(self._recent)
        rates = list(self._recent_rates)
        accuracies = [r.accuracy for r in recent if r.accuracy is not None]
        total = (trainer.total_steps if trainer is not None else None) or 0
        done = trainer.step if trainer is not None else 0
        rate = sum(rates) / len(rates) if rates else None
        per_step = sum(r.images for r in recent) / len(recent) if recent else None
        left = (total - done) * per_step / rate if rate and per_step and total else None
        last = self.evaluations[-1] if self.evaluations else None
        return TrainerStatus(
            state=self.state,
            settings={name: value for name, value in self.settings.to_dict().items() if name in PANEL_FIELDS},
            choices={name: [choice.name for choice in entries] for name, entries in CHOICES.items()},
            step=done,
            total_steps=total,
            epoch=0 if trainer is None else min(trainer.epoch + 1, self.settings.epochs),
            epochs=self.settings.epochs,
            loss=recent[-1].loss if recent else None,
            accuracy=sum(accuracies) / len(accuracies) if accuracies else None,
            test_accuracy=last.accuracy if last else None,
            images_per_second=rate,
            seconds_left=left if self.state == "training" else None,
            data_text="" if trainer is None else images_in_words(trainer),
            model_text="" if trainer is None else parameters_in_words(trainer),
            message=self.message,
        )

    def widget(self) -> View:
        """The interactive view with the trainer's panel."""
        from graphscope.jupyter.widget import View

        return View(self)

    def __repr__(self) -> str:
        step = self.trainer.step if self.trainer is not None else 0
        return f"Training({self.settings.model} on {self.settings.data}: {self.state}, step {step})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from graphscope.jupyter.display import training_mimebundle

        return training_mimebundle(self, **kwargs)


def watched(trainer: Trainer, run_dir: str | Path | None = None, **watching: Any) -> Session:
    """A session of the trainer's model that goes on where the trainer is; ``watching`` as in ``graphscope.watch``.

    Where no run directory was named and the usual place cannot be written, it is a temporary one: that is no reason
    not to train. Raises RunDirectoryError for one that was named and cannot be written.
    """
    try:
        session = watch(trainer.model, trainer.optimizer, run_dir=run_dir, **watching)
    except RunDirectoryError as error:
        if run_dir is not None:
            raise
        place = tempfile.mkdtemp(prefix="graphscope-run-")
        warnings.warn(f"{error} Until then the run is recorded in {place}.", RuntimeWarning, stacklevel=2)
        session = watch(trainer.model, trainer.optimizer, run_dir=place, **watching)
    session.step = trainer.step
    session.log(epoch=trainer.epoch + 1)  # people count epochs from 1
    return session


def log_result(session: Session, result: BatchResult | EvaluationResult) -> None:
    """Accuracy of a batch, or loss and accuracy of an evaluation, into the run; epochs count from 1."""
    epoch = result.epoch + 1
    if isinstance(result, BatchResult):
        known = {"accuracy": result.accuracy}
    else:
        known = {"test_loss": result.loss, "test_accuracy": result.accuracy}
    values = {name: value for name, value in known.items() if value is not None}
    session.log(step=max(result.step, 0), epoch=epoch, **values)
    if isinstance(result, EvaluationResult):
        session.log(epoch=epoch + 1)  # the steps from here on


def images_in_words(trainer: Trainer) -> str:
    """``1,437 training and 360 test images``; as much of it as is known."""
    train = "" if trainer.train_images is None else f"{trainer.train_images:,} training"
    test = "" if not trainer.test_images else f"{trainer.test_images:,} test"
    return f"{' and '.join(part for part in (train, test) if part)} images" if train or test else ""


def parameters_in_words(trainer: Trainer) -> str:
    """``1,199,978 parameters on cpu``."""
    return f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters on {trainer.device}"


def _with_panel(settings: TrainerSettings, given: Mapping[str, Any]) -> TrainerSettings:
    """Settings with what a page set: only numbers and names out of the menus, never a path or a name to import."""
    TrainerSettings.from_dict(given, allowed=PANEL_FIELDS)
    merged = {**settings.to_dict(), **given}
    if given.get("model", settings.model) != settings.model:
        # What suits another network: a learning rate that the last one resolved to is not meant for it.
        merged |= {name: default for name, default in (("lr", None), ("optimizer", "auto")) if name not in given}
    return TrainerSettings.from_dict(merged)


def train(
    data: Any = "digits",
    model: Any = "cnn-bn",
    *,
    start: bool = True,
    background: bool = True,
    run_dir: str | Path | None = None,
    every: Any = "auto",
    budget: float = 0.01,
    optimizer: Any = "auto",
    loss_fn: Any = None,
    test_data: Any = None,
    **settings: Any,
) -> Training:
    """Trains a network on a data set, watched; returns at once, with the Training to pause, step, stop and show.

    data, model      names (``graphscope.trainer.settings.DATASETS``, ``MODELS``), or a Dataset, DataLoader, Module.
    start            False: wait for Start in the panel, or ``.start()``.
    background       False: train here and return when it has ended.
    run_dir, every, budget   as in ``graphscope.watch``.
    settings         any field of ``graphscope.trainer.settings.TrainerSettings``: epochs, lr, batch_size, seed, ...

    Raises UnknownName and TrainerError for what cannot be used; what fails later is in ``.error`` and in the panel.
    """
    named: dict[str, Any] = dict(settings)
    objects: dict[str, Any] = {"loss_fn": loss_fn, "test_data": test_data}
    for name, value in (("data", data), ("model", model), ("optimizer", optimizer)):
        if isinstance(value, str):
            named[name] = value
        else:
            objects[name] = value
    given = {name: value for name, value in objects.items() if value is not None}
    training = Training(TrainerSettings.from_dict(named), given, {"run_dir": run_dir, "every": every, "budget": budget})
    if start:
        training.start()
    return training if background else training.wait()
