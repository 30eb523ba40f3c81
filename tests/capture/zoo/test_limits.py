"""Deep, long, nested, copied while running: what happens at the edges, and which facts the drawings do not show."""

from __future__ import annotations

import copy
import pickle
import sys

import torch
from torch import Tensor, nn

from graphscope.capture.trace import trace
from graphscope.session import watch
from tests.capture.zoo import tensors
from tests.capture.zoo.control import MixtureOfExperts, Tied


class Deep(nn.Module):
    """One module inside another, and so on."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def nested(depth: int) -> nn.Module:
    model: nn.Module = nn.Linear(2, 2)
    for _ in range(depth):
        model = Deep(model)
    return model


def deepest_that_runs() -> int:
    """How deep modules may be nested here before Python itself gives up, less a small reserve for pytest's frames."""
    depth = 200
    while depth < 400:
        try:
            nested(depth + 10)(torch.ones(1, 2))
        except RecursionError:
            break
        depth += 10
    return depth


def test_a_model_that_just_fits_into_the_recursion_limit_fits_while_it_is_watched(tmp_path):
    limit = sys.getrecursionlimit()
    depth = deepest_that_runs()
    model = nested(depth)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        model(torch.ones(1, 2)).sum().backward()
    assert sys.getrecursionlimit() == limit
    assert len(session.graph.modules) == depth + 1
    assert [node.op for node in session.graph.nodes] == ["linear", "sum"]


def test_modules_nested_five_hundred_deep(tmp_path):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        model = nested(500)
        graph = trace(model, torch.ones(1, 2))
        with watch(model, every=1, run_dir=tmp_path / "run") as session:
            model(torch.ones(1, 2)).sum().backward()
        assert len(graph.modules) == len(session.graph.modules) == 501
        assert len(graph.calls) == 501
        assert graph.nodes[0].fqn == ".".join(["inner"] * 500)
    finally:
        sys.setrecursionlimit(limit)


def test_a_chain_of_two_thousand_ops_in_training(tmp_path):
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))

        def forward(self, x):
            for _ in range(1_000):
                x = (x + self.w).tanh()
            return x

    results = []
    for watched in (False, True):
        model = Chain()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        session = watch(model, optimizer, every=1, run_dir=tmp_path / "run") if watched else None
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.zeros(3)).sum().backward()
            optimizer.step()
        results.append(model.w.item())
    session.close()
    assert results[0] == results[1]
    assert [n.op for n in session.graph.nodes].count("tanh") == 1_000
    assert all(node.grad_fn for node in session.graph.nodes[1:])


class Outer(nn.Module):
    """x -> inner(linear, relu) -> head"""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x))


def test_a_model_inside_a_watched_model_may_be_watched_too(tmp_path):
    model = Outer()
    with (
        watch(model.inner, every=1, run_dir=tmp_path / "i") as inner,
        watch(model, every=1, run_dir=tmp_path / "o") as outer,
    ):
        for _ in range(2):
            model(torch.ones(2, 3)).sum().backward()
    assert [(n.op, n.fqn) for n in outer.graph.nodes] == [
        ("linear", "inner.0"), ("relu", "inner.1"), ("linear", "head"), ("sum", ""),
    ]  # fmt: skip
    assert [(n.op, n.fqn) for n in inner.graph.nodes][:2] == [("linear", "0"), ("relu", "1")]
    assert not any("_compiled_call_impl" in module.__dict__ for module in model.modules())


def test_copies_and_pickles_made_during_a_captured_forward_are_untapped(tmp_path):
    class Copies(Outer):
        def forward(self, x):
            self.copies = [copy.deepcopy(self.inner), copy.copy(self.head), pickle.loads(pickle.dumps(self.inner))]
            return super().forward(x)

    model = Copies()
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        model(torch.ones(2, 3)).sum().backward()
    assert [n.op for n in session.graph.nodes][-4:] == ["linear", "relu", "linear", "sum"]  # before: the copying
    for made in model.copies:
        assert not any("_compiled_call_impl" in module.__dict__ for module in made.modules())
        made(torch.ones(2, 3))


def test_tied_parameters_count_once_and_name_each_other():
    graph = trace(Tied(), torch.tensor([[1, 2]]))
    tied = {p.name: p.tied_to for module in graph.modules for p in module.parameters}
    assert tied == {"table.weight": None, "head.weight": "table.weight", "head.bias": None}
    assert graph.parameter_count == 7 * 4 + 7


def test_views_share_memory_and_other_ops_do_not():
    graph = trace(tensors.Views(), torch.randn(2, 4))
    views = {"t", "split", "narrow", "view", "unsqueeze", "expand"}
    # A transposed matrix cannot be flattened without a copy, nor can what flatten gets here be a view of anything old.
    assert {node.op for node in graph.nodes if node.view} - {"flatten"} == views


def test_another_route_is_another_graph_and_the_diff_names_the_experts():
    model, left, right = MixtureOfExperts(), torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[-1.0, 2, 3, 4]])
    a, b = trace(model, left), trace(model, right)
    assert a.graph_id != b.graph_id
    assert {node.fqn for node in a.diff(b).appeared} >= {"experts.1"}
    assert {node.fqn for node in a.diff(b).vanished} >= {"experts.0"}
    assert trace(model, left.repeat(5, 1)).graph_id == a.graph_id, "sizes are no topology"
