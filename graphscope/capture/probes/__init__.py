"""Layer kinds that are looked into, one file each; the panel of the same stem shows what it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from graphscope.capture.probes import batchnorm, dropout
from graphscope.schema import LayerStats

PROBES = (batchnorm, dropout)

Pending = Callable[[], LayerStats]
"""Called at the end of the step, where a device may be waited for."""


def probe_of(module: nn.Module) -> Any | None:
    """The probe for a layer, or None."""
    return next((probe for probe in PROBES if isinstance(module, probe.LAYERS)), None)


def is_mode_dependent(module: nn.Module) -> bool:
    """Whether ``train()`` and ``eval()`` make a difference to this layer."""
    return isinstance(module, batchnorm.LAYERS + dropout.LAYERS)
