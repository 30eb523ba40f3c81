"""The words of GraphScope as data: the records that a kernel writes and a file, a page and a report read.

A record is one immutable fact. Its scalars, texts and small lists travel as JSON, its arrays as raw little-endian
columns (``graphscope/run/codec.py``); ``js/src/schema.ts`` is generated from these files, so that a field exists once.
Rules: unknown is ``None``, never zero. A reader skips kinds and fields that it does not know, and counts them.
"""

from __future__ import annotations

from typing import get_args

from graphscope.schema.graphs import GraphRecord
from graphscope.schema.inside import AtenOps
from graphscope.schema.run_facts import Finding, Note, RunEnd, RunHeader
from graphscope.schema.statistics import (
    AddressTable,
    BatchNormStats,
    DropoutStats,
    OpGradients,
    PackedStats,
    StepStats,
)
from graphscope.schema.steps import PassRecord, ScalarRecord, StepRecord
from graphscope.schema.words import (
    CALLS,
    COSINE_ESTIMATE,
    DENSE_STEPS,
    ESTIMATE,
    F32,
    F64,
    FAILED,
    GRADIENT_STATES,
    HISTOGRAM_BINS,
    HISTOGRAM_ESTIMATE,
    HISTOGRAM_MIN_EXPONENT,
    I32,
    I64,
    INPLACE,
    LOG_SPACED,
    MAX_RUN_MB,
    NOT_MEASURED,
    PARAMETER_STATISTICS,
    ROLES,
    SCHEMA_MAJOR,
    SCHEMA_MINOR,
    STATISTICS,
    U8,
    U16,
    U32,
    VALUE_KINDS,
    VIEW,
    Severity,
)

RunRecord = (
    RunHeader | GraphRecord | AddressTable | StepStats | OpGradients | AtenOps | BatchNormStats | DropoutStats
    | PassRecord | StepRecord | ScalarRecord | Finding | Note | RunEnd
)  # fmt: skip
RECORDS: tuple[type, ...] = get_args(RunRecord)
STORED: tuple[type, ...] = (PackedStats,)
"""Forms in which a record travels that nothing else than the codec sees."""
LayerStats = BatchNormStats | DropoutStats
LAYER_STATS: tuple[type, ...] = get_args(LayerStats)

__all__ = [
    "AddressTable",
    "AtenOps",
    "BatchNormStats",
    "COSINE_ESTIMATE",
    "DENSE_STEPS",
    "CALLS",
    "DropoutStats",
    "ESTIMATE",
    "F32",
    "F64",
    "FAILED",
    "Finding",
    "GRADIENT_STATES",
    "GraphRecord",
    "HISTOGRAM_BINS",
    "HISTOGRAM_ESTIMATE",
    "HISTOGRAM_MIN_EXPONENT",
    "I32",
    "I64",
    "INPLACE",
    "LAYER_STATS",
    "LOG_SPACED",
    "LayerStats",
    "MAX_RUN_MB",
    "NOT_MEASURED",
    "Note",
    "OpGradients",
    "PARAMETER_STATISTICS",
    "PackedStats",
    "PassRecord",
    "RECORDS",
    "ROLES",
    "RunEnd",
    "RunHeader",
    "RunRecord",
    "SCHEMA_MAJOR",
    "SCHEMA_MINOR",
    "STATISTICS",
    "STORED",
    "ScalarRecord",
    "Severity",
    "StepRecord",
    "StepStats",
    "U16",
    "U32",
    "U8",
    "VALUE_KINDS",
    "VIEW",
]
