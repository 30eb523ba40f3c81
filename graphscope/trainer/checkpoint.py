"""A Trainer's state -> a folder, and back: weights as safetensors, the optimizer for torch.load(weights_only), JSON.

No pickle is ever loaded. A checkpoint appears whole or not at all (it is written beside and renamed), so a kill in the
middle leaves the one before. With it a training goes on to the bit: order, augmentation and dropout depend on seed,
epoch and step alone, so no random state needs to be kept.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphscope.errors import GraphscopeError, TrainerError
from graphscope.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from graphscope.trainer.loop import Trainer

FORMAT = 1
KEPT = 2
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.pt", "state.json"
_NAME = re.compile(r"step-\d{9}")
# Settings whose change makes the rest of the training another one; the others may differ when it is resumed.
BINDING = ("data", "model", "optimizer", "batch_size", "accumulate", "seed", "augment", "loss")


def save(trainer: Trainer, folder: str | os.PathLike[str]) -> Path:
    """Writes ``folder/step-NNNNNNNNN`` and removes all but the newest two; foreign files are left alone.

    Raises: OSError if it cannot be written (full disk, read-only); nothing half-written is left behind.
    """
    from safetensors.torch import save as encoded

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{trainer.step:09d}"
    work = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        # Cloned: safetensors refuses tensors that share memory, as tied weights do.
        weights = {key: value.detach().cpu().contiguous().clone() for key, value in trainer.model.state_dict().items()}
        # Written by us: on a full disk safetensors and torch.save raise what nobody expects of a file.
        (work / WEIGHTS).write_bytes(encoded(weights))
        optimizers = io.BytesIO()
        torch.save([optimizer.state_dict() for optimizer in trainer.optimizers], optimizers)
        (work / OPTIMIZER).write_bytes(optimizers.getbuffer())
        (work / STATE).write_text(json.dumps(_state(trainer), indent=1, allow_nan=False), encoding="utf-8")
        if target.exists():
            _remove(target)
        os.replace(work, target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for old in _all(folder)[:-KEPT]:
        _remove(old)
    return target


def load(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Puts the trainer where it was when the checkpoint was saved.

    path: one checkpoint, or a folder of them, of which the newest is taken.
    Raises: TrainerError if there is none, it is damaged, or it belongs to another training; the trainer is then as it
    was, or must be built anew if the message says so.
    """
    from safetensors.torch import load_file

    path = newest(path)
    state, settings = _read_state(path)
    own = trainer.settings.to_dict()
    different = [name for name in BINDING if settings.to_dict()[name] != own[name]]
    processes = state.get("world_size", 1)
    if state.get("step_in_epoch") and processes != trainer.ranks.world_size:
        raise TrainerError(
            f"{path}: was saved in the middle of an epoch shared by {processes} processes; this is one of "
            f"{trainer.ranks.world_size}. Resume with as many."
        )
    if different:
        words = ", ".join(f"{name}={settings.to_dict()[name]!r}, not {own[name]!r}" for name in different)
        raise TrainerError(f"{path}: was saved with {words}. Resume with the same, or start anew.")
    try:
        weights = load_file(path / WEIGHTS)
        optimizers = torch.load(path / OPTIMIZER, weights_only=True, map_location="cpu")
        if len(optimizers) != len(trainer.optimizers):
            raise ValueError(f"{len(optimizers)} optimizers, wanted {len(trainer.optimizers)}")
        trainer.model.load_state_dict(weights)
        for optimizer, saved in zip(trainer.optimizers, optimizers, strict=True):
            optimizer.load_state_dict(saved)
        _restore(trainer, state)
    except Exception as error:  # safetensors, zip, unpickler and load_state_dict each have exceptions of their own
        raise TrainerError(
            f"{path}: cannot be resumed ({type(error).__name__}: {error}). Build a new Trainer."
        ) from error


def settings_of(path: str | os.PathLike[str]) -> TrainerSettings:
    """The settings a checkpoint was saved with. Raises: TrainerError as ``load`` does."""
    return _read_state(newest(path))[1]


def newest(path: str | os.PathLike[str]) -> Path:
    """A checkpoint -> itself; a folder of checkpoints -> the newest. Raises: TrainerError if there is none."""
    path = Path(path)
    if (path / STATE).is_file():
        return path
    found = _all(path)
    if not found:
        what = "holds no checkpoint (step-NNNNNNNNN)" if path.is_dir() else "is not a folder"
        raise TrainerError(f"{path}: {what}. Give the folder that checkpoint_dir= named.")
    return found[-1]


def _state(trainer: Trainer) -> dict[str, Any]:
    best = trainer.best_loss
    return {
        "format": FORMAT,
        "settings": trainer.settings.to_dict(),
        "step": trainer.step,
        "epoch": trainer.epoch,
        "step_in_epoch": trainer.step_in_epoch,
        "world_size": trainer.ranks.world_size,
        "lr": trainer.learning_rate.base,
        "best_loss": best if math.isfinite(best) else None,
        "epochs_without_progress": trainer.epochs_without_progress,
        "dropout": {name: layer.p for name, layer in trainer.dropout_layers().items()},
        "scaler": trainer.precision.scaler.state_dict(),
    }


def _restore(trainer: Trainer, state: dict[str, Any]) -> None:
    lrs = [float(lr) for lr in state["lr"]]
    if len(lrs) != len(trainer.learning_rate.base):
        raise ValueError(f"{len(lrs)} learning rates, wanted {len(trainer.learning_rate.base)}")
    trainer.step, trainer.epoch = int(state["step"]), int(state["epoch"])
    trainer.step_in_epoch = int(state["step_in_epoch"])
    trainer.learning_rate.base = lrs
    trainer.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
    trainer.epochs_without_progress = int(state["epochs_without_progress"])
    for name, p in state["dropout"].items():
        trainer.set_dropout(name, p)
    if state["scaler"]:
        trainer.precision.scaler.load_state_dict(state["scaler"])
    trainer.stopped = None


def _read_state(path: Path) -> tuple[dict[str, Any], TrainerSettings]:
    try:
        text = (path / STATE).read_bytes()[: 1 << 20]
        state = json.loads(text)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"format {state.get('format') if isinstance(state, dict) else state!r}, wanted {FORMAT}")
        return state, TrainerSettings.from_dict(state["settings"])
    except (OSError, ValueError, KeyError, TypeError, GraphscopeError) as error:
        raise TrainerError(
            f"{path / STATE}: no checkpoint of this version ({type(error).__name__}: {error})."
        ) from error


def _all(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / STATE).is_file())


def _remove(checkpoint: Path) -> None:
    """Removes a checkpoint's own files, and its folder if nothing else lies in it."""
    for name in (STATE, WEIGHTS, OPTIMIZER):  # STATE first: without it, it is no checkpoint any more
        (checkpoint / name).unlink(missing_ok=True)
    if not any(checkpoint.iterdir()):
        checkpoint.rmdir()
