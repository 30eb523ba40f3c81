"""Graphs and runs -> things to keep: a static picture, a text page, one self-contained HTML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.reports.html import write_report
from graphscope.run import Run, load

__all__ = ["report", "write_report"]


def report(
    source: Any, path: str | os.PathLike[str] = "report.html", max_mb: float = 5, *, title: str | None = None,
    source_lines: bool = False,
) -> Path:  # fmt: skip
    """A Graph, a Run, a Session (or Training), or the path of a run -> one self-contained HTML file; returns its path.

    The file opens offline from disk and makes no request. A run that would not fit ``max_mb`` megabytes is thinned, and
    the report says how. Host, user and directories are not in it; base names and lines of source files are, whole
    paths only with ``source_lines=True``.

    Raises GraphscopeError for anything else than these, where the file cannot be written, or where it cannot fit.
    """
    if isinstance(source, Graph | Run):
        return write_report(source, path, max_mb=max_mb, title=title, source_lines=source_lines)
    if isinstance(source, str | os.PathLike):
        return write_report(load(source), path, max_mb=max_mb, title=title, source_lines=source_lines)
    for owner in (source, getattr(source, "session", None)):
        run = getattr(owner, "run", None)
        if isinstance(run, Run):
            return write_report(run, path, max_mb=max_mb, title=title, source_lines=source_lines)
    raise GraphscopeError(
        f"report({type(source).__name__}, {os.fspath(path)!r}): wanted a Graph, a Run, a Session or the path of a run. "
        "For a model, trace it first: graphscope.report(graphscope.trace(model, x))."
    )
