"""A record with columns -> whether the columns fit together; queries rely on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphscope.errors import RunFileError
from graphscope.messages import SeriesReply
from graphscope.schema import (
    HISTOGRAM_BINS,
    AddressTable,
    AtenOps,
    BatchNormStats,
    OpGradients,
    StepStats,
)

STATS_COLUMNS = (
    "address", "role", "flags", "dtype", "ndim", "count", "mean", "std", "min", "max", "absmax", "l2", "zeros", "nan",
    "pos_inf", "neg_inf",
)  # fmt: skip
"""Columns of StepStats with one entry a tensor."""
OP_COLUMNS = (
    "node", "output", "flags", "count", "mean", "std", "min", "max", "absmax", "l2", "zeros", "nan", "pos_inf",
    "neg_inf",
)  # fmt: skip
"""Columns of OpGradients."""


def check_columns(record: Any) -> None:
    """Raises RunFileError where columns of one record have lengths or indexes that do not fit together.

    Records of other kinds have no two columns that belong together, or check them where they are read (graphs).
    """
    match record:
        case StepStats():
            _check_stats(record)
        case AddressTable():
            _equal_lengths(record, ("call", "output"), len(record.fqn))
        case BatchNormStats():
            columns = ("batch_mean", "batch_var", "running_mean", "running_var", "weight", "bias")
            _equal_lengths(record, columns, len(record.batch_mean))
        case OpGradients():
            _equal_lengths(record, OP_COLUMNS, len(record.node))
        case AtenOps():
            _check_inside(record)
        case SeriesReply():
            _equal_lengths(record, ("step", "mean", "std", "absmax", "l2", "zero_share"), len(record.step))


def _check_stats(stats: StepStats) -> None:
    rows = len(stats.address)
    _equal_lengths(stats, (*STATS_COLUMNS, "cosine"), rows)
    if stats.sizes.ndim != 1 or int(stats.ndim.sum(dtype=np.int64)) != len(stats.sizes):
        raise _misfit(stats, "sizes", f"{len(stats.sizes)} sizes for {int(stats.ndim.sum(dtype=np.int64))} dimensions")
    if rows and int(stats.dtype.max()) >= len(stats.dtypes):
        raise _misfit(stats, "dtype", f"number {int(stats.dtype.max())} of {len(stats.dtypes)} dtypes")
    if stats.histogram.shape != (len(stats.histogram_row), HISTOGRAM_BINS):
        raise _misfit(stats, "histogram", f"shape {stats.histogram.shape} for {len(stats.histogram_row)} rows")
    if len(stats.histogram_row) and int(stats.histogram_row.max()) >= rows:
        raise _misfit(stats, "histogram_row", f"row {int(stats.histogram_row.max())} of {rows}")


def _check_inside(record: AtenOps) -> None:
    rows, tensors = len(record.name), len(record.dtype)
    _equal_lengths(record, ("name", "node", "seconds", "inputs", "outputs"), rows)
    _equal_lengths(record, ("dtype", "ndim"), tensors)
    if int(record.inputs.sum(dtype=np.int64)) + int(record.outputs.sum(dtype=np.int64)) != tensors:
        raise _misfit(record, "inputs", f"with outputs other than the {tensors} tensors")
    if record.sizes.ndim != 1 or int(record.ndim.sum(dtype=np.int64)) != len(record.sizes):
        raise _misfit(record, "sizes", f"{len(record.sizes)} sizes that do not fit the dimensions")
    if (record.sizes < 0).any():
        raise _misfit(record, "sizes", "a size below 0")
    for name, codes, table in (("name", record.name, record.names), ("dtype", record.dtype, record.dtypes)):
        if len(codes) and int(codes.max()) >= len(table):
            raise _misfit(record, name, f"number {int(codes.max())} of {len(table)}")


def _equal_lengths(record: Any, columns: tuple[str, ...], rows: int) -> None:
    for name in columns:
        column = getattr(record, name)
        if column is not None and column.shape != (rows,):
            raise _misfit(record, name, f"shape {column.shape}; wanted ({rows},)")


def _misfit(record: Any, name: str, text: str) -> RunFileError:
    return RunFileError(f"{type(record).__name__}.{name}: {text}")
