"""Graph or Run -> one HTML file that opens anywhere: viewer, data and a static picture, and no request to anyone.

The data are the bytes of a run file, gzipped, in base64. A content security policy lets only the viewer's own script
run (by its hash) and lets nothing leave the page.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.reports.privacy import without_places
from graphscope.reports.svg import svg_of
from graphscope.reports.thinning import STAGES, thinned
from graphscope.reports.words import xml
from graphscope.run import Run, encode, frame
from graphscope.run.ranks import ranks_reply
from graphscope.schema import Note, RunHeader, RunRecord

POLICY = (
    "default-src 'none'; script-src '{script}'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="GraphScope">
<title>{title}</title>
<style>html, body {{ margin: 0; height: 100% }} #graphscope {{ height: 100% }}</style>
</head>
<body>
<div id="graphscope"></div>
<noscript><style>#graphscope {{ display: none }}</style>
<p>The interactive view needs JavaScript. The model's graph as a picture:</p>{picture}</noscript>
<script type="application/octet-stream" id="graphscope-run" data-encoding="gzip+base64">
{data}
</script>
<script>{script}</script>
</body>
</html>
"""


def write_report(
    source: Graph | Run, path: str | os.PathLike[str], *, max_mb: float = 5, title: str | None = None,
    source_lines: bool = False,
) -> Path:  # fmt: skip
    """Writes the report -> its path. The file appears whole or not at all; a link stays, what it leads to is written.

    max_mb        largest size in MB (10^6 bytes); a longer run is thinned and the report says how
    title         of the page; without one the run's or the model's name
    source_lines  keep whole paths of source files; without it only base names and lines are in the file

    Raises GraphscopeError where the viewer is not built, the least report is larger, or the file cannot be written.
    """
    asked = f"report({_described(source)}, {os.fspath(path)!r})"
    target = Path(path)
    graph = source if isinstance(source, Graph) else source.graph
    name = title or _name(source)
    picture = svg_of(graph) if graph is not None else ""
    script = _viewer(asked)
    page_size = len(_page(name, picture, script, ""))
    room = int(max_mb * 1e6) - page_size
    data, smallest = b"", 0
    ranks = ranks_reply(source.ranks, None) if isinstance(source, Run) else None
    first = b"" if ranks is None else frame(encode(ranks))
    for records in _candidates(source):
        frames = [frame(encode(without_places(record, paths=source_lines))) for record in records]
        packed = gzip.compress(first + b"".join(frames), 6, mtime=0)
        smallest = page_size + 4 * (len(packed) + 2) // 3
        if 4 * (len(packed) + 2) // 3 <= room:
            data = packed
            break
    if not data:
        raise GraphscopeError(
            f"{asked}: the smallest report of this {type(source).__name__.lower()} takes {smallest / 1e6:.1f} MB, more "
            f"than max_mb={max_mb:g}. Ask for max_mb={_ceil_mb(smallest)}."
        )
    _write(target, _page(name, picture, script, base64.b64encode(data).decode()), asked)
    return target


def _described(source: Graph | Run) -> str:
    return f"{type(source).__name__} {_name(source)}"


def _ceil_mb(size: int) -> int:
    return -(-size // 1_000_000)


def _name(source: Graph | Run) -> str:
    if isinstance(source, Run):
        header = source.header
        return header.name or header.model if header is not None else "run"
    return source.modules[0].type if source.modules else "graph"


def _candidates(source: Graph | Run) -> Iterable[list[RunRecord]]:
    """Records of ever smaller reports."""
    if isinstance(source, Graph):
        yield [RunHeader(run_id="", name=_name(source), model=_name(source), created=""), source.to_record()]
        return
    kept: list[RunRecord] | None = None
    for limits in STAGES:
        kept, words = thinned(source, limits, kept)
        text = f"This report is shorter than its run: {' '.join(words)}"
        yield [*kept, Note(severity="info", text=text)] if words else kept


def _viewer(asked: str) -> str:
    """The viewer's script, as it may stand inside a script element."""
    try:
        script = (resources.files("graphscope") / "static" / "report.js").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraphscopeError(
            f"{asked}: the viewer (graphscope/static/report.js) is not there ({type(error).__name__}). In a clone, "
            "build it with `make install`; an installed GraphScope holds it, so install it again."
        ) from None
    # A parser turns \r\n into \n before the hash is taken, and these two would end or hide the script.
    script = script.replace("\r\n", "\n").replace("\r", "\n")
    return script.replace("</script", "<\\/script").replace("</SCRIPT", "<\\/SCRIPT").replace("<!--", "<\\!--")


def _page(title: str, picture: str, script: str, data: str) -> bytes:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    page = PAGE.format(
        policy=POLICY.format(script=f"sha256-{digest}"),
        title=xml(title, 100),
        picture=picture,
        data=data,
        script=script,
    )
    return page.encode("utf-8")


def check_report(path: str | os.PathLike[str]) -> None:
    """Raises GraphscopeError where ``write_report`` could not write there, or has no viewer: before a long training."""
    asked = f"report(..., {os.fspath(path)!r})"
    _viewer(asked)
    with _beside(Path(path), asked):
        pass


def _write(target: Path, page: bytes, asked: str) -> None:
    """Writes beside the target and renames, so that a reader never sees half a file; into a device or pipe itself."""
    with _beside(target, asked) as (handle, beside):
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(page)
        if beside is not None:
            os.replace(beside, os.path.realpath(target))


@contextmanager
def _beside(target: Path, asked: str) -> Iterator[tuple[int, Path | None]]:
    """A new file in the target's directory, gone afterwards unless it was renamed; its trouble in words.

    Beside what a link leads to, so that the link stays one. A target that is no file (a device, a pipe) is opened as
    it is and has no file beside it: a rename would put a file in its place.
    """
    try:
        if target.is_dir():
            raise IsADirectoryError(0, "it is a directory; name a file in it")
        if target.exists() and not target.is_file():
            beside, handle = None, os.open(target, os.O_WRONLY)
        else:
            real = Path(os.path.realpath(target))
            beside = real.with_name(f".{real.name[:80]}.{secrets.token_hex(6)}")
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            yield handle, beside
        finally:
            os.close(handle)
            if beside is not None:
                beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # without the name of the file beside
        raise GraphscopeError(
            f"{asked}: the report cannot be written ({reason}). Wanted: a file name in a directory that exists and can "
            "be written."
        ) from error
