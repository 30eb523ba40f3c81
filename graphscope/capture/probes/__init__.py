"""Layer kinds that are looked into, one file each; the panel of the same stem shows what it found."""

from __future__ import annotations

from typing import Any

from torch import nn

from graphscope.capture.arrival import Deferred
from graphscope.capture.probes import batchnorm, dropout

PROBES = (batchnorm, dropout)

Pending = Deferred
"""What a layer measured; its numbers may still be on a device."""


def probe_of(module: nn.Module) -> Any | None:
    """The probe for a layer, or None."""
    return next((probe for probe in PROBES if isinstance(module, probe.LAYERS)), None)


def is_mode_dependent(module: nn.Module) -> bool:
    """Whether ``train()`` and ``eval()`` make a difference to this layer."""
    return isinstance(module, batchnorm.LAYERS + dropout.LAYERS)
