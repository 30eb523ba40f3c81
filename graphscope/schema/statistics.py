"""What was measured of tensors and layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from graphscope.schema.words import F32, F64, I64, U8, U16, U32


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
    """[n] bits ESTIMATE, NOT_MEASURED, HISTOGRAM_ESTIMATE, COSINE_ESTIMATE."""
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
    cosine: F32 | None = None
    """[n] of a parameter's gradient with that of the captured step before, -1 to 1; NaN where it is not known."""
    dtypes: Sequence[str] = ()
    unmeasured: dict[str, str] = field(default_factory=dict)
    """Row number -> why nothing was measured."""
    gradient_state: str | None = None
    """What the rows of role ``parameter_gradient`` are, in the words of ``schema.GRADIENT_STATES``; None: there are
    none, or it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedStats:
    """A StepStats as it travels, in a third of the bytes and with every value kept; readers make it a StepStats again.

    Columns of the same kind lie one after the other. m rows have a histogram, k of their bins are not empty.
    """

    kind: ClassVar[str] = "packed_stats"
    step: int
    pass_index: int
    address: U32
    """[n]"""
    codes: U8
    """[4 n] role, flags, dtype, ndim."""
    whole: U32
    """[2 n + s] count, zeros, sizes."""
    nonfinite: U32 | None
    """[3 n] nan, pos_inf, neg_inf; None if all are 0."""
    exact: F64
    """[3 n] mean, std, l2."""
    ends: F32 | None
    """[2 n] min, max, where float32 holds them all exactly."""
    wide_ends: F64 | None
    """[2 n] the same where it does not."""
    absmax: F64 | None
    """[n]; None if it follows from min and max."""
    histogram_row: U32
    """[m]"""
    used: U8
    """[16 m] one bit a bin, the first bin in the highest bit: whether it is not empty."""
    bins: U16
    """[k] low 16 bits of the counts of the bins that are not empty."""
    over_at: U32
    """[j] places in ``bins`` whose count is 65,536 or more, rising."""
    over: U16
    """[j] their high 16 bits."""
    cosine: F32 | None = None
    """[n]"""
    dtypes: Sequence[str] = ()
    unmeasured: dict[str, str] = field(default_factory=dict)
    gradient_state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpGradients:
    """The gradients that reached the outputs of ops in the backward of one pass; one row an output.

    An op without a row got no gradient that autograd showed: nothing behind it was differentiated, its value was
    overwritten through another view, or it ran behind the model's output. Moments as in ``StepStats``.
    """

    kind: ClassVar[str] = "op_gradients"
    step: int
    pass_index: int
    graph_id: str
    """Graph whose op columns ``node`` counts."""
    node: U32
    """[n] row of the op columns."""
    output: U32
    """[n] which of the op's outputs."""
    flags: U8
    """[n] bits ESTIMATE, NOT_MEASURED."""
    count: I64
    """[n] number of elements of the gradient."""
    mean: F64
    std: F64
    min: F64
    max: F64
    absmax: F64
    l2: F64
    zeros: I64
    nan: I64
    pos_inf: I64
    neg_inf: I64
    left_out: int = 0
    """Ops beyond the first thousands, whose gradients were not looked at."""


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
