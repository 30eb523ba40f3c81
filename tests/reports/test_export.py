"""Exports hold the numbers of the run and no formula."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from graphscope.errors import GraphscopeError, UnknownName
from graphscope.graph import Graph
from graphscope.reports.export import export
from graphscope.reports.export_jsonl import export_jsonl
from graphscope.run import Run, load
from graphscope.schema import ESTIMATE, AddressTable
from tests.golden import small_cnn
from tests.run.test_ranks import tensor
from tests.run.test_ranks import write as write_rank

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def run() -> Run:
    return load(GOLDEN / "small_cnn.gscope")


def test_a_csv_has_one_row_a_tensor_and_step_with_the_values_to_the_last_digit(run: Run, tmp_path: Path) -> None:
    with export(run, tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(small_cnn.rows_at(n)) for n in small_cnn.CAPTURED)
    for row in rows:
        if (row["role"], row["fqn"]) == ("update", "conv1.bias"):
            assert row["mean"] == row["zeros"] == "", "what was not measured is empty, not zero"
            continue
        want = small_cnn.statistics(small_cnn.values(row["role"], row["fqn"], int(row["step"])))
        assert math.isclose(float(row["l2"]), want["l2"], rel_tol=0) and int(row["nan"]) == want["nan"]
    assert rows[0]["shape"] == "4x10"
    marked = [[int(flag & ESTIMATE > 0) for flag in small_cnn.step_stats(n).flags] for n in small_cnn.CAPTURED]
    assert [int(row["estimate"]) for row in rows] == [flag for flags in marked for flag in flags]


def test_each_row_says_whose_it_is(tmp_path: Path) -> None:
    for rank in (0, 1, 2):
        write_rank(tmp_path / "run", rank, range(3))
    run = load(tmp_path / "run")
    with export(run, tmp_path / "out.csv").open(newline="") as file:
        table = [(int(r["rank"]), int(r["step"]), float(r["l2"])) for r in csv.DictReader(file)]
    lines = [json.loads(line) for line in Path(export_jsonl(run, str(tmp_path / "o.jsonl"))).read_text().splitlines()]
    found = [(r["rank"], r["step"], r["l2"]) for r in lines if r["kind"] == "tensor"]
    want = []
    for rank in (0, 1, 2):
        for step in range(3):
            values = tensor(rank, step)
            want.append((rank, step, pytest.approx(np.sqrt((values[np.isfinite(values)] ** 2).sum()))))
    assert table == want and found == want
    assert all("rank" in row for row in lines) and {r["rank"] for r in lines if r["kind"] == "run"} == {0, 1, 2}


def test_a_name_that_a_spreadsheet_would_run_is_text(tmp_path: Path) -> None:
    run = Run()
    run.add(small_cnn.HEADER)
    run.add(AddressTable(start=0, fqn=["=HYPERLINK(1)", *small_cnn.ADDRESSES[1:]], call=[0] * 11, output=[0] * 11))
    run.add(small_cnn.step_stats(0))
    text = export(run, tmp_path / "out.csv").read_text()
    assert ",'=HYPERLINK(1)," in text and ",=HYPERLINK" not in text


def test_the_graph_in_three_forms(run: Run, tmp_path: Path) -> None:
    columns = json.loads(export(run, tmp_path / "g.json").read_text())
    assert Graph.from_dict(columns) == run.graph
    assert "digraph" in export(run, tmp_path / "g.dot").read_text()
    assert export(run, tmp_path / "g.SVG").read_text().lstrip().startswith("<svg")


def test_what_cannot_be_exported_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match=r'no export is called \'.cvs\'.*\.csv, .json, .dot, .svg.*Did you mean ".csv"'
    ):
        export(run, tmp_path / "x.cvs")
    with pytest.raises(GraphscopeError, match="this run holds no graph"):
        export(Run(), tmp_path / "x.dot")
    with pytest.raises(GraphscopeError, match="the file cannot be written"):
        export(run, tmp_path / "missing" / "x.csv")
    assert np.isnan(run.series("conv1.bias", "l2", "update")[1]).all()
