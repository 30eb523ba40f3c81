"""The golden files are what their script makes, and reading them gives the values worked out beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import RunFileError
from graphscope.run import Run, load
from graphscope.schema import RECORDS, BatchNormStats, DropoutStats
from tests.golden import make_golden

GOLDEN = Path(make_golden.__file__).parent


@pytest.fixture(scope="module")
def run() -> Run:
    return load(GOLDEN / "small_cnn.gscope")


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((GOLDEN / "small_cnn.json").read_text())  # type: ignore[no-any-return]


def nan_for_none(values: list[float | None]) -> np.ndarray[Any, Any]:
    return np.array([math.nan if v is None else v for v in values])


def test_the_committed_files_are_what_the_script_makes() -> None:
    for name, content in make_golden.files().items():
        assert (GOLDEN / name).read_bytes() == content, f"{name}: run python tests/golden/make_golden.py"


def test_small_cnn_has_every_kind_of_record(run: Run) -> None:
    assert {type(record) for record in run.records()} == set(RECORDS)


def test_what_the_run_is(run: Run, expected: dict[str, Any]) -> None:
    assert run.header is not None
    assert {name: getattr(run.header, name) for name in expected["header"]} == expected["header"]
    assert (run.finished, run.damaged, len(list(run.records()))) == (True, 0, expected["records"])
    assert run.steps == expected["steps"] and run.captured_steps == expected["captured_steps"]
    assert [note.text for note in run.notes] == expected["notes"]
    assert len(run.passes) == expected["passes"]
    assert list(run.passes[-1].train_mode_layers) == expected["train_mode_layers"]
    found = [{name: getattr(f, name) for name in ("rule", "severity", "fqn", "count")} for f in run.findings]
    assert found == expected["findings"]


def test_series_and_scalars(run: Run, expected: dict[str, Any]) -> None:
    for name, want in expected["scalars"].items():
        steps, values = run.scalars(name)
        assert steps.tolist() == want["steps"]
        np.testing.assert_array_equal(values, nan_for_none(want["values"]))
    for want in expected["series"]:
        steps, values = run.series(want["fqn"], want["stat"], want["role"])
        assert steps.tolist() == want["steps"]
        np.testing.assert_array_equal(values, nan_for_none(want["values"]), err_msg=str(want))
    for role, names in expected["addresses"].items():
        assert run.addresses(role) == names


def test_one_tensor(run: Run, expected: dict[str, Any]) -> None:
    want = expected["summary"]
    summary = run.summary(want["fqn"], want["role"], want["step"])
    assert summary.histogram is not None and summary.histogram.tolist() == want["histogram"]
    assert list(summary.shape) == want["shape"]
    for name in (
        "dtype",
        "count",
        "mean",
        "std",
        "min",
        "max",
        "absmax",
        "l2",
        "zeros",
        "nan",
        "pos_inf",
        "zero_share",
    ):
        assert getattr(summary, name) == want[name], name
    lost = run.summary(expected["unmeasured"]["fqn"], expected["unmeasured"]["role"], expected["unmeasured"]["step"])
    assert lost.unmeasured == expected["unmeasured"]["text"] and lost.zeros is None and math.isnan(lost.l2)
    guess = run.summary(expected["estimate"]["fqn"], expected["estimate"]["role"], expected["estimate"]["step"])
    assert guess.estimate and not guess.unmeasured


def test_layers(run: Run, expected: dict[str, Any]) -> None:
    want = expected["batchnorm"]
    bn = run.layer(want["fqn"], want["step"])
    assert isinstance(bn, BatchNormStats) and bn.bias is None
    assert (bn.count, bn.batches_tracked) == (want["count"], want["batches_tracked"])
    for name in ("batch_mean", "batch_var", "running_mean", "running_var"):
        np.testing.assert_array_equal(getattr(bn, name), want[name])
    drop = run.layer(expected["dropout"]["fqn"], expected["dropout"]["step"])
    assert isinstance(drop, DropoutStats)
    assert (drop.p, drop.dropped, drop.training) == tuple(expected["dropout"][n] for n in ("p", "dropped", "training"))


def test_graph(run: Run, expected: dict[str, Any]) -> None:
    graph, want = run.graph, expected["graph"]
    assert graph is not None and graph.graph_id == want["graph_id"] and graph.parameter_count == want["parameter_count"]
    assert [{"fqn": m.fqn, "type": m.type, "parameters": len(m.parameters)} for m in graph.modules] == want["modules"]
    assert [node.op for node in graph.nodes] == want["ops"]
    assert [node.fqn for node in graph.nodes] == want["op_fqns"]
    assert [[edge.source, edge.target] for edge in graph.edges] == want["edges"]
    assert [list(node.outputs[0].shape) for node in graph.nodes] == want["op_shapes"]
    assert [node.id for node in graph.nodes if node.inplace] == want["inplace"]
    assert [node.id for node in graph.nodes if node.view] == want["views"]
    assert graph.nodes[0].source == tuple(want["source_of_conv"])


def test_a_killed_run_holds_all_whole_records_and_says_what_is_cut_off() -> None:
    killed = load(GOLDEN / "killed.gscope")
    assert not killed.finished and killed.damaged == 0 and killed.unfinished_bytes > 1000
    assert killed.captured_steps == [0, 1, 2, 4] and killed.steps == [0, 1, 2, 3, 4]
    assert any("cut off" in note.text for note in killed.notes)


def test_a_damaged_run_lacks_only_the_damaged_record(run: Run) -> None:
    damaged = load(GOLDEN / "damaged.gscope")
    assert damaged.damaged == 2 and damaged.finished
    assert damaged.captured_steps == [0, 1, 4, 5] and damaged.steps == run.steps
    steps, values = run.series("conv1", "mean")
    np.testing.assert_array_equal(damaged.series("conv1", "mean")[1], values[steps != 2])
    assert any("2 damaged records were left out" in note.text for note in damaged.notes)


def test_a_newer_minor_version_is_read_and_what_is_unknown_counted() -> None:
    newer = load(GOLDEN / "newer.gscope")
    assert newer.unknown == {"run_header.mood": 1, "hologram": 1, "note.aura": 1}
    assert newer.finished and newer.damaged == 0 and newer.notes[0].text == "known"
    assert "newer GraphScope 0.9.0" in newer.notes[1].text


def test_another_major_version_is_refused() -> None:
    with pytest.raises(RunFileError, match=r"other_major\.gscope: it was written by GraphScope 9\.0\.0"):
        load(GOLDEN / "other_major.gscope")


def test_odd_texts_and_numbers_come_back_as_they_were() -> None:
    odd = load(GOLDEN / "odd_values.gscope")
    assert tuple(note.text for note in odd.notes) == make_golden.ODD_TEXTS
    assert tuple(address.fqn for address in odd.address_table) == make_golden.ODD_TEXTS
    assert all(address.output == 2**32 - 1 for address in odd.address_table)
    for name, value in make_golden.ODD_NUMBERS.items():
        assert repr(odd.step_records[0].scalars[name]) == repr(value)
    assert odd.steps == [0, 2**53] and odd.step_records[1].epoch == -1
