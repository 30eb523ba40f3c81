"""Each line is strict JSON that says what the run says; what is unknown is null, and a loss of NaN is a text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import GraphscopeError
from graphscope.reports.export_jsonl import export_jsonl, rows
from graphscope.run import Run, load
from graphscope.schema import STATISTICS
from tests.golden import make_golden, small_cnn

GOLDEN = Path(make_golden.__file__).parent


def no_constant(name: str) -> Any:
    pytest.fail(f"{name} is no JSON")


def lines_of(run: Run, tmp_path: Path) -> list[dict[str, Any]]:
    path = export_jsonl(run, str(tmp_path / "out.jsonl"))
    content = Path(path).read_bytes().decode("ascii")
    return [json.loads(line, parse_constant=no_constant) for line in content.splitlines()]


def test_a_run_in_lines(tmp_path: Path) -> None:
    found = lines_of(load(GOLDEN / "small_cnn.gscope"), tmp_path)
    assert found[0]["kind"] == "run" and found[0]["name"] == "SmallCnn-1" and found[0]["world_size"] == 1
    assert {row["kind"] for row in found} == {
        "run", "graph", "pass", "tensor", "batchnorm_stats", "dropout_stats", "step", "scalars", "finding", "note",
        "op_gradients", "aten_ops", "run_end",
    }  # fmt: skip
    tensors = [row for row in found if row["kind"] == "tensor"]
    assert len(tensors) == sum(len(small_cnn.rows_at(n)) for n in small_cnn.CAPTURED)
    for row in tensors:
        if row["unmeasured"]:
            assert (row["fqn"], row["role"]) == ("conv1.bias", "update")
            assert all(row[name] is None for name in STATISTICS), "unknown is null, never zero"
            continue
        values = small_cnn.values(row["role"], row["fqn"], row["step"])
        want = small_cnn.statistics(values)
        known = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in want.items()}
        assert {name: row[name] for name in ("mean", "std", "l2", "zeros", "nan")} == {
            name: known[name] for name in ("mean", "std", "l2", "zeros", "nan")
        }
        if row["histogram"] is not None:
            counts = small_cnn.histogram(values)
            assert row["histogram"] == {str(at): n for at, n in enumerate(counts) if n}
    losses = {row["step"]: row["scalars"]["loss"] for row in found if row["kind"] == "step"}
    assert losses[0] == small_cnn.step_record(0).scalars["loss"]


def test_numbers_and_texts_that_json_lacks(tmp_path: Path) -> None:
    found = lines_of(load(GOLDEN / "odd_values.gscope"), tmp_path)
    step = next(row for row in found if row["kind"] == "step")
    assert (step["scalars"]["nan"], step["scalars"]["inf"], step["scalars"]["-inf"]) == ("nan", "inf", "-inf")
    assert step["scalars"]["third"] == 1 / 3 and math.copysign(1, step["scalars"]["-0"]) == -1
    assert [row["text"] for row in found if row["kind"] == "note"] == list(make_golden.ODD_TEXTS)


def test_rows_are_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run = load(GOLDEN / "small_cnn.gscope")
    first = rows(run)
    assert next(first)["kind"] == "run"
    assert all(entry.held is None for entry in run._stats.entries), "no table is read before its turn"


def test_to_the_terminal_and_to_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = load(GOLDEN / "small_cnn.gscope")
    assert export_jsonl(run, "-") == "-"
    printed = capsys.readouterr().out
    export_jsonl(run, str(tmp_path / "out.jsonl"))
    assert printed == (tmp_path / "out.jsonl").read_text() and len(printed.splitlines()) > 100
    with pytest.raises(GraphscopeError, match="the file cannot be written"):
        export_jsonl(run, str(tmp_path / "missing" / "x.jsonl"))
    assert np.isnan(run.series("conv1.bias", "l2", "update")[1]).all()
