"""The autograd graph, held against a hand walk of grad_fn.next_functions over an unwatched run."""

from __future__ import annotations

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import graphscope
from graphscope.capture.backward_walk import MOST_NODES
from graphscope.capture.values import tensors_in
from graphscope.errors import RunFileError, UnknownName
from graphscope.graph import Graph
from graphscope.run import load
from graphscope.session import watch
from tests.capture import models
from tests.capture.zoo.test_zoo import CASES, loss_of

WALKED = [name for name in CASES if name not in ("threads", "scripted and traced", "torch.func")]


def by_hand(tensors, names):
    """Nodes in the order of a breadth-first walk: name, leaf, and what follows."""
    order, numbers = [], {}

    def number(fn):
        if fn not in numbers:
            numbers[fn] = len(order)
            order.append(fn)
        return numbers[fn]

    roots = list(dict.fromkeys(number(t.grad_fn) for t in tensors if t.grad_fn is not None))
    rows = []
    for fn in order:
        leaf = names.get(id(fn.variable), "") if hasattr(fn, "variable") else ""
        rows.append((type(fn).__name__, leaf, [(None if f is None else number(f), n) for f, n in fn.next_functions]))
    return roots, rows


def shown(graph):
    walk = graph.autograd
    return list(walk.roots), [(node.name, node.variable, list(node.next)) for node in walk.nodes]


@pytest.mark.parametrize("name", WALKED)
def test_the_autograd_graph_of_the_zoo_is_that_of_a_hand_walk(name, tmp_path):
    case = CASES[name]
    torch.manual_seed(1)
    model, inputs = case.make(), case.inputs()
    torch.manual_seed(2)
    output = model(*inputs)
    names = {id(p): n for n, p in model.named_parameters()}
    want = by_hand(tensors_in(output), names)
    torch.manual_seed(2)
    graph = graphscope.trace_with(model, inputs)
    found = shown(graph)
    assert [(n, following) for n, _, following in found[1]] == [(n, following) for n, _, following in want[1]]
    assert found[0] == want[0]
    assert all(a == b for (_, a, _), (_, b, _) in zip(found[1], want[1], strict=True) if b), "parameters by name"
    assert shown(Graph.from_record(graph.to_record())) == found
    for node in graph.nodes:  # each op has the node that it says it has
        if len(node.outputs) == 1 and (nodes := graph.autograd.of_op(node)):
            assert node.grad_fn in {one.name for one in nodes}, node


def test_a_watched_step_has_it_from_the_loss_on(tmp_path):
    model, x, y = models.Mlp(), torch.randn(5, 6), torch.tensor([0, 2, 1, 1, 0])
    plain = F.cross_entropy(model(x), y)
    want = by_hand([plain], {id(p): n for n, p in model.named_parameters()})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    for run in (session.run, load(tmp_path / "run")):
        (graph,) = run.graphs.values()
        assert shown(graph) == want
        ops = {node.op if node.op != "linear" else node.fqn: node for node in graph.nodes}
        links = {op: [node.name for node in graph.autograd.of_op(node)] for op, node in ops.items()}
        assert links == {
            "cross_entropy": ["NllLossBackward0", "LogSoftmaxBackward0"],
            "head": ["AddmmBackward0", "TBackward0"],
            "relu": ["ReluBackward0"],
            "hidden": ["AddmmBackward0", "TBackward0"],
        }
        leaves = {leaf.variable for leaf in graph.autograd.leaves}
        assert leaves == {"hidden.weight", "hidden.bias", "head.weight", "head.bias"}


def test_a_graph_seen_without_gradients_first_gets_its_backward_later(tmp_path):
    model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.randn(2, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for loss in (False, True):
            out = model(x)
            if loss:
                out.sum().backward()
            optimizer.step()
    assert any(graph.autograd is not None for graph in session.run.graphs.values())


def test_what_cuts_gradients_off_is_marked():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            h = self.a(x)
            with torch.no_grad():
                scale = h.abs()
            target = h.detach()
            best = h.argmax(-1)
            return self.b(h) * scale + target.relu() + best[:, None]

    graph = graphscope.trace_with(Cut(), (torch.randn(2, 3),))
    walk = graph.autograd
    found = {graph.nodes[b.op].op: (b.why, [walk.nodes[n].name for n in b.readers]) for b in walk.boundaries}
    assert found == {"abs": ("no_grad", ["MulBackward0"]), "detach": ("detach", []),
                     "argmax": ("not differentiable", [])}  # fmt: skip
    (mul,) = (node for node in walk.nodes if node.name == "MulBackward0")
    assert [target is None for target, _ in mul.next] == [False, True], "the scale gets no gradient"
    assert {(e.source, e.slot) for e in walk.edges if e.source == mul.id} == {(mul.id, 0)}


def test_several_outputs_and_dropout_that_does_nothing_keep_their_ops():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

        def forward(self, x):
            left, right = self.drop(self.linear(x)).chunk(2, -1)
            return left * right

    graph = graphscope.trace_with(Net().eval(), (torch.randn(2, 4),))
    nodes = {(graph.nodes[n.op].op, n.name) for n in graph.autograd.nodes if n.op is not None}
    assert nodes == {("mul", "MulBackward0"), ("chunk", "SplitBackward0"), ("linear", "AddmmBackward0"),
                     ("linear", "TBackward0")}  # fmt: skip
    mul = graph.autograd.nodes[0]
    assert [number for _, number in mul.next] == [0, 1], "left and right are two outputs of one node"


def test_long_chains_need_no_recursion_and_are_cut_where_torch_could_not_free_them():
    class Chain(nn.Module):
        def __init__(self, ops):
            super().__init__()
            self.ops = ops

        def forward(self, x):
            for _ in range(self.ops):
                x = x + 1
            return x

    x = torch.zeros(1, requires_grad=True)
    walk = graphscope.trace_with(Chain(3_000), (x,)).autograd
    assert [node.op for node in walk.nodes[:3]] == [2_999, 2_998, 2_997]
    assert (len(walk.nodes), walk.nodes[-1].variable, walk.cut) == (3_001, "x", False)
    graph = graphscope.trace_with(Chain(100_000), (x,))
    assert len(graph.nodes) == 100_000 and graph.autograd.cut
    assert len(graph.autograd.nodes) == MOST_NODES
    assert Graph.from_record(graph.to_record()).autograd.cut


def test_no_tensor_and_no_node_is_kept():
    model, x = models.Cnn(), torch.randn(2, 1, 8, 8)

    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    kept = graphscope.trace_with(model, (x,))
    before = tensors()
    kept = [kept, *(graphscope.trace_with(model, (x,)) for _ in range(3))]
    assert tensors() == before
    assert all(len(graph.autograd.nodes) == len(kept[0].autograd.nodes) for graph in kept)


def test_a_plain_trace_does_not_look_and_columns_that_do_not_fit_are_refused():
    model, x = models.Mlp(), torch.randn(5, 6)
    plain = graphscope.trace(model, x)
    assert plain.autograd is None
    assert "backward_name" not in plain.to_dict()
    assert graphscope.trace_with(model, (), {"x": x}, backward=False).autograd is None
    columns = graphscope.trace_with(model, (x,)).to_dict()
    assert columns["graph_id"] == plain.graph_id, "the id is that of the forward"
    for changed in ({"backward_next": [10_000] * len(columns["backward_next"])}, {"backward_roots": None},
                    {"backward_op": [99] * len(columns["backward_op"])}, {"backward_next_ptr": [0]}):  # fmt: skip
        with pytest.raises(RunFileError, match="do not fit together"):
            Graph.from_dict({**columns, **changed})
    assert loss_of(model(x)).requires_grad


def test_arguments_that_are_no_tuple_are_refused_and_the_graph_is_one_line():
    model, x = nn.Linear(3, 2), torch.randn(3, 3)
    with pytest.raises(UnknownName, match=r"found Tensor as args.*trace_with\(model, \(x,\)"):
        graphscope.trace_with(model, x)
    with pytest.raises(UnknownName, match="found list as kwargs"):
        graphscope.trace_with(model, (x,), [x])
    walk = graphscope.trace_with(model, (x,)).autograd
    assert repr(walk) == f"AutogradGraph({len(walk.nodes)} backward nodes from 1 roots, 0 boundaries)"
