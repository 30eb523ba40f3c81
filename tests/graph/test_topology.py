"""The id of a graph counts structure and not sizes; a difference names the ops that came, went and changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from graphscope.errors import UnknownName
from graphscope.graph import Graph, OpNode
from tests.golden.small_cnn import graph as small_cnn


def resized(graph: Graph, batch: int) -> Graph:
    """The same pass with another batch size."""
    values = {
        v.id: dataclasses.replace(v, shape=(batch, *v.shape[1:]) if len(v.shape) > 1 else v.shape)
        for v in all_values(graph)
    }

    def swap(items: tuple) -> tuple:  # type: ignore[type-arg]
        return tuple(values[v.id] for v in items)

    return dataclasses.replace(
        graph,
        nodes=tuple(dataclasses.replace(n, inputs=swap(n.inputs), outputs=swap(n.outputs)) for n in graph.nodes),
        calls=tuple(dataclasses.replace(c, outputs=swap(c.outputs)) for c in graph.calls),
        inputs=swap(graph.inputs),
        outputs=swap(graph.outputs),
    )


def all_values(graph: Graph) -> list:  # type: ignore[type-arg]
    return [v for n in graph.nodes for v in (*n.inputs, *n.outputs)] + [*graph.inputs, *graph.outputs]


def changed_op(graph: Graph, at: int, **changes: object) -> Graph:
    nodes = list(graph.nodes)
    nodes[at] = dataclasses.replace(nodes[at], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(graph, nodes=tuple(nodes))


def test_sizes_make_no_new_graph() -> None:
    assert resized(small_cnn(), 3).graph_id == small_cnn().graph_id
    assert resized(small_cnn(), 3) != small_cnn()
    assert not small_cnn().diff(resized(small_cnn(), 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda g: changed_op(g, 0, op="conv1d"),
        lambda g: changed_op(g, 5, attrs={"p": 0.25, "training": True}),
        lambda g: changed_op(g, 5, attrs={"p": 0.5, "training": False}),
        lambda g: changed_op(g, 2, inplace=False),
        lambda g: changed_op(g, 3, inputs=g.nodes[0].outputs),
        lambda g: changed_op(g, 3, failed=True),
        lambda g: dataclasses.replace(g, nodes=g.nodes[:-1]),
        lambda g: dataclasses.replace(g, partial="ValueError: no"),
        lambda g: dataclasses.replace(g, modules=g.modules[:-1]),
        lambda g: dataclasses.replace(g, traced=False),
    ],
)
def test_structure_makes_a_new_graph(change: Callable[[Graph], Graph]) -> None:
    assert change(small_cnn()).graph_id != small_cnn().graph_id


def test_integers_of_an_op_that_follows_the_batch_are_sizes_but_its_switches_are_not() -> None:
    reshape = changed_op(small_cnn(), 4, op="reshape", attrs={"shape": [4, 128], "copy": False})
    other_size = changed_op(small_cnn(), 4, op="reshape", attrs={"shape": [3, 128], "copy": False})
    other_switch = changed_op(small_cnn(), 4, op="reshape", attrs={"shape": [4, 128], "copy": True})
    assert reshape.graph_id == other_size.graph_id != other_switch.graph_id


def test_a_difference_names_what_appeared_vanished_and_changed() -> None:
    first = small_cnn()
    extra = OpNode(8, "mul", 0, "", 0, first.nodes[7].outputs, ())
    second = dataclasses.replace(changed_op(first, 5, attrs={"p": 0.1}), nodes=())
    nodes = [n for n in changed_op(first, 5, attrs={"p": 0.1}).nodes if n.op != "relu"]
    second = dataclasses.replace(second, nodes=(*nodes, extra))
    found = first.diff(second)
    assert [n.op for n in found.appeared] == ["mul"] and [n.op for n in found.vanished] == ["relu"]
    # max_pool2d read what relu made; now it reads a value that no op of the graph made.
    assert [(a.op, b.op) for a, b in found.changed] == [("max_pool2d", "max_pool2d"), ("dropout", "dropout")]
    assert bool(found) and not first.diff(first)


def test_a_difference_to_something_else_is_refused() -> None:
    with pytest.raises(UnknownName, match="found int, wanted another Graph"):
        small_cnn().diff(3)  # type: ignore[arg-type]
