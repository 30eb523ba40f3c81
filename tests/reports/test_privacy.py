"""Directories, hosts and users do not leave the machine; messages stay readable."""

from __future__ import annotations

import pytest

from graphscope.graph import Graph
from graphscope.reports.privacy import base_name, without_paths, without_places
from graphscope.schema import Finding, GraphRecord, Note, PassRecord, StepRecord
from tests.reports.made_graphs import GraphMaker


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("cannot open /home/ada/data/mnist.gz", "cannot open mnist.gz"),
        ("[Errno 2] No such file: '/home/ada/x/run'", "[Errno 2] No such file: 'run'"),
        (r"cannot open C:\Users\Ada\net.py now", "cannot open net.py now"),
        ("~/secret/place/file.txt", "file.txt"),
        ("read rank-00000.adas-laptop.4711.ab12.gscope only in part", "read a run file only in part"),
        ("mat1 and mat2 shapes cannot be multiplied (4x128 and 64x10)", None),
        ("x / y is 0 / 0, and and/or, 3/4, N/A", None),
        ("24.1 steps/s at 0.6 %", None),
        ("layer1/conv", None),
        ("", None),
    ],
)
def test_messages(text: str, want: str | None) -> None:
    assert without_paths(text) == (text if want is None else want)


def test_base_names_of_both_slashes() -> None:
    assert (base_name("/a/b/net.py"), base_name(r"C:\a\net.py"), base_name("net.py"), base_name("")) == (
        "net.py", "net.py", "net.py", "",
    )  # fmt: skip


def graph() -> Graph:
    make = GraphMaker()
    x = make.op("relu", make.input(2, 3), source=("/home/ada/work/net.py", 7))
    return make.graph(x, partial="OSError: /home/ada/work/data.bin is gone")


def test_a_graph_keeps_file_names_and_lines() -> None:
    record = graph().to_record()
    clean = without_places(record)
    assert isinstance(clean, GraphRecord)
    again = Graph.from_record(clean)
    assert again.nodes[0].source == ("net.py", 7) and again.partial == "OSError: data.bin is gone"
    assert "ada" not in repr(clean)
    assert record.strings != clean.strings, "the run itself stays as it is"
    with_paths = without_places(record, paths=True)
    assert isinstance(with_paths, GraphRecord)
    assert Graph.from_record(with_paths).nodes[0].source == ("/home/ada/work/net.py", 7)


def test_findings_passes_and_notes() -> None:
    finding = Finding(
        rule="r",
        severity="info",
        title="t",
        message="in /home/ada/a.py",
        advice="",
        why="",
        file="/home/ada/a.py",
        line=2,
    )
    clean = without_places(finding)
    assert isinstance(clean, Finding) and (clean.file, clean.line, clean.message) == ("a.py", 2, "in a.py")
    one = PassRecord(
        step=0, pass_index=0, graph_id=None, training=True, grad_enabled=True, error="OSError: /home/ada/b"
    )
    assert "ada" not in repr(without_places(one))
    assert "ada" not in repr(without_places(Note(severity="info", text="see /home/ada/runs/Net-1")))


def test_records_of_numbers_are_passed_on() -> None:
    step = StepRecord(step=0, captured=False, passes=1, seconds=0, step_seconds=None, self_seconds=0, scalars={})
    assert without_places(step) is step
