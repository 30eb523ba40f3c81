"""A long series -> a short one of which every stretch keeps its lowest, mean and highest value: no extreme is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A series in at most so many stretches, rising; each array has one entry a stretch."""

    first: npt.NDArray[np.int64]
    """First step of the stretch."""
    last: npt.NDArray[np.int64]
    """Last step of it."""
    min: npt.NDArray[np.float64]
    """Lowest value, infinities included; NaN where none is known."""
    mean: npt.NDArray[np.float64]
    """Mean of the finite values; NaN where there are none."""
    max: npt.NDArray[np.float64]
    known: npt.NDArray[np.int64]
    """Steps of it whose value is known."""


def overview(steps: npt.NDArray[np.int64], values: npt.NDArray[Any], buckets: int) -> Overview:
    """Steps, rising, and their values -> at most ``buckets`` stretches of equally many steps; a short series stays."""
    count = len(steps)
    begin = np.unique(np.arange(min(buckets, count), dtype=np.int64) * count // max(1, min(buckets, count)))
    end = np.append(begin[1:], count)[: len(begin)]
    known, finite = ~np.isnan(values), np.isfinite(values)

    def reduced(ufunc: np.ufunc, of: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return ufunc.reduceat(of, begin) if count else np.zeros(0, of.dtype)

    some = reduced(np.add, known.astype(np.int64))
    # Divided before they are added, so that the largest numbers do not overflow.
    shares = reduced(np.add, np.where(finite, values, 0.0) / max(1, count))
    finites = reduced(np.add, finite.astype(np.int64))
    low = np.where(some > 0, reduced(np.minimum, np.where(known, values, np.inf)), np.nan)
    high = np.where(some > 0, reduced(np.maximum, np.where(known, values, -np.inf)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.where(finites > 0, shares * (max(1, count) / finites), np.nan)
    mean = np.clip(mean, low, high)  # rounding must not carry it outside
    return Overview(steps[begin], steps[end - 1] if count else steps[:0], low, mean, high, some)
