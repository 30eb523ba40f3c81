"""What a kernel and a page say to each other besides records: replies (kernel -> page) and commands (page -> kernel).

Same conventions as ``graphscope/schema/``, and ``js/src/schema.ts`` is generated from both. A command carries
numbers that the kernel gave out before, never a path, a name of an attribute or code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from graphscope.schema import F64, I32, I64, U8

SessionState = Literal["live", "paused", "closed", "off"]
TrainerState = Literal["idle", "loading", "training", "paused", "finished", "stopped", "failed"]

# Replies: what a kernel says to a page besides records; never written to a file.


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """How a session is doing; sent when it changes, at most a few times a second."""

    kind: ClassVar[str] = "session_status"
    session: str
    name: str
    model: str
    state: SessionState
    step: int | None
    """Last step done; None before the first."""
    captured_steps: int
    steps_per_second: float | None
    overhead: float | None
    """What watching took over what the steps themselves took, over the recent window."""
    steady_overhead: float | None = None
    """The same without the first steps, which ``every="auto"`` captures anyway; None while there are no others."""
    loss: float | None
    epoch: int | None
    errors: int
    """Findings by severity."""
    warnings: int
    infos: int
    run_dir: str
    message: str = ""
    """Why it is paused or off, if it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerStatus:
    """The built-in trainer beside a session: what can be chosen and how far it is."""

    kind: ClassVar[str] = "trainer_status"
    state: TrainerState
    settings: dict[str, Any]
    """Current settings by name (``TrainerSettings``)."""
    choices: dict[str, Sequence[str]]
    """Menu entries by setting name."""
    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float | None
    accuracy: float | None
    """Training accuracy, 0 to 1, over the recent batches."""
    test_accuracy: float | None
    """Accuracy of the last evaluation, 0 to 1."""
    images_per_second: float | None
    seconds_left: float | None
    data_text: str
    """What the data set is, in words, for instance ``1,437 training images``."""
    model_text: str
    message: str = ""
    """Why it failed, or why it paused where a condition held."""
    dropout: dict[str, float] = field(default_factory=dict)
    """Drop probability by module path of the network's Dropout layers."""
    break_when: str = ""
    """The condition on which it pauses; empty: none."""
    broke_at: str = ""
    """While it is paused by that condition: path of the module it is about."""
    at_layer: str = ""
    """While it is paused inside a step: path of the layer just reached; ``message`` says what was seen there."""
    at_direction: str = ""
    """While it is paused inside a step: ``forward`` or ``backward``; empty: between two batches."""
    test_epoch: int | None = None
    """Epoch of the last evaluation, from 1."""
    recall: Sequence[float | None] = ()
    """Per class the share of its test images that was classified as it, at the last evaluation."""
    classes: Sequence[str] = ()
    """What class 0, 1, ... stands for; empty if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSamples:
    """What the network says now of a batch of test images that stays the same all along."""

    kind: ClassVar[str] = "trainer_samples"
    step: int
    """Optimizer steps done when it was asked."""
    size: Sequence[int]
    """Images, height, width, channels (1 or 3); no images: all 0."""
    pixels: U8
    """[n * height * width * channels] bytes, row by row, stretched to 0 ... 255 per channel."""
    label: I32
    """[n] class each image is of."""
    predicted: I32
    """[n] class with the highest score."""
    confidence: F64
    """[n] softmax of that score, 0 to 1; the score itself where the network's outputs are shares already."""
    message: str = ""
    """Why there is none, if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRanks:
    """The processes of a run that was read from several files, rising, and which of them is shown."""

    kind: ClassVar[str] = "run_ranks"
    shown: int | None
    """Rank whose records follow; None: all, merged."""
    rank: Sequence[int]
    last_step: Sequence[int | None]
    last_seen: Sequence[str]
    """Wall time of the last step by the process's own clock, ISO 8601; empty if unknown."""
    finished: Sequence[bool]
    """Whether the last file was closed; False while it trains, or if it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReply:
    """Answer to Select: one address over all recorded steps, unthinned."""

    kind: ClassVar[str] = "series"
    request: int
    address: int
    role: int
    step: I64
    """[n] recorded steps of this address, rising."""
    mean: F64
    std: F64
    absmax: F64
    l2: F64
    zero_share: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """Answer to Ping: the kernel is there and serves the page."""

    kind: ClassVar[str] = "pong"
    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandError:
    """Answer to a command that could not be carried out: one sentence for the person who gave it."""

    kind: ClassVar[str] = "command_error"
    command: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelList:
    """Answer to the sidebar: what lives in the kernel."""

    kind: ClassVar[str] = "kernel_list"
    models: Sequence[dict[str, Any]]
    """``name``, ``type``, ``parameters`` (null if unknown), ``training``, ``session`` (id or empty) per model."""
    sessions: Sequence[dict[str, Any]]
    """Fields of SessionStatus per session."""


Reply = SessionStatus | TrainerStatus | TrainerSamples | RunRanks | SeriesReply | Pong | CommandError | KernelList
REPLIES: tuple[type, ...] = get_args(Reply)


# Commands: what a page may ask of a kernel; JSON only, checked field by field.


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A view opened (or came back after a reload): send what there is."""

    kind: ClassVar[str] = "hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Is the kernel answering while it works?"""

    kind: ClassVar[str] = "ping"
    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """A person clicked a node: all recorded steps of this address and role, please."""

    kind: ClassVar[str] = "select"
    request: int
    address: int
    role: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The scrubber rests on a step whose statistics were not sent yet."""

    kind: ClassVar[str] = "look"
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRank:
    """Show one process of a run that was read from several files, or all of them."""

    kind: ClassVar[str] = "show_rank"
    rank: int
    """-1: all, merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureNext:
    """Capture the next step in full."""

    kind: ClassVar[str] = "capture_next"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookInside:
    """Record the aten ops inside one module call on the coming captured step."""

    kind: ClassVar[str] = "look_inside"
    fqn: str
    """Module path; one that the model has, else it is refused."""
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReport:
    """Write a report beside the run; answered by a Note with its path."""

    kind: ClassVar[str] = "save_report"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerStart:
    """Start the trainer, or go on after a pause. ``settings`` are ignored while one is under way."""

    kind: ClassVar[str] = "trainer_start"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerPause:
    """Stop after the batch under way, keep everything."""

    kind: ClassVar[str] = "trainer_pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerStep:
    """Train one batch, then pause; its step is captured."""

    kind: ClassVar[str] = "trainer_step"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerLayer:
    """Go on to where a layer's forward or backward is done, and pause there, inside the step."""

    kind: ClassVar[str] = "trainer_layer"
    fqn: str = ""
    """Module path; empty: the next layer that is reached."""
    direction: str = ""
    """``forward`` or ``backward``; empty: whichever comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerStop:
    """End the training and close its session."""

    kind: ClassVar[str] = "trainer_stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerRestart:
    """End the training under way and begin it anew from the first step, in a session of its own."""

    kind: ClassVar[str] = "trainer_restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSet:
    """Change the learning rate from the next batch on."""

    kind: ClassVar[str] = "trainer_set"
    lr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerMomentum:
    """Change the momentum, or the first beta of Adam, from the next batch on."""

    kind: ClassVar[str] = "trainer_momentum"
    momentum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerDropout:
    """Change the drop probability of one Dropout layer from the next batch on."""

    kind: ClassVar[str] = "trainer_dropout"
    fqn: str
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerBreak:
    """Pause where a condition begins to hold (grammar: ``graphscope/conditions.py``); an empty one is none."""

    kind: ClassVar[str] = "trainer_break"
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKernel:
    """The sidebar asks what lives in the kernel."""

    kind: ClassVar[str] = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The sidebar opens a view of a session, or of a model by its name in the user's namespace."""

    kind: ClassVar[str] = "open"
    session: str = ""
    model: str = ""


Command = (
    Hello
    | Ping
    | Select
    | Look
    | ShowRank
    | CaptureNext
    | LookInside
    | SaveReport
    | TrainerStart
    | TrainerPause
    | TrainerStep
    | TrainerLayer
    | TrainerStop
    | TrainerRestart
    | TrainerSet
    | TrainerMomentum
    | TrainerDropout
    | TrainerBreak
    | ListKernel
    | Open
)
COMMANDS: tuple[type, ...] = get_args(Command)
