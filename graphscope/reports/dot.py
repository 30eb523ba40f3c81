"""Graph -> a picture file drawn by Graphviz' ``dot`` program, where it is installed: print quality, as SVG, PDF or PNG.

Without the program our own SVG serves; a warning of one line says so. Nothing else in GraphScope needs ``dot``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from pathlib import Path

from graphscope.errors import GraphscopeError
from graphscope.graph import Graph

FORMATS = ("svg", "pdf", "png")
SECONDS = 60
"""Longest that ``dot`` may take; it needs minutes for some thousands of ops."""
MOST_OPS = 5_000


def picture(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Draws all ops of a graph into a file; its ending (.svg, .pdf, .png) is the format. Returns the path.

    Where ``dot`` is not installed, or the graph is too large for it, an .svg is the collapsed drawing of
    ``Graph.to_svg`` instead. Raises GraphscopeError for another ending, and for what only ``dot`` could have drawn.
    """
    target = Path(path)
    asked = f"picture({type(graph).__name__}, {os.fspath(path)!r})"
    form = target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise GraphscopeError(
            f"{asked}: a picture ends in {', '.join('.' + one for one in FORMATS)}; found {form!r:.20}."
        )
    program = shutil.which("dot")
    reason = "the dot program of Graphviz is not installed"
    if program is not None and len(graph.nodes) > MOST_OPS:
        program, reason = None, f"{len(graph.nodes):,} ops are too many for dot (it takes minutes from {MOST_OPS:,} on)"
    try:
        if program is not None:
            drawn = _dot(program, graph, form, asked)
        elif form == "svg":
            warnings.warn(f"{reason}: GraphScope's own drawing was written instead.", stacklevel=2)
            drawn = graph.to_svg().encode("utf-8")
        else:
            raise GraphscopeError(
                f"{asked}: {reason}. Wanted: dot (apt install graphviz), or a path that ends in .svg."
            )
        target.write_bytes(drawn)
    except OSError as error:
        raise GraphscopeError(f"{asked}: the picture cannot be written: {error}.") from None
    return target


def _dot(program: str, graph: Graph, form: str, asked: str) -> bytes:
    text = graph.to_dot().encode("utf-8", "backslashreplace")
    try:
        done = subprocess.run([program, f"-T{form}"], input=text, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise GraphscopeError(
            f"{asked}: dot did not finish {len(graph.nodes):,} ops in {SECONDS} s. "
            "Graph.to_svg() draws the modules at once."
        ) from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GraphscopeError(f"{asked}: dot failed: {said[0][:200] if said else 'without a word'}.")
    return done.stdout
