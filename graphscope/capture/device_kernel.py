"""Tensor on a GPU -> sums, extremes, counts and its whole histogram in one row there, by one Triton kernel in one pass.

Imported only where ``triton`` is installed, and only for tensors on a GPU. Sums are taken in float64, so that what
blocks add up in any order is exact enough for a mean that dwarfs the spread (1e-16 of the squares). Every program walks
the tensor in strides of the grid and adds its share to the row at the end, so the row is touched by few atomics.
Source: the Triton language reference (``tl.histogram``, ``tl.atomic_add``, ``tl.atomic_min``).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4_096
MOST_PROGRAMS = 512
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@triton.jit
def _statistics(x_ptr, row_ptr, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Adds one tensor to a row: finite, sum, squares, min, max, zeros, nan, +inf, -inf, (unused), 128 bins."""
    total = tl.full((), 0.0, tl.float64)
    squares = tl.full((), 0.0, tl.float64)
    low = tl.full((), float("inf"), tl.float32)
    high = tl.full((), float("-inf"), tl.float32)
    finite_count = tl.full((), 0, tl.int64)
    zero_count = tl.full((), 0, tl.int64)
    nan_count = tl.full((), 0, tl.int64)
    above_count = tl.full((), 0, tl.int64)
    below_count = tl.full((), 0, tl.int64)
    bins = tl.zeros((256,), tl.int32)
    first = tl.program_id(0).to(tl.int64) * BLOCK
    stride = tl.num_programs(0).to(tl.int64) * BLOCK
    for start in range(first, n, stride):
        at = start + tl.arange(0, BLOCK)
        inside = at < n
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        bits = x.to(tl.int32, bitcast=True)
        magnitude = bits & 0x7FFFFFFF
        exponent = magnitude >> 23
        finite = inside & (exponent != 255)
        zero = inside & (magnitude == 0)
        endless = inside & (magnitude == 0x7F800000)
        wide = tl.where(finite, x, 0.0).to(tl.float64)
        total += tl.sum(wide, axis=0)
        squares += tl.sum(wide * wide, axis=0)
        low = tl.minimum(low, tl.min(tl.where(finite, x, float("inf")), axis=0))
        high = tl.maximum(high, tl.max(tl.where(finite, x, float("-inf")), axis=0))
        finite_count += tl.sum(finite.to(tl.int32), axis=0)
        zero_count += tl.sum(zero.to(tl.int32), axis=0)
        nan_count += tl.sum((inside & (magnitude > 0x7F800000)).to(tl.int32), axis=0)
        above_count += tl.sum((endless & (bits >= 0)).to(tl.int32), axis=0)
        below_count += tl.sum((endless & (bits < 0)).to(tl.int32), axis=0)
        # Bin 64 + (e + 40) of 2**e <= x < 2**(e + 1), mirrored below; 128 takes what has no bin.
        place = tl.minimum(tl.maximum(exponent - 127, -40), 23) + 40
        bin_of = tl.where(bits < 0, 63 - place, 64 + place)
        bins += tl.histogram(tl.where(finite & (magnitude != 0), bin_of, 128), 256)
    tl.atomic_add(row_ptr, finite_count.to(tl.float64))
    tl.atomic_add(row_ptr + 1, total)
    tl.atomic_add(row_ptr + 2, squares)
    tl.atomic_min(row_ptr + 3, low.to(tl.float64))
    tl.atomic_max(row_ptr + 4, high.to(tl.float64))
    tl.atomic_add(row_ptr + 5, zero_count.to(tl.float64))
    tl.atomic_add(row_ptr + 6, nan_count.to(tl.float64))
    tl.atomic_add(row_ptr + 7, above_count.to(tl.float64))
    tl.atomic_add(row_ptr + 8, below_count.to(tl.float64))
    places = tl.arange(0, 256)
    tl.atomic_add(row_ptr + 10 + places, bins.to(tl.float64), mask=(places < 128) & (bins != 0))


def add(x: Tensor, row: Tensor) -> None:
    """Adds a dense tensor of one of ``DTYPES`` to a row [138] of float64 that began as ``device_rows`` makes it."""
    programs = min(triton.cdiv(x.numel(), BLOCK), MOST_PROGRAMS)
    if x.device.type == "cuda":
        with torch.cuda.device(x.device):
            _statistics[(programs,)](x, row, x.numel(), BLOCK=BLOCK)
    else:  # only where Triton interprets
        _statistics[(programs,)](x, row, x.numel(), BLOCK=BLOCK)
