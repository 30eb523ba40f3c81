"""Roots whose inside cannot be seen: scripted, traced, lazy, compiled behind the watch. Each is told in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import graphscope
from graphscope.errors import Uninitialized

MADE = {
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())),
    "traced": lambda: torch.jit.trace(nn.Linear(4, 4), torch.ones(1, 4)),
}


def train(model, call, steps=3):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        call(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_or_traced_root_is_one_opaque_node(kind, tmp_path):
    model = MADE[kind]()
    graph = graphscope.trace(model, torch.ones(2, 4))
    (node,) = graph.nodes
    assert "does not show to Python" in node.opaque
    assert [value.shape for value in node.outputs] == [(2, 4)]
    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session:
        train(model, model)
    assert session.failure is None
    assert session.run.graph.nodes[0].opaque == node.opaque
    assert len(session.run.scalars("loss")[1]) == 3


def test_a_trace_of_a_lazy_model_is_refused_before_it_changes_the_model():
    model = nn.Sequential(nn.LazyLinear(4), nn.Dropout())
    before = torch.get_rng_state()
    with pytest.raises(
        Uninitialized, match=r"trace\(Sequential\): 0\.weight has no shape yet.*once on your data first"
    ):
        graphscope.trace(model, torch.ones(2, 3))
    assert isinstance(model[0].weight, nn.UninitializedParameter)
    assert torch.equal(before, torch.get_rng_state())
    model(torch.ones(2, 3))
    assert [node.op for node in graphscope.trace(model, torch.ones(2, 3)).nodes] == ["linear", "dropout"]


def test_watching_a_lazy_model_says_nothing_and_changes_nothing(tmp_path):
    def weights(watched):
        torch.manual_seed(0)
        model = nn.Sequential(nn.LazyLinear(4), nn.Dropout())
        session = graphscope.watch(model, every=1, run_dir=tmp_path / "run") if watched else None
        model(torch.ones(2, 4))
        train(model, model)
        if session is not None:
            session.close()
            assert session.failure is None
            assert session.run.notes == []
            assert session.run.addresses("parameter") == ["0.weight", "0.bias"]
        return model[0].weight.detach()

    assert torch.equal(weights(False), weights(True))


@pytest.mark.parametrize("order", ["compile last", "compile first", "in place"])
def test_a_root_that_is_called_through_torch_compile_is_told_so(order, tmp_path):
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    compiled = torch.compile(model, backend="eager") if order == "compile first" else model
    with graphscope.watch(model, every=1, run_dir=tmp_path / "run") as session:
        if order == "compile last":
            compiled = torch.compile(model, backend="eager")
        elif order == "in place":
            model.compile(backend="eager")
        train(model, compiled)
    (note,) = session.run.notes
    assert "was called through torch.compile" in note.text
    assert "graphscope.watch(compiled, ...)" in note.text
    advised = torch.compile(nn.Linear(4, 4), backend="eager")
    with graphscope.watch(advised, every=1, run_dir=tmp_path / "2") as session:
        train(advised, advised)
    assert session.run.graph is not None, "what the note advises"
    assert len(session.run.scalars("loss")[1]) == 3
    assert session.run.notes == []
