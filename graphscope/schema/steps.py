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
    """Passes with gradients count from 0 in every step, the others from 1,000 in the file."""
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
    topology: int | None = None
    """Number of its topology in this file, by fingerprint; None: not looked at, or it raised. Passes with one number
    ran one graph, as far as a fingerprint sees (``graphscope/capture/fingerprint.py``)."""
    backward_error: str | None = None
    """In words, what is known of an exception that ended its backward; None if none did."""
    backward_node: int | None = None
    """Op of its graph whose backward raised: the last one that a gradient reached."""


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
    """``loss``, ``grad_norm``, ``lr`` and what the user logged; only what is known. ``loss`` is the number on which the
    last backward was called, divided by the scale where a GradScaler scaled it; other factors of the loop stay in."""
    stale_gradients: bool | None = None
    """Whether gradients of an earlier step were still there when backward began; None: not looked at."""
    epoch: int | None = None
    """As the user counts them; the built-in trainer from 1."""
    topology: int | None = None
    """Topology of the last of its passes with gradients, as in ``PassRecord``: the step's graph is that of a recorded
    pass with the same number; where there is none, its graph is not recorded yet."""
    calls: str = ""
    """What the loop did since the last step, in order, in the words of ``schema.CALLS``: ``zero_grad (forward
    backward)*4 optimizer_step``. Empty: not looked at."""
    backwards: int | None = None
    """Backward passes that went through the root's output since the last step; None: not looked at."""
    skipped: int | None = None
    """Updates that were given up since the last step: gradients cleared, or found not finite by a GradScaler, without
    a step of the optimizer; None: not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarRecord:
    """Values logged by name that belong to a step already done, for instance an evaluation."""

    kind: ClassVar[str] = "scalars"
    step: int
    scalars: dict[str, float]
    epoch: int | None = None
