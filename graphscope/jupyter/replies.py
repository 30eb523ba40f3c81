"""Commands about what was recorded -> their answers, and where a report goes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from graphscope.errors import NoSuchStep, UnknownAddress, UnknownName
from graphscope.messages import Look, Reply, Select, SeriesReply
from graphscope.run import Run
from graphscope.run.codec import encode
from graphscope.run.frames import frame
from graphscope.schema import ROLES, RunRecord

SERIES = ("mean", "std", "absmax", "l2", "zero_share")
"""Statistics of a SeriesReply."""


def framed(record: RunRecord | Reply) -> bytes:
    """One record or reply as its frame."""
    return frame(encode(record))


def series_reply(run: Run, command: Select) -> SeriesReply:
    """All recorded steps of one address and role. Raises UnknownAddress, UnknownName."""
    if not 0 <= command.address < len(run.address_table):
        raise UnknownAddress(
            f"select: there is no address number {command.address}; this run has {len(run.address_table):,} from 0 on."
        )
    if not 0 <= command.role < len(ROLES):
        raise UnknownName(f"select: there is no role number {command.role}; there are 0 to {len(ROLES) - 1}.")
    address = run.address_table[command.address]
    columns: dict[str, Any] = {}
    for name in SERIES:
        columns["step"], columns[name] = run.series(address, name, ROLES[command.role])
    return SeriesReply(request=command.request, address=command.address, role=command.role, **columns)


def look_records(run: Run, command: Look) -> list[Any]:
    """Statistics of one step. Raises NoSuchStep."""
    records = run.records_at(command.step)
    if not records:
        raise NoSuchStep(f"look: no statistics were recorded at step {command.step:,}.")
    return records


def report_path(source: Any) -> Path:
    """Where a report of it goes: into the session's run directory, else a new file in the working directory.

    Nothing is overwritten but a session's own earlier report.
    """
    run_dir = getattr(source, "run_dir", None)
    if isinstance(run_dir, Path):
        return run_dir / "report.html"
    header = getattr(source, "header", None)
    stem = re.sub(r"[^\w-]+", "-", header.name if header else "graph").strip("-")[:80] or "graph"
    names = itertools.chain([f"{stem}-report.html"], (f"{stem}-report-{n}.html" for n in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())
