"""Tensor -> one row of statistics: moments, extremes, counts and a log2 histogram.

On a CPU the C kernel reads the tensor once (native.py). Where it was not built, torch operations give the same, more
slowly: the cheap reductions come first (sum, norm, aminmax, count_nonzero: 5 to 47 times faster than var_mean and
isnan().sum() there); exact NaN and Inf counts are taken only if sum or norm is not finite, which one non-finite element
always makes them. On other devices everything stays on the device (device_rows.py), unsynchronised, until one copy
brings all rows of a step (arrival.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphscope.capture import device_rows, native
from graphscope.capture.histogram import HISTOGRAM_EXACT_BELOW, histogram_of
from graphscope.capture.values import dtype_of, is_wrapped, shape_of
from graphscope.schema import HISTOGRAM_BINS, HISTOGRAM_ESTIMATE, NOT_MEASURED

EXACT_BELOW = 65_536
"""Elements up to which sums are taken in float64."""
FIELDS = ("mean", "std", "min", "max", "absmax", "l2", "zeros", "nan", "pos_inf", "neg_inf")

HERE = ("cpu",)
"""Devices whose memory is read at once."""
_PLAIN = (Tensor, torch.nn.Parameter)
NOTHING_FINITE = (*(math.nan,) * 6, 0)


@dataclass(slots=True, eq=False)
class Row:
    """Statistics of one tensor. ``values`` holds FIELDS in order; while it is on a device, a histogram behind them."""

    shape: tuple[int, ...]
    dtype: str
    count: int
    read: int = 0
    """Elements that were read: fewer than ``count`` for an expanded view or a sample; counts are scaled up by it."""
    values: Any = None
    histogram: Any = None
    flags: int = 0
    unmeasured: str = ""
    cosine: Any = math.nan
    """Of a parameter's gradient with the one captured before; NaN is unknown."""
    sums: bool = False
    """Whether ``values`` on a device are sums, of which ``land`` makes FIELDS."""

    def parts(self) -> list[Tensor]:
        """What of it is on a device."""
        return [part for part in (self.values, self.cosine) if isinstance(part, Tensor)]


def why_not(tensor: Tensor) -> str:
    """Why a tensor has no statistics; empty if it has."""
    if type(tensor) in _PLAIN and tensor.dtype in native.CODES and tensor.layout is torch.strided and tensor.is_cpu:
        ordinary = not is_wrapped(tensor) and not tensor.is_nested  # nearly always: the questions below cost 3 us
        if ordinary and (tensor.untyped_storage().nbytes() or not tensor.numel()):
            return ""
    if is_wrapped(tensor):
        return "inside torch.func: its values exist only when the transform ends"
    if tensor.layout != torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.')} layout"
    if tensor.is_nested:
        return "nested tensor"
    if tensor.is_quantized:
        return "quantised tensor"
    if tensor.device.type == "meta":
        return "meta tensor: it has no data"
    if type(tensor) not in _PLAIN:
        return f"tensor subclass {type(tensor).__name__}"
    if tensor.is_complex():
        return "complex numbers have no order"
    if not tensor.is_floating_point():
        return f"{dtype_of(tensor)}: statistics are for floating point"
    if tensor.element_size() == 1:
        return f"{dtype_of(tensor)}: no arithmetic in torch"
    if not tensor.untyped_storage().nbytes() and tensor.numel():
        return "its memory was freed"  # sharded training does so between uses; reading would end the process
    return ""


def measure(tensor: Tensor, *, histogram: bool = True) -> Row:
    """One tensor -> its row; never raises for what a tensor is, never keeps it."""
    row = _begun(tensor)
    if row.flags & NOT_MEASURED:
        return row
    x = dense(tensor)
    row.read = x.numel()
    if native.reads(x):
        row.values, row.histogram = native.statistics(x, histogram)
        row.flags |= HISTOGRAM_ESTIMATE if histogram and row.read > HISTOGRAM_EXACT_BELOW else 0
        return row
    with torch.no_grad():
        x = x.detach().reshape(-1)
        if stays(x):
            if device_rows.is_capturing(x):
                row.unmeasured, row.flags = device_rows.CAPTURING, NOT_MEASURED
                return row
            row.values, row.sums, sampled = device_rows.write(x, histogram)
            row.flags |= HISTOGRAM_ESTIMATE if sampled else 0
            return row
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        row.values = on_cpu(x)
        if histogram:
            row.histogram, sampled = histogram_of(x)
            row.flags |= HISTOGRAM_ESTIMATE if sampled else 0
    return row


def stays(x: Tensor) -> bool:
    """Whether a tensor's numbers are read where they are, and its row is fetched at the end of the step."""
    return x.device.type not in HERE


def deferred(rows: Iterable[Row]) -> list[Tensor]:
    """What of the rows is on a device, in an order that ``land`` expects; each row once."""
    waiting = [row for row in rows if isinstance(row.values, Tensor) or isinstance(row.cosine, Tensor)]
    return [part for row in dict.fromkeys(waiting) for part in row.parts()]


def land(rows: Iterable[Row], arrays: Sequence[np.ndarray]) -> None:
    """The values of ``deferred(rows)`` -> into the rows."""
    coming = iter(arrays)
    for row in dict.fromkeys(rows):
        if isinstance(row.values, Tensor):
            array = next(coming)
            row.values = device_rows.fields_of_sums(array[:10]) if row.sums else array[:10]
            row.histogram = array[10:] if len(array) > 10 else None
        if isinstance(row.cosine, Tensor):
            row.cosine = float(next(coming)[0])


def measure_all(tensors: Iterable[Tensor]) -> list[Row]:
    """Tensors -> their rows, those on the CPU in one call of the kernel."""
    rows: list[Row] = []
    batch: list[tuple[Row, Tensor]] = []
    for tensor in tensors:
        if not native.reads(tensor):
            rows.append(measure(tensor))
            continue
        row = _begun(tensor)
        rows.append(row)
        if not row.flags & NOT_MEASURED:
            x = dense(tensor)
            row.read = x.numel()
            batch.append((row, x))
    if batch:
        values, histograms = native.statistics_of_many([x for _, x in batch], True)
        assert histograms is not None
        for i, (row, _) in enumerate(batch):
            row.values, row.histogram = values[i], histograms[i]
            row.flags |= HISTOGRAM_ESTIMATE if row.read > HISTOGRAM_EXACT_BELOW else 0
    return rows


def path_of(tensor: Tensor | None) -> str:
    """Which code takes the statistics of tensors like this one, for ``RunHeader.statistics``."""
    if tensor is not None and tensor.is_cuda:
        return "torch" if device_rows.kernel()[0] is None else "triton"
    on_cpu = tensor is None or tensor.device.type == "cpu"
    return "native" if on_cpu and native.library is not None else "torch"


def _begun(tensor: Tensor) -> Row:
    """The row of a tensor before anything was measured; flagged if nothing can be."""
    reason = why_not(tensor)
    count = 0 if "nested" in reason else tensor.numel()
    row = Row(shape_of(tensor), dtype_of(tensor), count)
    if reason or not count:
        row.unmeasured = reason or "no elements"
        row.flags = NOT_MEASURED
    return row


def dense(x: Tensor) -> Tensor:
    """All elements as one dense tensor in any order; of an expanded view only what has memory of its own."""
    if x.is_neg():
        x = x.detach().resolve_neg()  # its memory holds the numbers with the other sign
    if x.is_contiguous():
        return x
    x = x.detach()
    if 0 in x.stride():
        # Every distinct element repeats equally often, so moments are exact and counts and norm only scale;
        # materialising the view could need terabytes.
        x = x[tuple(slice(0, 1) if step == 0 else slice(None) for step in x.stride())]
    # Statistics do not depend on order: a dense permuted tensor (channels_last) is read in memory order.
    strides = x.stride()
    return x.permute(sorted(range(x.dim()), key=lambda d: -strides[d])).contiguous()


def on_cpu(x: Tensor) -> tuple[float, ...]:
    """FIELDS of a flat float tensor, not empty, by torch operations."""
    n = x.numel()
    wide = x.double() if n <= EXACT_BELOW else x
    total, norm = float(wide.sum()), float(torch.linalg.vector_norm(wide))
    if not (math.isfinite(total) and math.isfinite(norm)):
        finite = x[x.isfinite()]
        if finite.numel() < n:
            others = on_cpu(finite) if finite.numel() else NOTHING_FINITE
            return (*others[:7], int(x.isnan().sum()), int((x == math.inf).sum()), int((x == -math.inf).sum()))
    smallest, largest = (1e-140, 1e150) if wide.dtype == torch.float64 else (1e-12, 1e15)
    if not smallest < norm < largest:  # squares leave the range of the type
        return _rescaled(x)
    squares = norm * norm
    mean = total / n
    variance = squares / n - mean * mean
    if variance < (1e-2 if n > EXACT_BELOW else 1e-6) * squares / n:
        # The mean dwarfs the spread: subtracting their squares would leave rounding. One pass more, about the mean.
        centred = wide - mean
        rest = float(centred.sum()) / n
        mean, variance = mean + rest, float(torch.dot(centred, centred)) / n - rest * rest
    low, high = (float(v) for v in torch.aminmax(wide))
    zeros = n - int(torch.count_nonzero(x))
    return (mean, math.sqrt(max(variance, 0.0)), low, high, max(abs(low), abs(high)), norm, zeros, 0, 0, 0)


def _rescaled(x: Tensor) -> tuple[float, ...]:
    """The same of finite numbers that are all zero, or whose squares are beyond their type."""
    low, high = (float(v) for v in torch.aminmax(x))
    peak = max(abs(low), abs(high))
    if not peak:
        return (0.0,) * 6 + (x.numel(), 0, 0, 0)
    exponent = max(math.frexp(peak)[1], -1000)
    mean, std, _, _, _, l2, *_ = on_cpu(x.double() * 2.0**-exponent)
    half = exponent // 2  # in two steps: 2.0**1024 is no double
    mean, std, l2 = (value * 2.0**half * 2.0 ** (exponent - half) for value in (mean, std, l2))
    return (mean, std, low, high, peak, l2, x.numel() - int(torch.count_nonzero(x)), 0, 0, 0)


def collect(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows -> (FIELDS [n, 10] float64, numbers of the rows with a histogram [m], histograms [m, 128] uint32).

    What is still on a device is waited for here; the rows of a watched step have arrived by then.
    """
    if waiting := deferred(rows):
        land(rows, [part.detach().to("cpu", torch.float64).reshape(-1).numpy() for part in waiting])
    table = np.full((len(rows), len(FIELDS)), np.nan)
    for i, row in enumerate(rows):
        if row.values is not None:
            table[i] = row.values
        else:
            table[i, 6:] = 0
        if row.read and row.read != row.count:
            table[i, 5] *= math.sqrt(row.count / row.read)
            table[i, 6:] = np.round(table[i, 6:] * (row.count / row.read))
    with_histogram = [i for i, row in enumerate(rows) if row.histogram is not None]
    counts = np.array([rows[i].histogram for i in with_histogram], dtype=np.float64).reshape(-1, HISTOGRAM_BINS)
    for at, i in enumerate(with_histogram):
        if rows[i].read != rows[i].count:
            counts[at] *= rows[i].count / rows[i].read
    histograms = counts.round().clip(0, 2**32 - 1).astype(np.uint32)
    return table, np.array(with_histogram, dtype=np.uint32), histograms


def cosines_of(rows: list[Row]) -> np.ndarray:
    """[n] float32, of rows that have arrived."""
    return np.array([row.cosine for row in rows], dtype=np.float32)
