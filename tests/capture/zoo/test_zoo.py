"""Each model of the zoo: its graph is the drawn one, traced and while it trains, and watching changes no bit."""

from __future__ import annotations

import inspect
import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphscope.capture.trace import trace
from graphscope.capture.values import tensors_in
from graphscope.graph import Graph
from graphscope.session import watch
from tests.capture.zoo import attention, control, convolutional, recurrent, special, tensors
from tests.capture.zoo.drawing import held


@dataclass
class Case:
    """A model with inputs for it."""

    make: Any
    inputs: Any

    @property
    def drawing(self) -> str:
        model = self.make if inspect.isclass(self.make) else type(self.make())
        return getattr(model, "DRAWING", None) or model.__doc__


def tokens(*shape: int) -> Tensor:
    return torch.randint(0, 7, shape)


CASES = {
    "LeNet": Case(convolutional.LeNet, lambda: (torch.randn(2, 1, 14, 14),)),
    "ResNet": Case(convolutional.ResNet, lambda: (torch.randn(2, 1, 8, 8),)),
    "bottleneck": Case(convolutional.Bottleneck, lambda: (torch.randn(2, 4, 5, 5),)),
    "U-Net": Case(convolutional.UNet, lambda: (torch.randn(2, 1, 8, 8),)),
    "DenseNet": Case(convolutional.DenseNet, lambda: (torch.randn(2, 2, 5, 5),)),
    "GRU": Case(recurrent.Gru, lambda: (tokens(3, 6),)),
    "RNN": Case(recurrent.Rnn, lambda: (torch.randn(6, 3, 4),)),
    "bidirectional LSTM": Case(recurrent.BiLstm, lambda: (torch.randn(6, 3, 4),)),
    "seq2seq with teacher": Case(recurrent.Seq2Seq, lambda: (tokens(3, 5), tokens(3, 2))),
    "seq2seq free running": Case(recurrent.FreeRunning, lambda: (tokens(3, 5), tokens(3, 2))),
    "self attention": Case(attention.SelfAttention, lambda: (torch.randn(2, 5, 8),)),
    "encoder": Case(attention.Encoder, lambda: (torch.randn(2, 5, 8),)),
    "decoder": Case(attention.Decoder, lambda: (torch.randn(5, 2, 8), torch.randn(4, 2, 8))),
    "GPT": Case(attention.Gpt, lambda: (tokens(2, 5),)),
    "mixture of experts": Case(control.MixtureOfExperts, lambda: (torch.tensor([[1.0, 2, 3, 4], [-1, 2, 3, 4]]),)),
    "if and while": Case(control.IfWhile, lambda: (torch.ones(2, 2),)),
    "tied weights": Case(control.Tied, lambda: (tokens(2, 5),)),
    "dataclass, namedtuple, dict": Case(
        control.Containers, lambda: ({"x": torch.randn(2, 3), "weight": torch.randn(2, 3)},)
    ),
    "nested containers": Case(control.Nested, lambda: (torch.randn(2, 3),)),
    "in place": Case(tensors.InPlace, lambda: (torch.randn(2, 4),)),
    "slice assignment": Case(tensors.Slices, lambda: (torch.randn(2, 4),)),
    "views": Case(tensors.Views, lambda: (torch.randn(2, 4),)),
    "out=": Case(tensors.Out, lambda: (torch.randn(3, 4),)),
    "indexing": Case(
        tensors.Indexing, lambda: (torch.randn(2, 4), torch.rand(3, 4) > 0.5, torch.zeros(3, 2, dtype=torch.long))
    ),
    "autograd functions": Case(special.Functions, lambda: (torch.randn(2, 4),)),
    "custom operators": Case(special.Library, lambda: (torch.randn(2, 4),)),
    "checkpoint": Case(special.Checkpointed, lambda: (torch.randn(2, 4),)),
    "checkpoint, reentrant": Case(
        lambda: special.Checkpointed(reentrant=True), lambda: (torch.randn(2, 4, requires_grad=True),)
    ),
    "torch.func": Case(special.Transformed, lambda: (torch.randn(2, 4),)),
    "scripted and traced": Case(special.Scripted, lambda: (torch.randn(2, 4),)),
    "threads": Case(special.Parallel, lambda: (torch.randn(2, 4),)),
}


def loss_of(output: Any) -> Tensor:
    """Something that every floating output has a part in."""
    return torch.stack([t.float().square().mean() for t in tensors_in(output) if t.requires_grad]).sum()


def train(case: Case, run_dir: Any = None, steps: int = 3) -> tuple[list[float], dict[str, Tensor], Any, Any]:
    """A few steps -> losses, state, random states and the session if it was watched."""
    torch.manual_seed(1)
    random.seed(1)
    model: nn.Module = case.make()
    inputs = case.inputs()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    session = watch(model, optimizer, every=1, run_dir=run_dir) if run_dir else None
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(*inputs))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if session is not None:
        session.close()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return losses, state, (torch.get_rng_state(), random.getstate()), session


@pytest.mark.parametrize("name", CASES)
def test_a_trace_is_the_drawn_graph(name):
    case = CASES[name]
    torch.manual_seed(0)
    graph = trace(case.make(), *case.inputs())
    held(graph, case.drawing)
    again = Graph.from_record(graph.to_record())
    held(again, case.drawing)
    assert again.graph_id == graph.graph_id


@pytest.mark.parametrize("name", CASES)
def test_a_watched_training_has_the_drawn_graph_and_the_same_bits(name, tmp_path):
    case = CASES[name]
    losses, state, rng, _ = train(case)
    watched_losses, watched_state, watched_rng, session = train(case, tmp_path / "run")
    assert losses == watched_losses
    assert all(torch.equal(state[key], watched_state[key]) for key in state)
    assert torch.equal(rng[0], watched_rng[0])
    assert rng[1] == watched_rng[1]
    assert session.run.captured_steps == [0, 1, 2]
    held(session.run.graph_at(0), case.drawing, with_loss=True)
    assert session.run.scalars("loss")[1].tolist() == pytest.approx(losses, rel=1e-6)
    assert len(session.run.graphs) == 1, "one topology, one graph"
