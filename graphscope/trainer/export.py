"""A trained network -> a ``torch.export`` file that runs without its Python class, for batches of any size."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graphscope.errors import TrainerError

if TYPE_CHECKING:
    from graphscope.trainer.loop import Trainer


def export(trainer: Trainer, path: str | os.PathLike[str]) -> Path:
    """Writes the network in eval mode, on the CPU; read it back with ``torch.export.load(path).module()``.

    The file appears whole or not at all. The trainer is left as it is.
    Raises: TrainerError if torch cannot export the network, or the path cannot be written.
    """
    path = Path(path)
    model = copy.deepcopy(trainer.model).cpu().eval()
    inputs = tuple(x.cpu()[:8] for x in trainer.example())
    sizes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a recurrent layer's flat weights, which are parameters
            program = torch.export.export(model, inputs, dynamic_shapes=sizes)
    except Exception as error:  # torch.export fails in as many ways as there are networks
        words = str(error).strip().split("\n", 1)[0][:300]
        raise TrainerError(
            f"export: torch.export cannot follow {type(model).__name__} ({type(error).__name__}: {words})."
        ) from error
    made = io.BytesIO()  # not the file: on a full disk torch's writer raises a RuntimeError without a reason
    torch.export.save(program, made)
    real = Path(os.path.realpath(path))  # a link stays one
    part = real.with_name(f".{real.name}.part")
    try:
        if path.exists() and not path.is_file():  # a rename would put a file in the place of a device or pipe
            path.write_bytes(made.getbuffer())
            return path
        real.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(made.getbuffer())
        os.replace(part, real)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise TrainerError(f"export: {path} cannot be written: {error.strerror or error}.") from error
    return path
