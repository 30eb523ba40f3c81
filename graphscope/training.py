"""train(...) -> Training: the built-in trainer joined to a Session, in a thread, so that the kernel stays free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphscope.conditions import Condition
from graphscope.errors import CommandRefused, did_you_mean
from graphscope.messages import TrainerSamples, TrainerStatus
from graphscope.schema import MAX_RUN_MB
from graphscope.trainer.loop import Trainer
from graphscope.trainer.optimizers import has_momentum
from graphscope.trainer.settings import DATASETS, LOSSES, MODELS, OPTIMIZERS, PANEL_FIELDS, SCHEDULES, TrainerSettings
from graphscope.trainer_watch import images_in_words, parameters_in_words
from graphscope.training_controls import TrainingControls
from graphscope.training_thread import check_condition

if TYPE_CHECKING:
    from graphscope.jupyter.widget import View

CHOICES = {
    "data": DATASETS,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
}


class Training(TrainingControls):
    """The handle that ``graphscope.train`` returns. All methods may be called from any thread."""

    # Changed while it runs.

    def set_lr(self, lr: float) -> None:
        """Another learning rate, taken at the next batch. Raises CommandRefused for one that cannot be used."""
        if not (isinstance(lr, int | float) and 0 <= lr < float("inf")):
            raise CommandRefused(f"set_lr({lr!r}): wanted a learning rate of 0 or more.")
        with self._changed:
            self.settings = replace(self.settings, lr=float(lr))
            if self.trainer is not None:
                self.trainer.set_lr(float(lr))

    def set_momentum(self, momentum: float) -> None:
        """Another momentum (the first beta of Adam and AdamW), taken at the next batch.

        Raises CommandRefused for one that cannot be used, or where the optimizer has none.
        """
        if not (isinstance(momentum, int | float) and 0 <= momentum < 1):
            raise CommandRefused(f"set_momentum({momentum!r}): wanted a number from 0 to below 1.")
        trainer = self.trainer
        if trainer is not None and not has_momentum(trainer.optimizers):
            raise CommandRefused(
                f"set_momentum({momentum!r}): {type(trainer.optimizer).__name__} as used here has none."
            )
        with self._changed:
            self.settings = replace(self.settings, momentum=float(momentum))
            self._at_next_batch(lambda trainer: trainer.set_momentum(momentum))

    def set_dropout(self, fqn: str, p: float) -> None:
        """Another drop probability of one Dropout layer, taken at the next batch.

        Raises CommandRefused for a probability that is none, or a layer that the network does not have.
        """
        layers = {} if self.trainer is None else self.trainer.dropout_layers()
        if fqn not in layers:
            there = f"There are: {', '.join(layers)}." if layers else "There is none."
            hint = did_you_mean(str(fqn), layers)
            raise CommandRefused(f"set_dropout({fqn!r:.60}): no Dropout layer is called that. {there}{hint}")
        if not (isinstance(p, int | float) and 0 <= p <= 1):
            raise CommandRefused(f"set_dropout({fqn!r}, {p!r}): wanted a probability from 0 to 1.")
        with self._changed:
            self._at_next_batch(lambda trainer: trainer.set_dropout(fqn, p))

    @property
    def break_when(self) -> str:
        """The condition on which it pauses; empty: none."""
        condition = self._condition
        return "" if condition is None else condition.text

    def set_break(self, condition: str) -> None:
        """Pauses behind the batch at which a condition begins to hold; empty: no more.

        condition   for instance ``grad_norm('conv1') > 10 or nan()``: see ``graphscope.conditions``. While it asks for
                    statistics each step is captured, whatever the budget says; one about the loss costs nothing.
        Raises TrainerError, UnknownName or UnknownAddress for a condition that cannot be used.
        """
        made = Condition(condition) if condition.strip() else None
        trainer = self.trainer
        if made is not None and trainer is not None:
            check_condition(made, trainer)
        with self._changed:
            self._condition, self._held = made, False

    def _at_next_batch(self, change: Callable[[Trainer], None]) -> None:
        if self.trainer is not None and self.under_way:
            self._changes.append(change)
        elif self.trainer is not None:
            change(self.trainer)

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
        named = self.settings.to_dict()
        objects = {name: self._objects.get(name) for name in ("data", "model", "optimizer")}
        given = {name: type(value).__name__ for name, value in objects.items() if value is not None}
        choices: dict[str, Sequence[str]] = {name: [entry.name for entry in found] for name, found in CHOICES.items()}
        choices |= {name: (text,) for name, text in given.items()}  # what was given as an object has no other choice
        return TrainerStatus(
            state=self.state,
            settings={name: named[name] for name in PANEL_FIELDS} | given,
            choices=choices,
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
            dropout={} if trainer is None else {name: layer.p for name, layer in trainer.dropout_layers().items()},
            break_when=self.break_when,
            broke_at=self.broke_at,
            at_layer=self.at_layer,
            at_direction=self.at_direction,
            test_epoch=last.epoch + 1 if last else None,
            recall=last.recall if last else (),
            classes=(trainer.classes or ()) if trainer is not None else (),
        )

    def samples(self) -> TrainerSamples | None:
        """What the network says of a batch of test images; made by and by while somebody asks, None before that."""
        return None if self._samples is None else self._samples.newest()

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


def train(
    data: Any = "digits",
    model: Any = "cnn-bn",
    *,
    start: bool = True,
    background: bool = True,
    run_dir: str | Path | None = None,
    every: Any = "auto",
    budget: float = 0.01,
    max_mb: float = MAX_RUN_MB,
    optimizer: Any = "auto",
    loss_fn: Any = None,
    test_data: Any = None,
    break_when: str = "",
    **settings: Any,
) -> Training:
    """Trains a network on a data set, watched; returns at once, with the Training to pause, step, stop and show.

    data, model      names (``graphscope.trainer.settings.DATASETS``, ``MODELS``), or a Dataset, DataLoader, Module.
    start            False: wait for Start in the panel, or ``.start()``.
    background       False: train here, with progress bars, and return when it has ended.
    break_when       pause where this holds: ``grad_norm('conv1') > 10 or nan()``, see ``graphscope.conditions``.
    run_dir, every, budget, max_mb   as in ``graphscope.watch``.
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
    watching = {"run_dir": run_dir, "every": every, "budget": budget, "max_mb": max_mb}
    training = Training(TrainerSettings.from_dict(named), given, watching)
    training.set_break(break_when)
    if not background:
        if break_when:
            raise CommandRefused("train(break_when=..., background=False): nobody could go on after the pause.")
        return training.run()
    return training.start() if start else training
