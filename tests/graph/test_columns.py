"""A Graph survives its columns, its record and its JSON; columns that do not fit are refused with words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphscope.errors import RunFileError
from graphscope.graph import Graph
from graphscope.run import decode, encode
from graphscope.schema import GraphRecord
from tests.golden.small_cnn import graph as small_cnn
from tests.graph.random_graphs import graphs


@given(graphs())
@settings(max_examples=25)
def test_a_graph_survives_columns_record_blob_and_json(graph: Graph) -> None:
    assert Graph.from_dict(graph.to_dict()) == graph
    assert Graph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
    record = decode(encode(graph.to_record()))
    assert isinstance(record, GraphRecord)
    back = Graph.from_record(record)
    assert back == graph and back.graph_id == graph.graph_id == record.graph_id


@given(graphs())
@settings(max_examples=12)
def test_columns_partition_what_they_point_into(graph: Graph) -> None:
    columns = graph.to_dict()
    assert columns["strings"][0] == "" and len(set(columns["strings"])) == len(columns["strings"])
    for name in ("call_outputs", "op_inputs", "op_outputs", "op_params"):
        assert columns[f"{name}_ptr"][-1] == len(columns[name])
    assert sum(columns["value_ndim"]) == len(columns["value_sizes"])


def with_change(**changes: Any) -> dict[str, Any]:
    return {**small_cnn().to_dict(), **changes}


def first(name: str, value: Any) -> dict[str, Any]:
    column = list(small_cnn().to_dict()[name])
    return with_change(**{name: [value, *column[1:]]})


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({}, "KeyError"),
        (with_change(strings=[]), "of 0"),
        (first("op_name", 10_000), "text 10000 of"),
        (first("op_name", -1), "text -1 of"),
        (first("op_call", 99), "IndexError"),
        (with_change(module_parent=[-1, 2, 1, 0, 0]), r"module_parent\[1\] is 2; wanted an earlier row or -1"),
        (first("module_parent", 0), r"module_parent\[0\] is 0"),
        (with_change(call_parent=[-1, 1, 0, 0, 0]), r"call_parent\[1\] is 1"),
        (first("param_tied", 0), r"param_tied\[0\] is 0"),
        (first("param_module", 7), "module 7 of 5"),
        (first("op_inputs_ptr", 1), "op_inputs_ptr does not partition op_inputs"),
        (with_change(value_sizes=[1]), "1 sizes for"),
        (with_change(module_type=[0]), "ValueError"),
        (first("value_kind", 77), "IndexError"),
        (first("op_inputs", 10_000), "IndexError"),
        (with_change(strings=["", *["[1]"] * 99]), "op_attrs holds a list; wanted an object"),
        (with_change(strings=["", *["{"] * 99]), "JSONDecodeError"),
        (with_change(strings=["", *["[" * 100_000] * 99]), "RecursionError"),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(RunFileError, match=says):
        Graph.from_dict(columns)


@given(st.sampled_from(sorted(small_cnn().to_dict())), st.integers(0, 200), st.integers(-2, 300))
@settings(max_examples=120)
def test_any_changed_number_gives_a_graph_or_a_run_file_error(name: str, place: int, value: int) -> None:
    columns = small_cnn().to_dict()
    if not isinstance(columns[name], list) or not columns[name] or name == "strings":
        return
    changed = list(columns[name])
    changed[place % len(changed)] = value
    try:
        graph = Graph.from_dict({**columns, name: changed})
    except RunFileError:
        return
    assert graph.to_dot().startswith("digraph") and len(graph.graph_id) == 16
