"""What the loop yields: one fact per batch, one per evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """One optimizer step, just done."""

    step: int
    """0-based."""
    epoch: int
    """0-based."""
    loss: float
    """Mean over the step's images, before the step; NaN or infinite if it was."""
    accuracy: float | None
    """Share of the step's images classified rightly before the step, 0 to 1; None where nothing is classified."""
    images: int
    """Inputs seen in this step."""
    seconds: float
    """Wall time of fetching the data and training on it."""
    lr: float
    """The learning rate this step was taken with, schedule included."""
    parts: dict[str, float] = field(default_factory=dict)
    """The terms of a loss that has several, by name: the two heads of multitask, the two sides of a GAN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """One pass over the test images, in eval mode, without gradients."""

    step: int
    """The last optimizer step before it, 0-based; -1 before any."""
    epoch: int
    """The epoch it ends, 0-based."""
    loss: float
    """Mean over the test images."""
    accuracy: float | None
    """Share of test images classified rightly, 0 to 1; None where nothing is classified."""
    recall: tuple[float | None, ...]
    """Per class: the share of its test images classified as it; None for a class without any. Empty without classes."""
    images: int
    """Test images."""
    seconds: float
    """Wall time."""
    parts: dict[str, float] = field(default_factory=dict)
    """The terms of a loss that has several, by name, each the mean over the test images."""
