"""The report as a file: it decodes to the run, its policy names its script, and nothing private is inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import os
import re
import select
import stat
import threading
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import graphscope.reports.html as html_module
from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.reports import report
from graphscope.run import Run, decode, encode, load, split
from graphscope.schema import Note, StepRecord, StepStats
from tests.reports.long_runs import long_run
from tests.reports.made_graphs import GraphMaker, residual_block
from tests.reports.test_svg import HOSTILE
from tests.run.test_ranks import write as write_rank

VIEWER = "/* the viewer */ console.log('a < b && c > d');"


TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "noscript", "p", "script",
    "svg", "rect", "text", "tspan", "g", "path", "polygon", "circle",
}  # fmt: skip


class Tags(HTMLParser):
    """Names of all tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(autouse=True)
def viewer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a small viewer, so that these tests need no build."""
    package = tmp_path_factory.mktemp("package")
    (package / "static").mkdir()
    (package / "static" / "report.js").write_text(VIEWER, encoding="utf-8")
    monkeypatch.setattr(html_module.resources, "files", lambda name: package)
    return package / "static" / "report.js"


def records_of(path: Path) -> list[Any]:
    """The records in a report, read as a browser would find them."""
    page = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/octet-stream" id="graphscope-run"[^>]*>\n(.*?)\n</script>', page)
    payloads = split(gzip.decompress(base64.b64decode(data, validate=True)))
    assert payloads.damage == 0
    return [decode(payload) for _, payload in payloads.payloads]


def test_a_run_comes_back_to_the_bit(tmp_path: Path) -> None:
    run = long_run(40)
    path = report(run, tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    again = records_of(path)
    assert [encode(record) for record in again] == [encode(record) for record in run.records()]


def test_a_graph_is_a_header_and_the_graph(tmp_path: Path) -> None:
    header, graph = records_of(report(residual_block(), tmp_path / "graph.html"))
    assert (header.model, header.run_id) == ("BasicBlock", "") and graph.graph_id == residual_block().graph_id
    page = (tmp_path / "graph.html").read_text(encoding="utf-8")
    assert "<title>BasicBlock</title>" in page and "conv1" in page.split("<noscript>")[1].split("</noscript>")[0]


def test_the_policy_names_the_hash_of_the_script_and_nothing_else_may_load(tmp_path: Path) -> None:
    page = report(residual_block(), tmp_path / "r.html").read_text(encoding="utf-8")
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'", "script-src": f"'sha256-{digest}'", "style-src": "'unsafe-inline'",
        "img-src": "data: blob:", "worker-src": "blob:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert script == VIEWER
    assert not re.search(r'(?:src|href)\s*=\s*["\']?(?:https?:)?//', page)


def test_a_script_cannot_be_ended_or_hidden_from_inside(tmp_path: Path, viewer: Path) -> None:
    viewer.write_text('const a = "</script><script>alert(1)</script>", b = "<!--";\r\n', encoding="utf-8")
    page = report(residual_block(), tmp_path / "r.html").read_bytes().decode()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "alert(1)" in script and "\r" not in page and "<!--" not in script
    assert hashlib.sha256(script.encode()).digest() == base64.b64decode(re.findall(r"sha256-([^']*)'", page)[0])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    make = GraphMaker(name)
    x = make.layer(name, name, name, make.input(2, 3, name=name), source=(name, 1))
    path = report(make.graph(x, partial=name), tmp_path / "r.html")
    page = path.read_text(encoding="utf-8")
    assert page.count("<script") == 2 and page.count("</script") == 2 and page.count("</noscript") == 1
    found = Tags()
    found.feed(page)
    assert found.names <= TAGS and not [name for name in found.attributes if name.startswith("on") or name == "href"]
    graph = Graph.from_record(records_of(path)[1])
    assert graph.nodes[0].op == graph.modules[1].fqn == name, "recorded whole"


def test_a_long_run_is_thinned_until_it_fits_and_says_so(tmp_path: Path) -> None:
    run = long_run(2_400, every=4, finding=1_200)
    for max_mb in (0.8, 0.1):
        path = report(run, tmp_path / "r.html", max_mb=max_mb)
        assert path.stat().st_size <= max_mb * 1e6
        records = records_of(path)
        notes = [record.text for record in records if isinstance(record, Note)]
        assert notes[-1].startswith("This report is shorter than its run: ") and " of 600 captured steps" in notes[-1]
        steps = [record.step for record in records if isinstance(record, StepRecord)]
        assert {0, 1_200, 2_399} <= set(steps)
        again = Run()
        for record in records:
            again.add(record)
        assert again.graph is not None and again.findings[0].step == 1_200 and again.finished
    assert max(len(r.histogram_row) for r in records if isinstance(r, StepStats)) > 0, "the last ones to go"


def test_what_cannot_fit_says_what_would(tmp_path: Path) -> None:
    with pytest.raises(GraphscopeError, match=r"the smallest report of this run takes .* MB, more than max_mb=0.001"):
        report(long_run(50), tmp_path / "r.html", max_mb=0.001)
    assert list(tmp_path.iterdir()) == []


def test_nothing_private_is_inside(tmp_path: Path) -> None:
    secret = "/home/ada-lovelace/private"
    make = GraphMaker()
    graph = make.graph(make.op("relu", make.input(2, 3), source=(f"{secret}/net.py", 7)))
    for number, source in enumerate((long_run(30, finding=10, secret=secret), graph)):
        path = report(source, tmp_path / f"{number}.html")
        inside = repr(records_of(path)) + path.read_text(encoding="utf-8")
        assert "ada-lovelace" not in inside and "net.py" in inside
        assert "private/net.py" in repr(records_of(report(source, path, source_lines=True)))


def test_what_can_be_reported(tmp_path: Path) -> None:
    run = long_run(5)
    session = SimpleNamespace(run=run)
    training = SimpleNamespace(session=session)
    for source in (run, session, training):
        assert len(records_of(report(source, tmp_path / "r.html"))) == len(list(run.records()))
    with pytest.raises(GraphscopeError, match=r"wanted a Graph, a Run, a Session .*graphscope.trace\(model, x\)"):
        report(object(), tmp_path / "r.html")
    with pytest.raises(GraphscopeError, match="no such file"):
        report(str(tmp_path / "nowhere"), tmp_path / "r.html")


def test_a_run_directory_can_be_reported(tmp_path: Path) -> None:
    from graphscope.run import RunWriter

    run = long_run(5)
    assert run.header is not None
    writer = RunWriter(tmp_path / "run", run.header)
    writer.append([record for record in run.records() if record.kind not in ("run_header", "run_end")])
    writer.close("closed")
    kinds = [record.kind for record in records_of(report(tmp_path / "run", tmp_path / "r.html"))]
    assert kinds.count("step") == 5 and kinds[0] == "run_header"


def test_a_run_of_several_ranks_says_how_far_each_came(tmp_path: Path) -> None:
    write_rank(tmp_path / "run", 0, range(3))
    write_rank(tmp_path / "run", 1, range(5), closed=False)
    first = records_of(report(load(tmp_path / "run"), tmp_path / "report.html"))[0]
    assert first.kind == "run_ranks" and first.shown is None
    assert (list(first.rank), list(first.last_step), list(first.finished)) == ([0, 1], [2, 4], [True, False])


def test_the_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.html"
    target.write_text("before")

    def broken(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(GraphscopeError, match="No space left on device"):
            report(residual_block(), target)
    assert target.read_text() == "before" and os.listdir(tmp_path) == ["r.html"]
    report(residual_block(), target)
    assert os.listdir(tmp_path) == ["r.html"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask, "others may read it, as any file one saves"


@pytest.mark.parametrize("where", ["missing/r.html", "."])
def test_a_path_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    with pytest.raises(GraphscopeError, match="cannot be written"):
        report(residual_block(), tmp_path / where)


def test_without_the_viewer_it_says_how_to_build_it(tmp_path: Path, viewer: Path) -> None:
    viewer.unlink()
    with pytest.raises(GraphscopeError, match="make install"):
        report(residual_block(), tmp_path / "r.html")


def test_the_title_is_text(tmp_path: Path) -> None:
    page = report(residual_block(), tmp_path / "r.html", title="<b>a & b</b>").read_text(encoding="utf-8")
    assert "<title>&lt;b&gt;a &amp; b&lt;/b&gt;</title>" in page


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, real = tmp_path / "r.html", tmp_path / "real" / "page.html"
    link.symlink_to(real)
    for _ in range(2):  # it leads to nothing at first
        assert report(residual_block(), link) == link
        assert link.is_symlink() and b"<!doctype html>" in real.read_bytes()
        assert os.listdir(tmp_path / "real") == ["page.html"]


def test_a_target_that_is_no_file_is_written_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        read: list[bytes] = []
        thread = threading.Thread(target=lambda read=read, reader=reader: read.append(_drained(reader)))
        thread.start()
        report(residual_block(), target)
        thread.join(30)
        assert read and read[0].startswith(b"<!doctype html>") and read[0].rstrip().endswith(b"</html>")
        assert stat.S_ISFIFO(pipe.stat().st_mode) and sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def _drained(reader: int) -> bytes:
    """Everything that comes through a pipe until its writer closes it."""
    found = b""
    while select.select([reader], [], [], 10)[0]:
        try:
            part = os.read(reader, 1 << 16)
        except BlockingIOError:
            continue
        if not part and found:
            break
        found += part
    os.close(reader)
    return found
