"""Flat float tensor -> counts per power of two and sign (schema.HISTOGRAM_BINS), from the bits of its numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphscope.capture.native import SAMPLE_RUN
from graphscope.schema import HISTOGRAM_BINS, HISTOGRAM_MIN_EXPONENT

HISTOGRAM_EXACT_BELOW = 16_384
"""Elements up to which the histogram counts every one; of larger tensors it counts a sample of as many."""
SAMPLE_RUNS, HISTOGRAM_RUNS = 1_024, 256
"""A sample is runs of neighbours at golden-ratio offsets: evenly spaced runs hit the same channels every time."""


@lru_cache(maxsize=256)
def sample_index(n: int, device: torch.device, runs: int = SAMPLE_RUNS) -> Tensor:
    """Positions below n: runs of neighbours at golden-ratio offsets. Draws no random number."""
    starts = (torch.arange(runs, device=device, dtype=torch.float64) * 0.6180339887498949) % 1.0
    starts = (starts * (n - SAMPLE_RUN)).long()
    return (starts[:, None] + torch.arange(SAMPLE_RUN, device=device)).reshape(-1)


def histogram_of(x: Tensor) -> tuple[Any, bool]:
    """Counts per bin (schema.HISTOGRAM_BINS), as numbers of the whole tensor; True if they are from a sample."""
    n = x.numel()  # of an expanded view this is what was read; ``collect`` scales
    sampled = n > HISTOGRAM_EXACT_BELOW
    part = x[sample_index(n, x.device, HISTOGRAM_RUNS)] if sampled else x
    counts = _bits_histogram(part.numpy()) if x.device.type == "cpu" else _frexp_histogram(part)
    if not sampled:
        return counts, False
    scaled = counts * (n / part.numel())
    return scaled.round(), True


def _bins_of_bits(exponent_bits: int, bias: int) -> np.ndarray:
    """Sign and exponent bits of a float -> its bin; -1 for NaN and Inf, and for zeros and subnormals."""
    size = 1 << exponent_bits
    exponent = np.arange(size) - bias
    place = exponent.clip(HISTOGRAM_MIN_EXPONENT, HISTOGRAM_MIN_EXPONENT + HALF - 1) - HISTOGRAM_MIN_EXPONENT
    place_or_none = np.where((np.arange(size) == 0) | (np.arange(size) == size - 1), -1, place)
    positive = np.where(place_or_none < 0, -1, HALF + place)
    negative = np.where(place_or_none < 0, -1, HALF - 1 - place)
    return np.concatenate([positive, negative])


HALF = HISTOGRAM_BINS // 2
_BITS: dict[str, tuple[type, int, np.ndarray]] = {
    "float32": (np.uint32, 23, _bins_of_bits(8, 127)),
    "float64": (np.uint64, 52, _bins_of_bits(11, 1023)),
}


def _bits_histogram(part: np.ndarray) -> np.ndarray:
    """The bits of a float are its sign and log2 already: no range pass and no comparison of floats."""
    bits, shift, bins = _BITS[part.dtype.name]
    raw = np.bincount((part.view(bits) >> bits(shift)).astype(np.int64), minlength=len(bins))
    usable = bins >= 0
    counts = np.bincount(bins[usable], weights=raw[usable], minlength=HISTOGRAM_BINS)
    half = len(bins) // 2
    if raw[0] or raw[half]:  # zeros share their exponent bits with subnormals, which belong into the end bins
        counts[HALF] += raw[0] - np.count_nonzero(part.view(bits) == 0)
        counts[HALF - 1] += raw[half] - np.count_nonzero(part.view(bits) == bits(1) << bits(8 * part.itemsize - 1))
    return counts


def _frexp_histogram(part: Tensor) -> Tensor:
    """The same with torch operations, on the tensor's device and unsynchronised."""
    usable = part.isfinite() & (part != 0)
    # frexp gives x = m * 2**e with 0.5 <= |m| < 1, so floor(log2 |x|) is e - 1.
    exponent = torch.frexp(part).exponent.long() - 1
    low = HISTOGRAM_MIN_EXPONENT
    place = exponent.clamp(low, low + HALF - 1) - low
    bins = torch.where(part > 0, HALF + place, HALF - 1 - place)
    bins = torch.where(usable, bins, torch.full_like(bins, HISTOGRAM_BINS))
    counts = torch.zeros(HISTOGRAM_BINS + 1, dtype=torch.float64, device=part.device)
    counts.scatter_add_(0, bins, torch.ones_like(bins, dtype=torch.float64))
    return counts[:HISTOGRAM_BINS]
