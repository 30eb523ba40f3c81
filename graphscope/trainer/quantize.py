"""A trained network -> the same with 8-bit weights, and what that costs and gains."""

from __future__ import annotations

import copy
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from graphscope.errors import TrainerError
from graphscope.trainer.evaluate import Totals, evaluated

if TYPE_CHECKING:
    from graphscope.trainer.loop import Trainer

# What torch can quantise without looking at data: weights to int8 per tensor, activations on the fly.
QUANTISED = {nn.Linear, nn.LSTM, nn.GRU}
TIMED_SECONDS = 0.5
"""Passes over the test images are timed for at least so long; the fastest counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One network on the test images, on the CPU."""

    accuracy: float | None
    """0 to 1; None where nothing is classified."""
    loss: float
    """Mean over the test images."""
    size: int
    """Bytes of the saved weights."""
    images_per_second: float | None
    """Forwards and losses alone, in the fastest pass; None without test images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationResult:
    """A network and its quantised copy, side by side."""

    full: Measured
    quantised: Measured
    layers: int
    """Layers whose weights are now 8 bits wide."""

    def __str__(self) -> str:
        """Three lines for a terminal."""
        rows = [("", "accuracy", "loss", "size", "images/s")]
        for name, it in (("float32", self.full), (f"int8 ({self.layers} layers)", self.quantised)):
            accuracy = "-" if it.accuracy is None else f"{it.accuracy:.2%}".replace("%", " %")
            speed = "-" if it.images_per_second is None else f"{it.images_per_second:,.0f}"
            rows.append((name, accuracy, f"{it.loss:.4f}", f"{it.size / 1024:,.0f} KiB", speed))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def compare_quantized(trainer: Trainer) -> QuantizationResult:
    """Both networks over the test images, on the CPU, where torch's 8-bit kernels run; the trainer is left as it is.

    Raises: TrainerError where this torch, or this processor, cannot quantise.
    """
    full = copy.deepcopy(trainer.model).cpu()
    quantised = quantized(full)
    dynamic = torch.ao.nn.quantized.dynamic
    layers = sum(isinstance(layer, (dynamic.Linear, dynamic.LSTM, dynamic.GRU)) for layer in quantised.modules())
    return QuantizationResult(full=_measured(trainer, full), quantised=_measured(trainer, quantised), layers=layers)


def quantized(model: nn.Module) -> nn.Module:
    """A copy with the weights of Linear, LSTM and GRU layers as int8. Raises: TrainerError where torch cannot."""
    try:
        with warnings.catch_warnings():
            # torch announces its removal in favour of torchao; until then it needs no further package.
            warnings.simplefilter("ignore")
            copied: nn.Module = torch.ao.quantization.quantize_dynamic(model.eval(), QUANTISED, dtype=torch.qint8)
            return copied
    except (AttributeError, RuntimeError) as error:
        raise TrainerError(f"quantising: torch {torch.__version__} cannot do it here: {error}") from error


def _measured(trainer: Trainer, model: nn.Module) -> Measured:
    cpu = torch.device("cpu")
    task = copy.deepcopy(trainer.task)
    task.loss_fn.to(cpu)
    batches = [(x.to(cpu), y.to(cpu)) for x, y in trainer.data.test()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluated(model, task, batches[:1], trainer.n_classes)  # the first forward packs weights
        totals: Totals = evaluated(model, task, batches, trainer.n_classes)
        fastest = spent = totals.seconds
        while spent < TIMED_SECONDS and totals.images:  # a short pass says little on a machine that does other things
            again = evaluated(model, task, batches, trainer.n_classes).seconds
            fastest, spent = min(fastest, again), spent + again
        saved = io.BytesIO()
        torch.save(model.state_dict(), saved)
    speed = totals.images / fastest if totals.images else None
    return Measured(accuracy=totals.accuracy, loss=totals.loss, size=saved.tell(), images_per_second=speed)
