"""One row of StepStats -> TensorSummary: what stands for a tensor, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphscope.run.addresses import Address
from graphscope.schema import (
    COSINE_ESTIMATE,
    ESTIMATE,
    HISTOGRAM_BINS,
    HISTOGRAM_ESTIMATE,
    HISTOGRAM_MIN_EXPONENT,
    NOT_MEASURED,
    ROLES,
    StepStats,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorSummary:
    """Statistics of one tensor at one step. What is not known is NaN or None, never zero."""

    fqn: str
    call: int
    output: int
    role: str
    step: int
    shape: tuple[int, ...]
    dtype: str
    count: int
    """Number of elements."""
    mean: float
    """Over the finite values, as std, min, max, absmax and l2."""
    std: float
    """Population standard deviation."""
    min: float
    max: float
    absmax: float
    l2: float
    zeros: int | None
    nan: int | None
    inf: int | None
    """Infinities of both signs."""
    pos_inf: int | None
    neg_inf: int | None
    zero_share: float
    """zeros / count."""
    estimate: bool
    """Whether the numbers are from a sample of the tensor."""
    unmeasured: str | None
    """Why nothing was measured; None if it was."""
    histogram: npt.NDArray[np.uint32] | None
    """[128] counts in log2 bins, see ``schema.HISTOGRAM_BINS``."""
    histogram_estimate: bool
    """Whether the histogram is from a sample, scaled to the whole tensor."""
    cosine: float
    """Of a parameter's gradient with that of the captured step before, -1 to 1; NaN where it is not known."""
    cosine_estimate: bool
    """Whether the cosine is from a sample of the two."""

    @property
    def rms(self) -> float:
        """Root mean square of the finite values; NaN where there are none."""
        if self.nan is None or self.inf is None or (finite := self.count - self.nan - self.inf) <= 0:
            return math.nan
        return self.l2 / math.sqrt(finite)


def value_at(stats: StepStats, row: int, statistic: str) -> float:
    """One of ``schema.STATISTICS`` or ``cosine`` of one row; NaN where nothing was measured."""
    if stats.flags[row] & NOT_MEASURED:
        return math.nan
    if statistic == "inf":
        return float(stats.pos_inf[row] + stats.neg_inf[row])
    if statistic == "zero_share":
        count = stats.count[row]
        return float(stats.zeros[row] / count) if count else math.nan
    if statistic == "cosine" and stats.cosine is None:
        return math.nan
    return float(getattr(stats, statistic)[row])


def summary_of(stats: StepStats, row: int, address: Address) -> TensorSummary:
    """Row -> its summary."""
    flags = int(stats.flags[row])
    measured = not flags & NOT_MEASURED
    start = int(stats.ndim[:row].sum(dtype=np.int64))

    def counted(name: str) -> int | None:
        return int(getattr(stats, name)[row]) if measured else None

    def moment(name: str) -> float:
        return value_at(stats, row, name)

    role = int(stats.role[row])
    pos_inf, neg_inf = counted("pos_inf"), counted("neg_inf")
    return TensorSummary(
        fqn=address.fqn,
        call=address.call,
        output=address.output,
        role=ROLES[role] if role < len(ROLES) else f"role {role}",
        step=stats.step,
        shape=tuple(stats.sizes[start : start + int(stats.ndim[row])].tolist()),
        dtype=stats.dtypes[int(stats.dtype[row])],
        count=int(stats.count[row]),
        mean=moment("mean"),
        std=moment("std"),
        min=moment("min"),
        max=moment("max"),
        absmax=moment("absmax"),
        l2=moment("l2"),
        zeros=counted("zeros"),
        nan=counted("nan"),
        inf=None if pos_inf is None or neg_inf is None else pos_inf + neg_inf,
        pos_inf=pos_inf,
        neg_inf=neg_inf,
        zero_share=moment("zero_share"),
        estimate=bool(flags & ESTIMATE),
        unmeasured=None if measured else stats.unmeasured.get(str(row), "not measured"),
        histogram=histogram_at(stats, row),
        histogram_estimate=bool(flags & HISTOGRAM_ESTIMATE),
        cosine=moment("cosine"),
        cosine_estimate=bool(flags & COSINE_ESTIMATE),
    )


def histogram_at(stats: StepStats, row: int) -> Any:
    """[128] counts of one row; None if it has no histogram."""
    found = np.flatnonzero(stats.histogram_row == row)
    return stats.histogram[found[-1]].copy() if len(found) else None


def histogram_edges() -> npt.NDArray[np.float64]:
    """[129] edges of the bins of a histogram; the outermost are infinite, since the end bins hold what is beyond."""
    half = HISTOGRAM_BINS // 2
    magnitudes = 2.0 ** (HISTOGRAM_MIN_EXPONENT + np.arange(1, half))
    return np.concatenate([[-np.inf], -magnitudes[::-1], [0.0], magnitudes, [np.inf]])
