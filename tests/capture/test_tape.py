"""What is recorded of an op comes back as it was, however many there are, at a price in memory that is stated."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import tracemalloc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphscope.capture.source import Lines
from graphscope.capture.trace import trace
from graphscope.graph import Graph
from graphscope.run import decode, encode


class Fn(nn.Module):
    """A forward given as a function."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, *args):
        return self.fn(*args)


class Chain(nn.Module):
    def __init__(self, ops):
        super().__init__()
        self.ops = ops

    def forward(self, x):
        for _ in range(self.ops):
            x = x + 1
        return x


class Deep(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def nested(depth):
    model = nn.Linear(2, 2)
    for _ in range(depth):
        model = Deep(model)
    return model


def test_arguments_that_are_equal_but_not_the_same_stay_apart():
    def forward(x):
        return x * 1, x * 1.0, x * True, F.pad(x, (1, 1)), F.pad(x, (1, 1), value=1), F.pad(x, (1, 1), value=1.0)

    others = [n.attrs["other"] for n in trace(Fn(forward), torch.ones(3)).nodes[:3]]
    assert [(type(other), other) for other in others] == [(int, 1), (float, 1.0), (bool, True)]
    values = [n.attrs.get("value") for n in trace(Fn(forward), torch.ones(3)).nodes[3:]]
    assert [(type(v), v) for v in values] == [(type(None), None), (int, 1), (float, 1.0)]


def test_a_tensor_behind_another_argument_leaves_the_names_where_they_were():
    node = trace(Fn(lambda x: torch.where(x > 0, 2.0, x)), torch.ones(3)).nodes[1]
    assert node.op == "where" and len(node.inputs) == 2 and list(node.attrs.values()) == [2.0]
    node = trace(Fn(lambda x: torch.add(x, 3, alpha=2)), torch.ones(3)).nodes[0]
    assert node.attrs == {"other": 3, "alpha": 2}


def test_a_list_that_changes_after_the_call_is_kept_as_it_was():
    def forward(x):
        sizes = [2, 3]
        y = x.reshape(sizes)
        sizes[:] = [6]
        return y.reshape(sizes)

    assert [list(n.attrs.values()) for n in trace(Fn(forward), torch.ones(6)).nodes] == [[[2, 3]], [[6]]]


def test_every_op_of_a_deep_model_has_the_line_that_called_the_outermost_module_of_torch():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))

        def forward(self, x):
            x = self.a(x)
            return self.a(x)

    graph = trace(Net(), torch.ones(1, 2))
    first = Net.forward.__code__.co_firstlineno
    assert [n.source for n in graph.nodes] == [(__file__, first + 1)] * 3 + [(__file__, first + 2)] * 3


def test_lines_are_those_that_python_gives():
    places = []

    def here():
        frame = sys._getframe(1)
        places.append((frame.f_code, frame.f_lasti, frame.f_lineno))
        return 1

    for _ in range(2):
        value = (
            here()
            + here(),
            [here() for _ in range(2)],
        )  # fmt: skip
    assert value
    lines = Lines()
    assert len(places) == 8 and {lines(code, offset) for code, offset, _ in places} == {
        (code.co_filename, line) for code, _, line in places
    }
    assert all(lines(code, offset)[1] == line for code, offset, line in places)


def test_nodes_are_made_once_and_by_whoever_asks_first():
    graph = trace(Chain(50), torch.ones(2))
    assert "nodes" not in vars(graph)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(graph.nodes)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4 and all(nodes is seen[0] for nodes in seen) and len(graph.nodes) == 50
    other = trace(Chain(50), torch.ones(2))
    line = graph.nodes[0].source
    assert other == graph and other.nodes[0].source == line


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_graph_that_nobody_looked_at_can_be_copied(copied):
    graph = trace(Chain(3), torch.ones(2))
    assert copied(graph) == graph == trace(Chain(3), torch.ones(2))


def test_a_graph_holds_neither_the_model_nor_a_tensor():
    model, x = nested(2), torch.ones(1, 2)
    graph = trace(model, x)
    model_gone, input_gone, weight_gone = weakref.ref(model), weakref.ref(x), weakref.ref(next(model.parameters()))
    del model, x
    gc.collect()
    assert model_gone() is None and input_gone() is None and weight_gone() is None
    assert [n.op for n in graph.nodes] == ["linear"] and len(graph.modules) == 3


def test_an_op_takes_less_than_a_kilobyte_and_with_its_node_read_too():
    model, x, ops = Chain(4_000), torch.zeros(4), 4_000
    trace(model, x)
    gc.collect()
    tracemalloc.start()
    try:
        graph = trace(model, x)
        recorded = tracemalloc.get_traced_memory()[1]
        assert len(graph.nodes) == ops
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert recorded <= 1_024 * ops and read <= 1_024 * ops


def through_everything(graph: Graph) -> None:
    """Every way in which a Graph is used, none of which may recurse."""
    columns = graph.to_dict()
    assert Graph.from_dict(columns).to_dict() == columns
    back = Graph.from_record(decode(encode(graph.to_record())))
    assert back.graph_id == graph.graph_id and not graph.diff(back)
    assert graph.to_dot().count("[label=") >= len(graph.nodes)
    assert graph.to_svg().startswith("<svg") and repr(graph)
    assert len(graph.edges) == sum(bool(set(n.inputs) - set(graph.inputs)) for n in graph.nodes if n.op == "add")


@pytest.mark.parametrize("ops", [2_000, 20_000])
def test_a_long_chain_goes_through_everything(ops):
    graph = trace(Chain(ops), torch.zeros(4))
    assert len(graph.nodes) == ops
    through_everything(graph)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_chain_of_a_hundred_thousand_ops_goes_through_everything_in_less_than_a_gigabyte():
    resource = pytest.importorskip("resource")
    kilobyte = 1 if sys.platform == "darwin" else 1_024  # the unit of ru_maxrss
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    graph = trace(Chain(100_000), torch.zeros(4))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * kilobyte <= 100_000 * 1_024
    through_everything(graph)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * kilobyte <= 1_000_000_000
    assert len(graph.nodes) == 100_000


def test_modules_nested_five_hundred_deep_go_through_everything():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(4_000)  # the model itself needs three frames a level
    try:
        graph = trace(nested(500), torch.ones(1, 2))
    finally:
        sys.setrecursionlimit(limit)
    assert len(graph.modules) == 501 and graph.nodes[0].fqn.count("inner") == 500
    assert graph.nodes[0].source == (__file__, Deep.forward.__code__.co_firstlineno + 1)
    through_everything(graph)


class Hostile(Tensor):
    """A tensor whose every special method raises."""

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __eq__ = __hash__ = __len__ = __bool__ = __iter__ = lambda self, *args: Hostile.__repr__(self)


class Refuses(nn.Linear):
    """A module that gives away nothing but what its forward needs."""

    def __getattr__(self, name):
        if name in ("weight", "bias"):
            return super().__getattr__(name)
        raise RuntimeError(f"no {name}")

    def extra_repr(self):
        raise RuntimeError("no extra_repr")

    __repr__ = __len__ = __bool__ = __iter__ = extra_repr


@pytest.mark.parametrize("training", [True, False])
def test_hostile_tensors_and_modules_are_drawn_like_any_others(training):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Refuses(3, 3)

        def forward(self, x):
            y = self.inner(x) * 2
            both = torch.cat([y, x])
            y.add_(1)
            return both[0], {"y": y}

    model, x = Net().train(training), torch.randn(2, 3).as_subclass(Hostile)
    graph = trace(model, x)
    assert [n.op for n in graph.nodes] == ["linear", "mul", "cat", "add", "getitem"]
    assert [(e.source, e.target) for e in graph.edges] == [(0, 1), (1, 2), (1, 3), (2, 4)]
    assert graph.nodes[0].params == ("inner.weight", "inner.bias") and graph.nodes[3].inplace
    assert graph.modules[1].attrs == "extra_repr raised RuntimeError"
