"""A Trainer -> the Session that follows it, its results in the run, and what it is in words."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

from graphscope.errors import RunDirectoryError
from graphscope.session import Session, watch
from graphscope.trainer.loop import Trainer
from graphscope.trainer.results import BatchResult, EvaluationResult


def watched(trainer: Trainer, run_dir: str | Path | None = None, **watching: Any) -> Session:
    """A session of the trainer's model that goes on where the trainer is; ``watching`` as in ``graphscope.watch``.

    Where the run directory cannot be written, named or not, the run goes to a temporary one, with a warning that says
    where: that is no reason not to train.
    """
    try:
        session = watch(trainer.model, trainer.optimizer, run_dir=run_dir, **watching)
    except RunDirectoryError as error:
        place = tempfile.mkdtemp(prefix="graphscope-run-")
        warnings.warn(f"{error} The run is recorded in {place} instead.", RuntimeWarning, stacklevel=2)
        session = watch(trainer.model, trainer.optimizer, run_dir=place, **watching)
    session.step = trainer.step
    session.log(epoch=trainer.epoch + 1)  # people count epochs from 1
    return session


def log_result(session: Session, result: BatchResult | EvaluationResult) -> None:
    """Accuracy of a batch, or loss and accuracy of an evaluation, into the run; epochs count from 1."""
    epoch = result.epoch + 1
    if isinstance(result, BatchResult):
        known = {"loss": result.loss, "accuracy": result.accuracy}
    else:
        known = {"test_loss": result.loss, "test_accuracy": result.accuracy}
    values = {name: value for name, value in known.items() if value is not None}
    session.log(step=max(result.step, 0), epoch=epoch, **values)
    if isinstance(result, EvaluationResult):
        session.log(epoch=epoch + 1)  # the steps from here on


def images_in_words(trainer: Trainer) -> str:
    """``60,000 training and 10,000 test images, sha256 checked``; as much of it as is known."""
    train = "" if trainer.train_images is None else f"{trainer.train_images:,} training"
    test = "" if not trainer.test_images else f"{trainer.test_images:,} test"
    checked = f", {trainer.data_check}" if trainer.data_check else ""
    return f"{' and '.join(part for part in (train, test) if part)} images{checked}" if train or test else ""


def parameters_in_words(trainer: Trainer) -> str:
    """``1,199,978 parameters on cpu``."""
    return f"{sum(p.numel() for p in trainer.model.parameters()):,} parameters on {trainer.device}"
