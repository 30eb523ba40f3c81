"""What happened in the loop: passes, steps and what was logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRecord:
    """One forward of the root module, or several like it in a row."""

    kind: ClassVar[str] = "pass"
    step: int
    """Optimizer steps done before it."""
    pass_index: int
    graph_id: str | None
    """None if the pass was not captured."""
    training: bool
    """``root.training``."""
    grad_enabled: bool
    repeats: int = 1
    """How many passes in a row this record stands for (only uncaptured ones are put together)."""
    train_mode_layers: Sequence[str] = ()
    """Paths of BatchNorm and Dropout layers in train mode during a pass without gradients."""
    input_shapes: Sequence[Sequence[int]] = ()
    error: str | None = None
    """Exception that ended it: type and text."""
    error_fqn: str | None = None
    """Innermost module that was running when it was raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One optimizer step: what it cost and its scalars."""

    kind: ClassVar[str] = "step"
    step: int
    captured: bool
    """Whether statistics of this step are recorded."""
    passes: int
    """Forwards with gradients since the last step."""
    seconds: float
    """Monotonic time since the start of the session."""
    step_seconds: float | None
    """Time since the last step ended."""
    self_seconds: float
    """How much of it GraphScope itself took on the training thread."""
    scalars: dict[str, float]
    """``loss``, ``grad_norm``, ``lr`` and what the user logged; only what is known."""
    stale_gradients: bool | None = None
    """Whether gradients of an earlier step were still there when backward began; None: not looked at."""
    epoch: int | None = None
    """As the user counts them; the built-in trainer from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarRecord:
    """Values logged by name that belong to a step already done, for instance an evaluation."""

    kind: ClassVar[str] = "scalars"
    step: int
    scalars: dict[str, float]
    epoch: int | None = None
