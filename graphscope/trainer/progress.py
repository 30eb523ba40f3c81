"""Results of the loop -> a bar per epoch and a line per evaluation, in a terminal, a log or a notebook."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from graphscope.errors import TrainerError
from graphscope.trainer.results import BatchResult, EvaluationResult

if TYPE_CHECKING:
    from graphscope.trainer.loop import Trainer

LOG_SECONDS = 10.0
"""Between two lines of a bar that is written to a file."""


class Progress:
    """Give it every result; close it when the training has ended."""

    def __init__(self, trainer: Trainer) -> None:
        """Raises: TrainerError where tqdm is not installed."""
        self._trainer = trainer
        self._tqdm, self._notebook = _tqdm()
        self._bar: Any = None

    def show(self, result: BatchResult | EvaluationResult) -> None:
        """Moves the bar on, or ends it with what the evaluation gave."""
        if isinstance(result, EvaluationResult):
            self.close()
            print(f"  test loss {result.loss:.4f}, accuracy {in_percent(result.accuracy)}")
            return
        if self._bar is None:
            self._bar = self._new_bar()
        rate = result.images / result.seconds if result.seconds > 0 else math.nan
        accuracy = "" if result.accuracy is None else f", accuracy {100 * result.accuracy:.0f} %"
        self._bar.set_postfix_str(f"loss {result.loss:.4f}{accuracy}, {rate:,.0f} images/s", refresh=False)
        self._bar.update(1)

    def close(self) -> None:
        """Leaves the bar as it is; the next batch begins another."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _new_bar(self) -> Any:
        trainer = self._trainer
        live = self._notebook or sys.stderr.isatty()
        total = trainer.steps_per_epoch
        if trainer.settings.steps is not None:
            name, left = f"epoch {trainer.epoch + 1}", trainer.settings.steps - trainer.step + trainer.step_in_epoch
            total = left if total is None else min(total, left)
        else:
            name = f"epoch {trainer.epoch + 1}/{trainer.settings.epochs}"
        done = trainer.step_in_epoch - 1  # a training that was resumed begins in the middle
        return self._tqdm(
            total=total, initial=done, desc=name, unit=" steps", leave=True, mininterval=0.1 if live else LOG_SECONDS
        )


def in_percent(accuracy: float | None) -> str:
    """0.98765 -> ``98.77 %``."""
    return "not measured" if accuracy is None else f"{100 * accuracy:.2f} %"


def _tqdm() -> tuple[Any, bool]:
    """The bar that suits the place, and whether that is a notebook."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise TrainerError(
            "The package tqdm is missing, which draws the progress bars. Install the trainer's extras: pip install "
            "'torch-graphscope[train]'."
        ) from None
    return tqdm, any("notebook" in base.__module__ for base in tqdm.__mro__)
