"""The run itself: who wrote it, what was found, what is missing, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphscope.schema.words import SCHEMA_MAJOR, SCHEMA_MINOR, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """The first record of every run file: who writes what with which versions."""

    kind: ClassVar[str] = "run_header"
    run_id: str
    """Random hexadecimal id; files of one run (ranks, restarts) share it."""
    name: str
    """Shown name, for instance ``SmallCnn-1``."""
    model: str
    """Class name of the watched root module."""
    created: str
    """Wall time of the start, ISO 8601 with offset; a label, never used to order."""
    schema_major: int = SCHEMA_MAJOR
    schema_minor: int = SCHEMA_MINOR
    rank: int = 0
    world_size: int = 1
    graphscope: str = ""
    """Version of GraphScope."""
    torch: str = ""
    """Version of PyTorch."""
    python: str = ""
    """Version of Python."""
    statistics: str = "torch"
    """Which code computes statistics: ``native`` (C kernel), ``triton`` (GPU kernel), ``torch`` (torch operations)."""
    device: str = ""
    """Device of the first parameter."""
    every: str = "auto"
    """When steps are captured, as asked."""
    budget: float = 0.01
    """Share of step time that watching may take, as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a rule found. A later one with the same ``rule``, ``fqn`` and ``call`` takes its place."""

    kind: ClassVar[str] = "finding"
    rule: str
    """Name of the rule, for instance ``softmax-before-cross-entropy``."""
    severity: Severity
    title: str
    """The symptom in a few words."""
    message: str
    """What was found where, with the number that fired, its limit and its unit."""
    advice: str
    """What to do about it."""
    why: str
    """Why it matters, and when it is fine."""
    fqn: str = ""
    """Module it is about; empty for the whole model or loop."""
    call: int = 0
    node: int | None = None
    """Op in the graph ``graph_id``."""
    graph_id: str | None = None
    step: int | None = None
    """First step at which it was seen."""
    last_step: int | None = None
    count: int = 1
    """How often it was seen."""
    value: float | None = None
    """The number that fired."""
    limit: float | None = None
    """Where it begins to fire."""
    file: str = ""
    line: int | None = None
    fix: str = ""
    """Code: lines that begin with ``- `` go, those that begin with ``+ `` come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What GraphScope has to say about the recording itself: what is missing, thinned or switched off, and why."""

    kind: ClassVar[str] = "note"
    severity: Severity
    text: str
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """The last record of a file that was closed; without it the run is shown as unfinished."""

    kind: ClassVar[str] = "run_end"
    steps: int
    records: int
    dropped: int = 0
    """Records that were lost because the disk was too slow."""
    reason: str = "closed"
