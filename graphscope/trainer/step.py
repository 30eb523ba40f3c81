"""A few batches -> one optimizer step: forward, loss, backward, and what was seen on the way.

This is the inner half of an ordinary training loop; ``loop.py`` is the outer one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from graphscope.errors import TrainerError
from graphscope.trainer.data.batches import Batch
from graphscope.trainer.distributed import Ranks
from graphscope.trainer.tasks import Turn


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step saw, before it changed the parameters."""

    loss: float
    accuracy: float | None
    images: int
    parts: dict[str, float]


def over_all(outcome: StepOutcome, asked: bool, ranks: Ranks, device: torch.device) -> tuple[StepOutcome, bool]:
    """One process's outcome -> that of all of them together, and whether any of them was asked to stop.

    So all stop at the same step, also for a loss that is not finite in one of them only.
    """
    if not ranks.several:
        return outcome, asked
    correct = 0.0 if outcome.accuracy is None else outcome.accuracy * outcome.images
    shares = [outcome.loss, *outcome.parts.values()]
    numbers = [asked, outcome.images, correct, *(share * outcome.images for share in shares)]
    any_asked, images, correct, *sums = ranks.summed(
        torch.tensor(numbers, dtype=torch.float64, device=device)
    ).tolist()  # fmt: skip
    loss, *parts = (total / images for total in sums)
    accuracy = None if outcome.accuracy is None else correct / images
    return StepOutcome(loss, accuracy, int(images), dict(zip(outcome.parts, parts, strict=True))), any_asked > 0


class Precision:
    """Where the forward runs in a smaller type, and the loss scaling that float16 needs."""

    def __init__(self, device: torch.device, *, mixed: bool) -> None:
        self.mixed = mixed
        self.device = device
        # bfloat16 has float32's range; only older GPUs, which lack it, need float16 and a scaled loss.
        half = mixed and device.type == "cuda" and not torch.cuda.is_bf16_supported()
        self.dtype = torch.float16 if half else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward."""
        if not self.mixed:
            return nullcontext()  # a disabled autocast takes as long as a small layer
        return torch.autocast(self.device.type, dtype=self.dtype)


def train_step(
    model: nn.Module,
    turns: list[Turn],
    optimizers: list[torch.optim.Optimizer],
    group: list[Batch],
    precision: Precision,
    clip: float | None,
) -> StepOutcome:
    """One optimizer step over all batches of ``group``, whose gradients are added up as for one large batch."""
    scaler = precision.scaler  # passes everything through where it is not enabled
    images = sum(x.shape[0] for x, _ in group)
    loss, correct, parts = 0.0, None, dict[str, float]()
    for turn, optimizer in zip(turns, optimizers, strict=True):
        optimizer.zero_grad()
        for x, y in group:
            with precision.autocast():
                outcome = turn.outcome(model, x, y)
            share = x.shape[0] / images
            scaler.scale(outcome.loss if share == 1 else outcome.loss * share).backward()
            loss += outcome.loss.item() * share
            if outcome.correct is not None:
                correct = (correct or 0) + int(outcome.correct.sum())
            for name, part in outcome.parts.items():
                parts[name] = parts.get(name, 0.0) + part.item() * share
        if clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(turn.parameters, clip)
        scaler.step(optimizer)
        scaler.update()
    return StepOutcome(loss, None if correct is None else correct / images, images, parts)


def first_batch_in_words(model: nn.Module, loss_fn: nn.Module, batch: Batch, words: str) -> TrainerError:
    """What the network raised on its first batch -> an error that says shapes; chain it to the original."""
    x, y = batch
    return TrainerError(
        f"Trainer: {type(model).__name__} with {type(loss_fn).__name__} refused the first batch, inputs "
        f"{list(x.shape)} {x.dtype}, targets {list(y.shape)} {y.dtype}: {words}"
    )
