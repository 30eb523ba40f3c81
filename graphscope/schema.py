"""The words of GraphScope as data: the records that a kernel writes and a file, a page and a report read.

A record is one immutable fact. Its scalars, texts and small lists travel as JSON, its arrays as raw little-endian
columns (``graphscope/run/codec.py``); ``js/src/schema.ts`` is generated from this file, so that a field exists once.
Rules: unknown is ``None``, never zero. A reader skips kinds and fields that it does not know, and counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

SCHEMA_MAJOR = 1
"""Raised when an old reader would misread a new file; such a file is refused with words."""
SCHEMA_MINOR = 0
"""Raised when kinds or fields were added; an old reader skips and counts them."""

# Arrays: what a field holds is anything numpy can view as that dtype; [n] and [n, 128] are shapes.
U8 = Annotated[Any, "u8"]
U32 = Annotated[Any, "u32"]
I32 = Annotated[Any, "i32"]
I64 = Annotated[Any, "i64"]
F32 = Annotated[Any, "f32"]
F64 = Annotated[Any, "f64"]

Severity = Literal["error", "warning", "info"]

ROLES = ("activation", "gradient", "parameter", "parameter_gradient", "update", "buffer")
"""Role codes are indexes into this tuple: only ever append."""
STATISTICS = ("mean", "std", "min", "max", "absmax", "l2", "zeros", "nan", "inf", "zero_share")
"""Names that ``run.series`` takes. ``inf`` counts both signs; ``zero_share`` is zeros / count."""
HISTOGRAM_BINS = 128
"""Bins of a log2 histogram in order of value: -2**23 and beyond, ..., -2**-40, 2**-40, ..., 2**23 and beyond.

Bin 64 + (e + 40) counts 2**e <= x < 2**(e+1) for e from -40 to 23, bin 63 - (e + 40) the same of -x; smaller and larger
magnitudes go into the end bins. Zeros, NaN and Inf are in no bin: they are counted apart.
"""
HISTOGRAM_MIN_EXPONENT = -40
VALUE_KINDS = ("op", "input", "parameter", "buffer", "constant")
"""Where a tensor of a graph comes from; codes are indexes into this tuple."""
ESTIMATE, NOT_MEASURED, HISTOGRAM_ESTIMATE = 1, 2, 4
"""Bits of ``StepStats.flags``: the row is from a sample of the tensor; nothing could be measured (see ``unmeasured``);
the histogram alone is from a sample, scaled to the whole tensor."""
INPLACE, FAILED, VIEW = 1, 2, 4
"""Bits of ``GraphRecord.op_flags``: wrote into its input; raised; its output shares memory with an input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """The first record of every run file: who writes what with which versions."""

    kind: ClassVar[str] = "run_header"
    run_id: str
    """Random hexadecimal id; files of one run (ranks, restarts) share it."""
    name: str
    """Shown name, for instance ``SmallCnn-1``."""
    model: str
    """Class name of the watched root module."""
    created: str
    """Wall time of the start, ISO 8601 with offset; a label, never used to order."""
    schema_major: int = SCHEMA_MAJOR
    schema_minor: int = SCHEMA_MINOR
    rank: int = 0
    world_size: int = 1
    graphscope: str = ""
    """Version of GraphScope."""
    torch: str = ""
    """Version of PyTorch."""
    python: str = ""
    """Version of Python."""
    statistics: str = "torch"
    """Which code computes statistics: ``torch`` (torch operations) or ``native`` (the C kernel)."""
    device: str = ""
    """Device of the first parameter."""
    every: str = "auto"
    """When steps are captured, as asked."""
    budget: float = 0.01
    """Share of step time that watching may take, as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecord:
    """One distinct topology, as columns. ``graphscope.graph.Graph`` is its readable form.

    A column ending in ``_ptr`` has one entry more than it has rows: row i owns ``[ptr[i], ptr[i+1])`` of the column
    of the same name without ``_ptr``. Texts are indexes into ``strings``; ``strings[0]`` is the empty text.
    """

    kind: ClassVar[str] = "graph"
    graph_id: str
    """Content hash over ops, attributes, edges and modules, without sizes."""
    partial: str
    """Why the pass ended before the model returned (the exception's type and text); empty if it returned."""
    traced: bool
    """Whether ops were recorded; False for the mere module tree."""
    strings: Sequence[str]
    module_fqn: U32
    """[m] text; the root's is the empty text. Parents come before children."""
    module_type: U32
    """[m] text, class name."""
    module_attrs: U32
    """[m] text, the module's ``extra_repr``."""
    module_parent: I32
    """[m] module, -1 for the root."""
    param_name: U32
    """[p] text: fqn of a parameter, as in ``state_dict``."""
    param_module: U32
    """[p] module that owns it."""
    param_ndim: U8
    param_sizes: I64
    """Sizes of all parameters one after the other; ``param_ndim`` says how many each has."""
    param_trainable: U8
    """[p] 1 if ``requires_grad``."""
    param_tied: I32
    """[p] the earlier parameter that is the same tensor, or -1."""
    call_module: U32
    """[c] module that was called. Call 0 is the root's; callers come before what they call."""
    call_index: U32
    """[c] n-th call of that module in the pass, from 0."""
    call_parent: I32
    """[c] call during which it was made, -1 for the root's."""
    call_opaque: U32
    """[c] text: why the inside of the call cannot be seen; empty if it can."""
    call_outputs_ptr: U32
    call_outputs: U32
    """Values that the call returned."""
    value_kind: U8
    """[v] index into VALUE_KINDS."""
    value_name: U32
    """[v] text: argument name of an input, fqn of a parameter or buffer."""
    value_dtype: U32
    """[v] text, for instance ``float32``."""
    value_device: U32
    """[v] text, for instance ``cuda:0``."""
    value_requires_grad: U8
    value_ndim: U8
    value_sizes: I64
    op_name: U32
    """[n] text: the public torch name (``conv2d``, ``relu``, ``add``)."""
    op_call: U32
    """[n] call in which it ran."""
    op_file: U32
    """[n] text: file of the user's line; empty if unknown."""
    op_line: U32
    op_grad_fn: U32
    """[n] text: name of the backward node; empty if none."""
    op_flags: U8
    """[n] bits INPLACE, FAILED, VIEW."""
    op_opaque: U32
    """[n] text: why its inside cannot be seen; empty if it can."""
    op_attrs: U32
    """[n] text: the arguments that are no tensors, as a JSON object."""
    op_inputs_ptr: U32
    op_inputs: U32
    """Values read."""
    op_outputs_ptr: U32
    op_outputs: U32
    """Values made."""
    op_params_ptr: U32
    op_params: U32
    """Parameters read (indexes into the param columns)."""
    inputs: U32
    """Values given to the root."""
    outputs: U32
    """Values returned by the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressTable:
    """New addresses, numbered from ``start`` on: what the rows of ``StepStats`` belong to."""

    kind: ClassVar[str] = "addresses"
    start: int
    fqn: Sequence[str]
    """Module path, or the full name of a parameter or buffer."""
    call: U32
    output: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """Statistics of every tensor captured in one pass; one row a tensor.

    Mean, std, min, max, absmax and l2 are over the finite values; NaN where there are none.
    """

    kind: ClassVar[str] = "step_stats"
    step: int
    pass_index: int
    """n-th pass of this step."""
    address: U32
    """[n] number in the address table."""
    role: U8
    """[n] index into ROLES."""
    flags: U8
    """[n] bits ESTIMATE, NOT_MEASURED."""
    dtype: U8
    """[n] index into ``dtypes``."""
    ndim: U8
    sizes: I64
    """Shapes one after the other; ``ndim`` says how many sizes each row has."""
    count: I64
    """[n] number of elements of the tensor."""
    mean: F64
    std: F64
    """Population standard deviation."""
    min: F64
    max: F64
    absmax: F64
    l2: F64
    """Euclidean norm."""
    zeros: I64
    nan: I64
    pos_inf: I64
    neg_inf: I64
    histogram_row: U32
    """[m] rows that have a histogram."""
    histogram: U32
    """[m, 128] see HISTOGRAM_BINS."""
    dtypes: Sequence[str] = ()
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Row number -> why nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormStats:
    """What one BatchNorm layer saw and kept in one pass, per channel [C]."""

    kind: ClassVar[str] = "batchnorm_stats"
    step: int
    fqn: str
    call: int
    training: bool
    """Whether the batch's own statistics normalised it."""
    momentum: float | None
    """Weight of the new batch in the running average; None: cumulative average."""
    eps: float
    count: int
    """Values per channel."""
    batches_tracked: int | None
    batch_mean: F64
    batch_var: F64
    """Biased, as the batch is normalised with."""
    running_mean: F64 | None
    """After this pass's update; None without running statistics."""
    running_var: F64 | None
    weight: F64 | None
    """Gamma; None for a layer without it."""
    bias: F64 | None
    """Beta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropoutStats:
    """What one Dropout layer did in one pass."""

    kind: ClassVar[str] = "dropout_stats"
    step: int
    fqn: str
    call: int
    p: float
    """Configured drop probability, 0 to 1."""
    dropped: float | None
    """Share of non-zero inputs that came out zero; None if all inputs were zero."""
    nonzero: int
    """Number of non-zero inputs."""
    count: int
    """Number of inputs."""
    training: bool
    drops: str
    """What it drops as one: ``values`` or ``channels``."""
    units: int
    """How many values or channels were drawn for."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a rule found. A later one with the same ``rule``, ``fqn`` and ``call`` takes its place."""

    kind: ClassVar[str] = "finding"
    rule: str
    """Name of the rule, for instance ``softmax-before-cross-entropy``."""
    severity: Severity
    title: str
    """The symptom in a few words."""
    message: str
    """What was found where, with the number that fired, its limit and its unit."""
    advice: str
    """What to do about it."""
    why: str
    """Why it matters, and when it is fine."""
    fqn: str = ""
    """Module it is about; empty for the whole model or loop."""
    call: int = 0
    node: int | None = None
    """Op in the graph ``graph_id``."""
    graph_id: str | None = None
    step: int | None = None
    """First step at which it was seen."""
    last_step: int | None = None
    count: int = 1
    """How often it was seen."""
    value: float | None = None
    """The number that fired."""
    limit: float | None = None
    """Where it begins to fire."""
    file: str = ""
    line: int | None = None
    fix: str = ""
    """Code: lines that begin with ``- `` go, those that begin with ``+ `` come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What GraphScope has to say about the recording itself: what is missing, thinned or switched off, and why."""

    kind: ClassVar[str] = "note"
    severity: Severity
    text: str
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The last record of a file that was closed; without it the run is shown as unfinished."""

    kind: ClassVar[str] = "run_end"
    steps: int
    records: int
    dropped: int = 0
    """Records that were lost because the disk was too slow."""
    reason: str = "closed"


RunRecord = (
    RunHeader | GraphRecord | AddressTable | StepStats | BatchNormStats | DropoutStats | PassRecord | StepRecord
    | ScalarRecord | Finding | Note | RunEnd
)  # fmt: skip
RECORDS: tuple[type, ...] = get_args(RunRecord)
LayerStats = BatchNormStats | DropoutStats
LAYER_STATS: tuple[type, ...] = get_args(LayerStats)
