"""Array types, codes and limits that records are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

SCHEMA_MAJOR = 1
"""Raised when an old reader would misread a new file; such a file is refused with words."""
SCHEMA_MINOR = 1
"""Raised when kinds or fields were added; an old reader skips and counts them."""

# Arrays: what a field holds is anything numpy can view as that dtype; [n] and [n, 128] are shapes.
U8 = Annotated[Any, "u8"]
U16 = Annotated[Any, "u16"]
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
PARAMETER_STATISTICS = ("update_ratio", "cosine")
"""Names that ``run.series`` takes besides: of role ``update``, its l2 over that of the parameter before the step; of
role ``parameter_gradient``, the cosine with the gradient of the captured step before."""
HISTOGRAM_BINS = 128
"""Bins of a log2 histogram in order of value: -2**23 and beyond, ..., -2**-40, 2**-40, ..., 2**23 and beyond.

Bin 64 + (e + 40) counts 2**e <= x < 2**(e+1) for e from -40 to 23, bin 63 - (e + 40) the same of -x; smaller and larger
magnitudes go into the end bins. Zeros, NaN and Inf are in no bin: they are counted apart.
"""
HISTOGRAM_MIN_EXPONENT = -40
GRADIENT_STATES = ("local", "reduced", "scaled", "final")
"""What the gradients of parameters are that were read. ``final``: at the optimizer's step, accumulated, unscaled,
clipped and reduced, as it uses them. ``scaled``: there as well, and it divides them by the scale of a GradScaler itself
(fused optimizers). Where no optimizer updates the model, at the end of a backward: ``reduced`` over the processes by
DistributedDataParallel, or ``local``. What the loop does with the latter afterwards is not seen, and a loss that it
scaled by hand neither."""
CALLS = (
    "forward", "forward_eval", "forward_no_grad", "forward_eval_no_grad", "forward_raised", "backward", "zero_grad",
    "optimizer_step", "other_optimizer_step", "skipped_step", "scheduler_step", "lr_change",
)  # fmt: skip
"""What ``StepRecord.calls`` is made of. A forward is one of the watched root: in train mode with gradients, in eval
mode, without gradients, or raising. ``backward`` is one that came through the root's output, ``torch.autograd.grad``
too. ``other_optimizer_step`` is one of an optimizer that is not the session's. Inferred, not seen: ``zero_grad``
(gradients that were there are gone or zero; told where it was noticed, before the next forward, backward or step),
``skipped_step`` (they were cleared without a step of the optimizer, as a GradScaler does with gradients that are not
finite), ``scheduler_step`` (its counter rose) and ``lr_change`` (a rate changed, and no known scheduler stepped)."""
VALUE_KINDS = ("op", "input", "parameter", "buffer", "constant")
"""Where a tensor of a graph comes from; codes are indexes into this tuple."""
ESTIMATE, NOT_MEASURED, HISTOGRAM_ESTIMATE, COSINE_ESTIMATE = 1, 2, 4, 8
"""Bits of ``StepStats.flags``: the row is from a sample of the tensor; nothing could be measured (see ``unmeasured``);
the histogram alone is from a sample, scaled to the whole tensor; the cosine alone is from a sample."""
DENSE_STEPS = 20
"""With ``every="auto"``, steps up to this one are all captured."""
LOG_SPACED = frozenset({25, 32, 40, 50, 63, 79, 100})
"""... and these, whatever they cost; from then on the budget alone decides."""
INPLACE, FAILED, VIEW = 1, 2, 4
"""Bits of ``GraphRecord.op_flags``: wrote into its input; raised; its output shares memory with an input."""
MAX_RUN_MB = 2048.0
"""Cap of a run file in MB (10^6 bytes) where none is asked for."""
