"""Settings -> a Trainer, whose ``batches()`` is an ordinary training loop that yields after each batch.

A generator rather than callbacks: whoever iterates decides when to go on, pause or stop, and needs nothing from here.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import DataLoader, Dataset

from graphscope.errors import DataError, TrainerError
from graphscope.trainer import checkpoint
from graphscope.trainer.build import batches_for, device_for, model_for
from graphscope.trainer.data.batches import Batch, ImageBatches, derived_seed
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.distributed import current_ranks, others_gone, others_there, parallel
from graphscope.trainer.evaluate import evaluated
from graphscope.trainer.optimizers import LearningRate, optimizer_for, set_momentum
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import TrainerSettings
from graphscope.trainer.step import Precision, StepOutcome, first_batch_in_words, over_all, train_step
from graphscope.trainer.tasks import Classification, Task, task_for

__all__ = ["INTERRUPTED", "BatchResult", "EvaluationResult", "Trainer"]

INTERRUPTED = "interrupted"
"""What ``Trainer.stopped`` says after ``interrupt()``."""


class Trainer:
    """A network, its data and its optimizer, ready to train; one of several where there is a process group.

    Reproducible to the bit on one machine for one seed: initialisation and dropout draw from torch's own random state,
    which is seeded here and before each step, from seed and step alone; order and augmentation have their own
    generators. So whatever draws numbers while training is paused, or between a stop and a resume, changes nothing.
    """

    def __init__(
        self,
        settings: TrainerSettings | None = None,
        *,
        model: nn.Module | None = None,
        data: ImageSet | Dataset[Any] | DataLoader[Any] | None = None,
        test_data: Dataset[Any] | DataLoader[Any] | None = None,
        loss_fn: nn.Module | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Builds what ``settings`` names; what is given as an object takes the place of its name.

        data: pairs (inputs, targets); a Dataset is shuffled and batched as the settings say, a DataLoader as it is.
        Raises: GraphscopeError for settings, data or a network that cannot be used.
        """
        given = (settings or TrainerSettings()).checked()
        # What suits a network known by name, and its task, are not for a user's own.
        settings = (given if model is None else replace(given, model="")).resolved()
        self.settings = replace(settings, model=given.model)
        self.ranks = current_ranks()
        """Of the process group that is there: the trainer takes its share of the work. A lone process otherwise."""
        self.device = device_for(settings.device)
        self.data, shape, self.classes = batches_for(settings, data, test_data, self.device, self.ranks)
        torch.manual_seed(settings.seed)
        self.model = model_for(settings, model, shape).to(self.device)
        self.task: Task = task_for(settings) if loss_fn is None else Classification(loss_fn)
        self.loss_fn = self.task.loss_fn.to(self.device)
        self._turns = self.task.turns(self.model, settings)
        self.optimizers = [
            optimizer_for(turn.parameters, turn.settings) if optimizer is None else optimizer for turn in self._turns
        ]
        """One for each part that is trained by a loss of its own: two for a GAN, else one."""
        self.optimizer = self.optimizers[-1]
        """The one whose step ends a training step."""
        self.precision = Precision(self.device, mixed=settings.amp)
        wrapped = parallel(self.model, self.ranks, self.device, partly_used=len(self._turns) > 1)
        self._forward = cast(nn.Module, torch.compile(wrapped)) if settings.compile else wrapped
        self.n_classes: int | None = len(self.classes) if self.classes is not None else None
        self.train_images, self.test_images = self.data.train_images, self.data.test_images
        self.data_check = self.data.images.check if isinstance(self.data, ImageBatches) else ""
        """Whether the files of the data are the official ones, in words; empty where there are none to compare with."""
        per_epoch = None if self.data.per_epoch is None else math.ceil(self.data.per_epoch / settings.accumulate)
        self.steps_per_epoch = per_epoch
        """Optimizer steps in one epoch; None if only iterating tells."""
        self.total_steps: int | None = settings.steps or (per_epoch and per_epoch * settings.epochs)
        """Optimizer steps in the whole training; None if only iterating tells."""
        if given.schedule == "auto" and (self.total_steps is None or optimizer is not None):
            # A schedule needs an end, and a user's optimizer may have a scheduler of its own.
            self.settings = replace(self.settings, schedule="constant")
        self.learning_rate = LearningRate(self.optimizers, self.settings.schedule, self.total_steps)
        self.step = 0
        """Optimizer steps done."""
        self.epoch = 0
        """The current epoch, 0-based."""
        self.step_in_epoch = 0
        """Optimizer steps done in the current epoch."""
        self.stopped: str | None = None
        """Why training ended before its last step, for people to read; None while it runs and if it came to its end."""
        self.best_loss = math.inf
        """The lowest test loss so far; infinite before the first evaluation."""
        self.epochs_without_progress = 0
        """Evaluations since then."""
        self._interrupted = False

    def batches(self) -> Iterator[BatchResult | EvaluationResult]:
        """Trains, and yields after each optimizer step and after each epoch's evaluation.

        Closing the generator stops training; calling ``batches()`` again goes on from there. A loss that is not finite
        is yielded and ends the training, as does ``patience`` running out; ``stopped`` then says so.
        Raises: TrainerError if network and data do not fit together, DataError if the data gives no batch.
        """
        while not self._finished():
            self.model.train()
            start = time.perf_counter()
            for group in self._groups():
                lr = self.learning_rate.apply(self.step)
                self._seed_step()
                outcome, asked = over_all(self._train_step(group), self._interrupted, self.ranks, self.device)
                self.step += 1
                self.step_in_epoch += 1
                yield BatchResult(
                    step=self.step - 1,
                    epoch=self.epoch,
                    loss=outcome.loss,
                    accuracy=outcome.accuracy,
                    images=outcome.images,
                    seconds=time.perf_counter() - start,
                    lr=lr,
                    parts=outcome.parts,
                )
                if not math.isfinite(outcome.loss):
                    self.stopped = f"loss is {outcome.loss} at step {self.step - 1}"
                    return
                # Several processes end after a step on which all of them knew of it; one alone ends at once.
                if asked or (self._interrupted and not self.ranks.several):
                    self.stopped = INTERRUPTED
                    return
                if self._finished():
                    break
                start = time.perf_counter()
            if self.step_in_epoch == 0:
                raise DataError(f"Trainer: epoch {self.epoch} of the data gave no batch; wanted at least one.")
            self.ranks.buffers_from_first(self.model)
            evaluation = self.evaluate()
            asked = self.ranks.any(self._interrupted, self.device)
            # Counted before the yield: a generator closed there must not evaluate the same epoch again.
            self.epoch += 1
            self.step_in_epoch = 0
            self._note_progress(evaluation)
            self._save_checkpoint()
            if evaluation.images:
                yield evaluation
            if asked and not self._finished():
                self.stopped = INTERRUPTED

    def evaluate(self) -> EvaluationResult:
        """Loss, accuracy and per-class recall over the test images; the network is left in the mode it was in.

        With several processes all must call it: each takes its share.
        """
        start = time.perf_counter()
        # Not the wrapper of several processes: it would wait for the others at each forward.
        model = self.model if self.ranks.several else self._forward
        totals = evaluated(model, self.task, self.data.test(), self.n_classes, self.precision.autocast())
        if self.data.test_is_a_share:
            totals = totals.over(self.ranks, self.device)
        return EvaluationResult(
            step=self.step - 1,
            epoch=self.epoch,
            loss=totals.loss,
            accuracy=totals.accuracy,
            recall=totals.recall,
            images=totals.images,
            seconds=time.perf_counter() - start,
            parts=totals.parts,
        )

    def example(self) -> tuple[Tensor, ...]:
        """The inputs of the network's forward for the first training batch, for tracing it."""
        x, _ = next(iter(self.data.train(0)))
        return self.task.inputs(x)

    def set_lr(self, lr: float) -> None:
        """Another learning rate, taken at the next batch; the schedule goes on and multiplies it."""
        self.learning_rate.set(lr)

    def set_momentum(self, momentum: float) -> None:
        """Another momentum (the first beta of Adam and AdamW), taken at the next batch."""
        set_momentum(self.optimizers, momentum)

    def dropout_layers(self) -> dict[str, _DropoutNd]:
        """The network's Dropout layers by fqn, in the order of ``named_modules``."""
        return {name: layer for name, layer in self.model.named_modules() if isinstance(layer, _DropoutNd)}

    def set_dropout(self, fqn: str, p: float) -> None:
        """Another drop probability of one Dropout layer, taken at the next batch.

        Raises: TrainerError if p is not from 0 to 1, or ``fqn`` names no Dropout layer.
        """
        layers = self.dropout_layers()
        if fqn not in layers:
            there = f"There are: {', '.join(layers)}." if layers else "The network has none."
            raise TrainerError(f"set_dropout({fqn!r}): no Dropout layer is called that. {there}")
        if not 0 <= p <= 1:
            raise TrainerError(f"set_dropout({fqn!r}, {p!r}): wanted a probability from 0 to 1.")
        layers[fqn].p = float(p)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes a checkpoint below ``folder``; returns where. Between batches at any time. Raises: OSError."""
        return checkpoint.save(self, folder)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Goes on from a checkpoint, or from the newest of a folder. Raises: TrainerError if it does not fit."""
        checkpoint.load(self, path)

    def interrupt(self) -> None:
        """Ends the training after the step or evaluation under way; ``stopped`` then says INTERRUPTED. Any thread."""
        self._interrupted = True

    def _groups(self) -> Iterator[list[Batch]]:
        """This epoch's remaining batches, ``accumulate`` at a time: one group is one optimizer step."""
        size = self.settings.accumulate
        batches = self.data.train(self.epoch, self.step_in_epoch * size)
        while group := list(islice(batches, size)):
            yield group

    def _train_step(self, group: list[Batch]) -> StepOutcome:
        clip = self.settings.clip
        if self.ranks.several:
            with others_there():
                return self._first_step(group, clip) if self.step == 0 else self._later_step(group, clip)
        return self._first_step(group, clip) if self.step == 0 else self._later_step(group, clip)

    def _later_step(self, group: list[Batch], clip: float | None) -> StepOutcome:
        return train_step(self._forward, self._turns, self.optimizers, group, self.precision, clip)

    def _first_step(self, group: list[Batch], clip: float | None) -> StepOutcome:
        try:
            return self._later_step(group, clip)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            if self.ranks.several and isinstance(error, RuntimeError) and others_gone(error):
                raise
            hint = " (compile=False runs it without torch.compile)" if self.settings.compile else ""
            raise first_batch_in_words(self.model, self.loss_fn, group[0], f"{error}{hint}") from error

    def _seed_step(self) -> None:
        # Not torch.manual_seed: it looks at every kind of accelerator, 170 us a call against 2.
        own = (self.ranks.rank,) if self.ranks.rank else ()  # no process drops the same units as another
        seed = derived_seed(self.settings.seed, self.step, *own)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def _note_progress(self, evaluation: EvaluationResult) -> None:
        if evaluation.loss < self.best_loss:
            self.best_loss, self.epochs_without_progress = evaluation.loss, 0
            return
        self.epochs_without_progress += 1
        patience = self.settings.patience
        if patience is not None and evaluation.images and self.epochs_without_progress >= patience:
            self.stopped = f"no test loss below {self.best_loss:.4g} in {patience} epoch(s)"

    def _save_checkpoint(self) -> None:
        if self.settings.checkpoint_dir is None or self.ranks.rank != 0:
            return
        try:
            self.save(self.settings.checkpoint_dir)
        except OSError as error:
            # A full disk must not cost the training that fills it.
            where = self.settings.checkpoint_dir
            warnings.warn(
                f"no checkpoint written to {where}: {error.strerror or error}; training goes on", stacklevel=2
            )

    def _finished(self) -> bool:
        if self.stopped is not None:
            return True
        if self.settings.steps is not None:
            return self.step >= self.settings.steps
        return self.epoch >= self.settings.epochs
