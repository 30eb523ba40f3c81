"""Memory of CPU tensors -> their statistics, through the C kernel (kernel.c) where one was built and loads.

The kernel has a plain C ABI and is called without the GIL. Where ``library`` is None, ``missing`` says why, and torch
operations give the same answers (summary.py). ``GRAPHSCOPE_STATISTICS=torch`` leaves the kernel out.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphscope.schema import HISTOGRAM_BINS

VERSION = 1
"""Of the kernel's ABI and meaning: kernel.c has the same number."""
CODES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
"""Types that the kernel reads."""
FIELD_COUNT = 10
"""Numbers it gives of a tensor: summary.FIELDS."""
SAMPLE_RUN = 64
"""Neighbours that a sample takes together: kernel.c has the same number, and histogram.py takes it from here."""

_ROW = ctypes.c_double * (FIELD_COUNT + HISTOGRAM_BINS)
_HISTOGRAM_AT = FIELD_COUNT * ctypes.sizeof(ctypes.c_double)


def library_path() -> Path:
    """Where the build puts the kernel of this kind of machine."""
    return Path(__file__).parent / f"_kernel.{sys.platform}-{platform.machine()}.so"


def load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    """The kernel, or None and why it cannot be used."""
    if os.environ.get("GRAPHSCOPE_STATISTICS", "") == "torch":
        return None, "GRAPHSCOPE_STATISTICS=torch"
    if not path.is_file():
        return None, "no C kernel was built for this machine"
    try:
        kernel = ctypes.CDLL(str(path))
        version = int(kernel.graphscope_version())
    except (OSError, AttributeError) as error:
        return None, f"the C kernel does not load: {error}"
    if version != VERSION:
        return None, f"the C kernel is of build {version}, wanted {VERSION}: install again"
    kernel.graphscope_variant.argtypes = [ctypes.c_int]
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    kernel.graphscope_statistics.argtypes = [pointer, size, ctypes.c_int32, pointer, pointer]
    kernel.graphscope_statistics.restype = None
    kernel.graphscope_statistics_of_many.argtypes = [size, pointer, pointer, pointer, pointer, pointer]
    kernel.graphscope_statistics_of_many.restype = None
    kernel.graphscope_channel_moments.argtypes = [pointer, ctypes.c_int32, size, size, size, pointer, pointer]
    kernel.graphscope_channel_moments.restype = None
    for function, more in (
        (kernel.graphscope_samples, 0),
        (kernel.graphscope_changes, 2),
        (kernel.graphscope_cosines, 1),
    ):
        function.argtypes = [size, pointer, pointer, pointer, size, *[pointer] * (1 + more)]
        function.restype = None
    return kernel, ""


library, missing = load(library_path())


def reads(tensor: Tensor) -> bool:
    """Whether the kernel is there and reads this kind of tensor."""
    return library is not None and tensor.is_cpu and tensor.dtype in CODES


def statistics(dense: Tensor, histogram: bool) -> tuple[list[float], np.ndarray | None]:
    """Dense tensor that ``reads`` accepts, not empty -> summary.FIELDS and counts per bin [128] (float64) or None."""
    assert library is not None
    row = _ROW()  # a fresh one: hooks run on several threads
    counts = ctypes.byref(row, _HISTOGRAM_AT) if histogram else None
    library.graphscope_statistics(dense.data_ptr(), dense.numel(), CODES[dense.dtype], ctypes.byref(row), counts)
    return row[:FIELD_COUNT], np.frombuffer(memoryview(row), np.float64, offset=_HISTOGRAM_AT) if histogram else None


def statistics_of_many(dense: Sequence[Tensor], histogram: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The same of n tensors in one call -> [n, 10] and [n, 128] or None, float64."""
    assert library is not None
    n = len(dense)
    _arrays, described = _described(dense)
    values = np.empty((n, FIELD_COUNT))
    counts = np.empty((n, HISTOGRAM_BINS)) if histogram else None
    library.graphscope_statistics_of_many(
        n, *described, values.ctypes.data, None if counts is None else counts.ctypes.data
    )
    return values, counts


def samples(dense: Sequence[Tensor], runs: int) -> list[Tensor]:
    """Copies of the numbers at ``histogram.sample_index`` of each (of all, where there are no more than a sample)."""
    assert library is not None
    _arrays, described = _described(dense)
    taken = [torch.empty(min(x.numel(), runs * SAMPLE_RUN), dtype=x.dtype) for x in dense]
    out = _pointers(taken)  # named: the kernel reads this array, and a number of its address keeps nothing alive
    library.graphscope_samples(len(dense), *described, runs, out.ctypes.data)
    return taken


def changes(dense: Sequence[Tensor], bases: Sequence[Tensor], runs: int) -> np.ndarray:
    """Statistics [n, 10] of what each tensor holds now minus the ``samples`` that were taken of it before."""
    assert library is not None
    _arrays, described = _described(dense)
    values, scratch, before = np.empty((len(dense), FIELD_COUNT)), np.empty(runs * SAMPLE_RUN), _pointers(bases)
    library.graphscope_changes(
        len(dense), *described, runs, before.ctypes.data, scratch.ctypes.data, values.ctypes.data
    )
    return values


def cosines(dense: Sequence[Tensor], kept: Sequence[Tensor], runs: int) -> np.ndarray:
    """Cosine [n] between each tensor's sample and the one in ``kept`` (float32), which the new one replaces.

    NaN where one of the two is zero or holds NaN or Inf.
    """
    assert library is not None
    _arrays, described = _described(dense)
    found, old = np.empty(len(dense)), _pointers(kept)
    library.graphscope_cosines(len(dense), *described, runs, old.ctypes.data, found.ctypes.data)
    return found


def _pointers(dense: Sequence[Tensor]) -> np.ndarray:
    return np.array([x.data_ptr() for x in dense], dtype=np.uint64)


def _described(dense: Sequence[Tensor]) -> tuple[tuple[np.ndarray, ...], tuple[int, int, int]]:
    """Arrays of pointers, sizes and type codes (to be held for as long as the call runs) and their addresses."""
    sizes = np.array([x.numel() for x in dense], dtype=np.int64)
    codes = np.array([CODES[x.dtype] for x in dense], dtype=np.int32)
    arrays = (_pointers(dense), sizes, codes)
    pointers, counts, types = (array.ctypes.data for array in arrays)
    return arrays, (pointers, counts, types)


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and biased variance per channel (dimension 1), float64; None where the kernel does not serve.

    Shapes: x [N, C, ...], contiguous or channels last -> mean [C], variance [C].
    """
    if not reads(x) or x.dtype == torch.float64 or x.is_neg() or not x.numel():
        return None
    assert library is not None
    channels = x.shape[1]
    if x.is_contiguous():
        outer, inner = x.shape[0], x.numel() // (x.shape[0] * channels)
    elif x.movedim(1, -1).is_contiguous():
        outer, inner = x.numel() // channels, 1
    else:
        return None
    mean, variance = torch.empty(channels, dtype=torch.float64), torch.empty(channels, dtype=torch.float64)
    library.graphscope_channel_moments(
        x.data_ptr(), CODES[x.dtype], outer, channels, inner, mean.data_ptr(), variance.data_ptr()
    )
    return mean, variance
