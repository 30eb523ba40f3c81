"""Tensors on a GPU -> rows of statistics that stay there until one copy a step brings all of them.

A row is written in the hook, by the Triton kernel (device_kernel.py) where Triton is installed and works, else by torch
operations; both only enqueue work on the stream on which the tensor was made, so that a later in-place op is safe and
nothing waits. Rows are views of blocks on the device. ``arrival.py`` fetches them.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphscope.capture.histogram import histogram_of
from graphscope.schema import HISTOGRAM_BINS

WIDTH = 10 + HISTOGRAM_BINS
"""Numbers of a row: ten of the tensor, then its histogram."""
ROWS = 256
"""Rows of a block."""
CAPTURING = "inside a CUDA graph: what is captured into one runs later and again, without Python"

_lock = threading.Lock()
_blocks: dict[torch.device, tuple[Tensor, int]] = {}


@lru_cache(maxsize=1)
def kernel() -> tuple[Any, str]:
    """The Triton kernel, or None and why it cannot be used; it is tried once, which compiles it."""
    try:
        from graphscope.capture import device_kernel
    except ImportError as error:
        return None, f"Triton is not installed: {error}"
    if not torch.cuda.is_available():
        return None, "there is no CUDA device"
    try:
        row = fresh_rows(1, torch.device("cuda"))[0]
        device_kernel.add(torch.ones(8, device="cuda"), row)
    except Exception as error:  # no compiler on the machine, a driver too old: torch operations serve
        return None, f"Triton does not work here: {type(error).__name__}: {error}"
    return device_kernel, ""


def fresh_rows(number: int, device: torch.device) -> Tensor:
    """[number, WIDTH] rows that nothing was added to, in float64 (float32 where a device lacks it)."""
    rows = torch.zeros(number, WIDTH, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    rows[:, 3].fill_(math.inf)
    rows[:, 4].fill_(-math.inf)
    return rows


def row_on(device: torch.device) -> Tensor:
    """The next free row [WIDTH] of a device; hooks ask for one on several threads."""
    with _lock:
        block, used = _blocks.get(device, (None, ROWS))
        if block is None or used == ROWS:
            block, used = fresh_rows(ROWS, device), 0
        _blocks[device] = (block, used + 1)
    return block[used]


def is_capturing(x: Tensor) -> bool:
    """Whether what is enqueued now goes into a CUDA graph."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def write(x: Tensor, histogram: bool) -> tuple[Tensor, bool, bool]:
    """Flat dense tensor -> (its row, whether the row holds sums, whether its histogram is from a sample).

    Without sums the row holds summary.FIELDS.
    """
    by_triton, _ = kernel() if x.is_cuda else (None, "")
    if by_triton is not None and x.dtype in by_triton.DTYPES:
        row = row_on(x.device)
        by_triton.add(x, row)
        return row, True, False
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    values = fields_of(x)
    if not histogram:
        return values, False, False
    counts, sampled = histogram_of(x)
    counts = counts if isinstance(counts, Tensor) else torch.from_numpy(counts)
    return torch.cat([values, counts.to(values.dtype)]), False, sampled


def fields_of(x: Tensor) -> Tensor:
    """summary.FIELDS as one tensor [10] on the tensor's device, by torch operations."""
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    finite = x.isfinite()
    safe = torch.where(finite, x, torch.zeros_like(x)).to(wide)
    m = finite.sum()
    mean = safe.sum() / m
    centred = torch.where(finite, safe - mean, torch.zeros_like(safe))
    std = (centred.square().sum() / m).sqrt()
    low = torch.where(finite, safe, torch.full_like(safe, math.inf)).amin()
    high = torch.where(finite, safe, torch.full_like(safe, -math.inf)).amax()
    none = m == 0
    nothing = torch.full((), math.nan, dtype=wide, device=x.device)
    moments = [mean, std, low, high, safe.abs().amax(), safe.square().sum().sqrt()]
    counts = [(x == 0).sum(), x.isnan().sum(), (x == math.inf).sum(), (x == -math.inf).sum()]
    return torch.stack([torch.where(none, nothing, v) for v in moments] + [c.to(wide) for c in counts])


def fields_of_sums(sums: np.ndarray) -> np.ndarray:
    """What the kernel added up [10] -> summary.FIELDS [10]."""
    n, total, squares, low, high, zeros, nan, above, below, _ = sums.tolist()
    if not n:
        return np.array([math.nan] * 6 + [zeros, nan, above, below])
    mean = total / n
    std = math.sqrt(max(squares / n - mean * mean, 0.0))
    return np.array([mean, std, low, high, max(abs(low), abs(high)), math.sqrt(squares), zeros, nan, above, below])
