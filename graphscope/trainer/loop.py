"""Settings -> a Trainer, whose ``batches()`` is an ordinary training loop that yields after each batch.

A generator rather than callbacks: whoever iterates decides when to go on, pause or stop, and needs nothing from here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import DataLoader, Dataset

from graphscope.errors import DataError, TrainerError
from graphscope.trainer.build import batches_for, device_for, model_for
from graphscope.trainer.data.batches import Batch, derived_seed
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.optimizers import optimizer_for, schedule_factor
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import TrainerSettings
from graphscope.trainer.tasks import Classification, Outcome, Task, Turn, task_for
from graphscope.trainer.totals import Totals

__all__ = ["BatchResult", "EvaluationResult", "Trainer"]


class Trainer:
    """A network, its data and its optimizer, ready to train.

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
        self.settings = settings = (settings or TrainerSettings()).checked().resolved()
        self.device = device_for(settings.device)
        self.data, shape, self.classes = batches_for(settings, data, test_data, self.device)
        torch.manual_seed(settings.seed)
        self.model = model_for(settings, model, shape).to(self.device)
        if model is not None:
            settings = replace(settings, model="")  # the tasks of networks known by name are not for it
        self.task: Task = task_for(settings) if loss_fn is None else Classification(loss_fn)
        self.loss_fn = self.task.loss_fn.to(self.device)
        self._turns = self.task.turns(self.model, settings)
        self.optimizers = [
            optimizer_for(turn.parameters, turn.settings) if optimizer is None else optimizer for turn in self._turns
        ]
        """One for each part that is trained by a loss of its own: two for a GAN, else one."""
        self.optimizer = self.optimizers[-1]
        """The one whose step ends a training step."""
        self.n_classes: int | None = len(self.classes) if self.classes is not None else None
        self.train_images, self.test_images = self.data.train_images, self.data.test_images
        per_epoch = None if self.data.per_epoch is None else math.ceil(self.data.per_epoch / settings.accumulate)
        self.steps_per_epoch = per_epoch
        """Optimizer steps in one epoch; None if only iterating tells."""
        self.total_steps: int | None = settings.steps or (per_epoch and per_epoch * settings.epochs)
        """Optimizer steps in the whole training; None if only iterating tells."""
        self.step = 0
        """Optimizer steps done."""
        self.epoch = 0
        """The current epoch, 0-based."""
        self.stopped: str | None = None
        """Why training ended before its last step, for people to read; None while it runs and if it came to its end."""
        self._step_in_epoch = 0
        self._lr = [group["lr"] for group in self._param_groups()]
        self._new_lr: float | None = None
        schedule_factor(settings.schedule, 0, self.total_steps)

    def set_lr(self, lr: float) -> None:
        """Another learning rate, taken at the next batch; the schedule goes on and multiplies it."""
        if not (math.isfinite(lr) and lr >= 0):
            raise TrainerError(f"set_lr({lr!r}): wanted a finite number, 0 or more.")
        self._new_lr = float(lr)

    def set_momentum(self, momentum: float) -> None:
        """Another momentum (the first beta of Adam and AdamW), taken at the next batch.

        Raises: TrainerError if it is not from 0 to below 1, or the optimizer has none.
        """
        if not 0 <= momentum < 1:
            raise TrainerError(f"set_momentum({momentum!r}): wanted a number from 0 to below 1.")
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (float(momentum), *group["betas"][1:])
                elif isinstance(optimizer, torch.optim.SGD):
                    group["momentum"] = float(momentum)
                else:
                    raise TrainerError(f"set_momentum: {type(optimizer).__name__} as it is used here has no momentum.")

    def set_dropout(self, fqn: str, p: float) -> None:
        """Another drop probability of one Dropout layer, taken at the next batch.

        Raises: TrainerError if p is not from 0 to 1, or ``fqn`` names no Dropout layer.
        """
        layers = {name: layer for name, layer in self.model.named_modules() if isinstance(layer, _DropoutNd)}
        if fqn not in layers:
            there = f"There are: {', '.join(layers)}." if layers else "The network has none."
            raise TrainerError(f"set_dropout({fqn!r}): no Dropout layer is called that. {there}")
        if not 0 <= p <= 1:
            raise TrainerError(f"set_dropout({fqn!r}, {p!r}): wanted a probability from 0 to 1.")
        layers[fqn].p = float(p)

    def example(self) -> tuple[Tensor, ...]:
        """The inputs of the network's forward for the first training batch, for tracing it."""
        x, _ = next(iter(self.data.train(0)))
        return self.task.inputs(x)

    def batches(self) -> Iterator[BatchResult | EvaluationResult]:
        """Trains, and yields after each optimizer step and after each epoch's evaluation.

        Closing the generator stops training; calling ``batches()`` again goes on from there. A loss that is not finite
        is yielded and ends the training, with ``stopped`` saying so.
        Raises: TrainerError if network and data do not fit together, DataError if the data gives no batch.
        """
        while not self._finished():
            self.model.train()
            start = time.perf_counter()
            for group in self._groups():
                result = self._train_step(group, start)
                yield result
                if not math.isfinite(result.loss):
                    self.stopped = f"loss is {result.loss} at step {result.step}"
                    return
                if self._finished():
                    break
                start = time.perf_counter()
            if self._step_in_epoch == 0:
                raise DataError(f"Trainer: epoch {self.epoch} of the data gave no batch; wanted at least one.")
            evaluation = self.evaluate()
            # Counted before the yield: a generator closed there must not evaluate the same epoch again.
            self.epoch += 1
            self._step_in_epoch = 0
            if evaluation.images:
                yield evaluation

    def evaluate(self) -> EvaluationResult:
        """Loss, accuracy and per-class recall over the test images; the network is left in the mode it was in."""
        start = time.perf_counter()
        training = self.model.training
        self.model.eval()
        totals = Totals(self.n_classes)
        try:
            with torch.no_grad():
                for x, y in self.data.test():
                    totals.add(self.task.outcome(self.model, x, y), y, len(x))
        finally:
            self.model.train(training)
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

    def _train_step(self, group: list[Batch], start: float) -> BatchResult:
        lr = self._scheduled_lr()
        self._seed_step()
        images = sum(len(x) for x, _ in group)
        loss, correct, parts = 0.0, None, dict[str, float]()
        for turn, optimizer in zip(self._turns, self.optimizers, strict=True):
            optimizer.zero_grad()
            for x, y in group:
                outcome = self._outcome(turn, x, y)
                share = len(x) / images
                (outcome.loss if share == 1 else outcome.loss * share).backward()
                loss += outcome.loss.item() * share
                if outcome.correct is not None:
                    correct = (correct or 0) + int(outcome.correct.sum())
                for name, part in outcome.parts.items():
                    parts[name] = parts.get(name, 0.0) + part.item() * share
            if self.settings.clip is not None:
                nn.utils.clip_grad_norm_(turn.parameters, self.settings.clip)
            optimizer.step()
        self.step += 1
        self._step_in_epoch += 1
        return BatchResult(
            step=self.step - 1,
            epoch=self.epoch,
            loss=loss,
            accuracy=None if correct is None else correct / images,
            images=images,
            seconds=time.perf_counter() - start,
            lr=lr,
            parts=parts,
        )

    def _seed_step(self) -> None:
        # Not torch.manual_seed: it looks at every kind of accelerator, 170 us a call against 2.
        seed = derived_seed(self.settings.seed, self.step)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def _outcome(self, turn: Turn, x: Tensor, y: Tensor) -> Outcome:
        if self.step > 0:
            return turn.outcome(self.model, x, y)
        try:
            return turn.outcome(self.model, x, y)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise TrainerError(
                f"Trainer: {type(self.model).__name__} with {type(self.loss_fn).__name__} refused the first batch, "
                f"inputs {list(x.shape)} {x.dtype}, targets {list(y.shape)} {y.dtype}: {error}"
            ) from error

    def _groups(self) -> Iterator[list[Batch]]:
        """This epoch's remaining batches, ``accumulate`` at a time: one group is one optimizer step."""
        size = self.settings.accumulate
        batches = self.data.train(self.epoch, self._step_in_epoch * size)
        while group := list(islice(batches, size)):
            yield group

    def _scheduled_lr(self) -> float:
        new, self._new_lr = self._new_lr, None
        if new is not None:
            self._lr = [new] * len(self._lr)
        factor = schedule_factor(self.settings.schedule, self.step, self.total_steps)
        for group, lr in zip(self._param_groups(), self._lr, strict=True):
            group["lr"] = lr * factor
        return self._lr[0] * factor

    def _param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def _finished(self) -> bool:
        if self.settings.steps is not None:
            return self.step >= self.settings.steps
        return self.epoch >= self.settings.epochs
