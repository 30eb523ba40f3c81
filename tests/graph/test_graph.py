"""What a Graph knows of itself, and its forms for other programs."""

from __future__ import annotations

import dataclasses
import re

import networkx
import pytest

from graphscope.graph import Graph, ModuleInfo, ParameterInfo, module_tree
from tests.golden.small_cnn import graph as small_cnn


def test_edges_run_from_the_op_that_made_a_value_to_those_that_read_it() -> None:
    graph = small_cnn()
    assert [(e.source, e.target) for e in graph.edges] == [(i, i + 1) for i in range(7)]
    assert all(
        e.value in graph.nodes[e.source].outputs and e.value in graph.nodes[e.target].inputs for e in graph.edges
    )


def test_a_tied_parameter_counts_once() -> None:
    weight = ParameterInfo("a.weight", (3, 5), True)
    tree = module_tree(
        [
            ModuleInfo("", "Net", "", None),
            ModuleInfo("a", "Linear", "", "", (weight, ParameterInfo("a.bias", (), True))),
            ModuleInfo("b", "Linear", "", "", (ParameterInfo("b.weight", (3, 5), True, tied_to="a.weight"),)),
        ]
    )
    assert tree.parameter_count == 16 and not tree.traced
    assert "module tree, 3 modules" in repr(tree) and 'label="a: Linear"' in tree.to_dot()


def test_modules_by_path_and_by_type() -> None:
    graph = small_cnn()
    assert [m.fqn for m in graph.modules_of("Conv2d", "Linear")] == ["conv1", "fc"]
    bn = graph.module("bn1")
    assert bn is not None and bn.type == "BatchNorm2d" and graph.module("nope") is None
    assert [m.name for m in graph.modules] == ["SmallCnn", "conv1", "bn1", "drop", "fc"]


def test_dot_text_has_a_cluster_a_call_and_is_balanced() -> None:
    dot = small_cnn().to_dot()
    assert dot.count("subgraph") == 5 and dot.count("{") == dot.count("}")
    assert re.findall(r"op(\d) -> op(\d);", dot) == [(str(i), str(i + 1)) for i in range(7)]
    assert "in0 -> op0;" in dot


@pytest.mark.parametrize("name", ['"; evil [', "\\N", 'a\\"b', "</title><script>", "two\nlines", "}"])
def test_names_are_quoted_texts_in_dot(name: str) -> None:
    graph = small_cnn()
    hostile = dataclasses.replace(
        graph, nodes=(dataclasses.replace(graph.nodes[0], op=name), *graph.nodes[1:]),
        calls=tuple(dataclasses.replace(c, fqn=name) if c.id == 1 else c for c in graph.calls),
    )  # fmt: skip
    dot = hostile.to_dot()
    # Without its quoted texts nothing but the structure is left.
    bare = re.sub(r'"(?:[^"\\\n]|\\.)*"', "", dot)
    assert bare == re.sub(r'"(?:[^"\\\n]|\\.)*"', "", graph.to_dot())


def test_networkx_has_one_node_an_op() -> None:
    made = small_cnn().to_networkx()
    assert isinstance(made, networkx.MultiDiGraph) and made.number_of_nodes() == 8 and made.number_of_edges() == 7
    assert made.nodes[0]["op"] == "conv2d" and made.graph["graph_id"] == small_cnn().graph_id
    assert list(networkx.topological_sort(made)) == list(range(8))


def test_graphviz_holds_the_same_text() -> None:
    assert small_cnn().to_graphviz().source == small_cnn().to_dot()


def test_a_deep_graph_needs_no_recursion() -> None:
    modules = [ModuleInfo("", "Net", "", None)]
    for i in range(3000):
        modules.append(ModuleInfo(f"{modules[-1].fqn}.m".lstrip(".") + str(i % 10), "Block", "", modules[-1].fqn))
    tree = module_tree(modules)
    assert Graph.from_dict(tree.to_dict()) == tree and len(tree.graph_id) == 16 and tree.to_dot().count("->") == 3000


def test_a_graph_names_itself() -> None:
    assert repr(small_cnn()).startswith("Graph(SmallCnn: 8 ops in 5 modules, id ")
    assert "ended early: ValueError: no" in repr(dataclasses.replace(small_cnn(), partial="ValueError: no"))
