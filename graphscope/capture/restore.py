"""A model before and after a forward of ours -> the same: buffers, training mode, and every random number generator.

Buffers go back through ``.data.copy_``: ``copy_`` on the buffer itself would break a backward that is still pending.
Other Python state that a forward changes is the model's own.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from graphscope.capture.modules import walk_modules


@contextmanager
def restored(root: nn.Module, modules: list[nn.Module] | None = None) -> Iterator[None]:
    """Whatever happens inside, buffers, modes and random states are as before when it ends.

    ``modules`` are all modules of the root, for a caller who has walked it.
    """
    if modules is None:
        modules = [module for _, module, _ in walk_modules(root)]
    modes = [module.training for module in modules]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
    ]
    states = _random_states(modules)
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            if module.training is not mode:  # setting an attribute of a module costs a microsecond
                module.training = mode
        for module, name, buffer, copy in buffers:
            module._buffers[name] = buffer
            if buffer is not None and copy is not None:
                buffer.data.copy_(copy)
        _restore_random(states)


def _random_states(modules: list[nn.Module]) -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    devices: set[torch.device] = set()
    if torch.cuda.is_initialized():  # else no tensor can be there
        tensors = (t for m in modules for t in (*m._parameters.values(), *m._buffers.values()) if t is not None)
        devices = {t.device for t in tensors if t.is_cuda}
    return {
        "torch": torch.get_rng_state(),
        "cuda": {device: torch.cuda.get_rng_state(device) for device in devices},
        "python": random.getstate(),
        "numpy": numpy.random.get_state() if numpy is not None else None,
    }


def _restore_random(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    for device, state in states["cuda"].items():
        torch.cuda.set_rng_state(state, device)
    random.setstate(states["python"])
    if states["numpy"] is not None:
        sys.modules["numpy"].random.set_state(states["numpy"])
