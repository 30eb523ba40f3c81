"""torch.compile, fused inference paths, quantised parts: the user's program runs as it does without us."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from graphscope.capture.trace import trace
from graphscope.session import watch
from tests.capture.zoo.drawing import held


class Counting:
    """A Dynamo backend that counts what it compiles and what it runs, and runs it as it is."""

    def __init__(self) -> None:
        self.compiled = self.runs = 0
        self.said: list[str] = []

    def __call__(self, module, inputs):
        self.compiled += 1

        def run(*args):
            self.runs += 1
            return module.forward(*args)

        return run


class Block(nn.Module):
    """What is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu())


class Whole(nn.Module):
    """
    h = x -> first:linear -> block:Block? -> tanh
    h -> last:linear -> out
    """

    def __init__(self, how: str, backend: Counting) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.block = Block()
        if how == "wrapped":
            self.block = torch.compile(self.block, backend=backend)
        elif how == "in place":
            self.block.compile(backend=backend)
        else:
            self.block.forward = torch.compile(self.block.forward, backend=backend)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.block(self.first(x))))


class Function(nn.Module):
    """
    h = x -> first:linear -> fused?
    h -> last:linear -> out
    """

    def __init__(self, backend: Counting) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.fused = torch.compile(lambda h: torch.sin(h) * h, backend=backend)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.fused(self.first(x)))


def train(make, run_dir=None, every=1):
    torch._dynamo.reset()
    torch.manual_seed(0)
    backend = Counting()
    model = make(backend)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = watch(model, optimizer, every=every, run_dir=run_dir) if run_dir else None
    losses = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(12):
            optimizer.zero_grad()
            loss = model(torch.randn(3, 4)).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    if session:
        session.close()
    backend.said = sorted(str(warning.message) for warning in said)
    return losses, backend, session


MAKERS = {
    "wrapped": lambda backend: Whole("wrapped", backend),
    "in place": lambda backend: Whole("in place", backend),
    "forward": lambda backend: Whole("forward", backend),
    "function": Function,
}


@pytest.mark.seconds
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("how", MAKERS)
def test_a_compiled_part_is_one_node_and_is_neither_recompiled_nor_skipped(how, every, tmp_path):
    plain, backend, _ = train(MAKERS[how])
    watched, counted, session = train(MAKERS[how], tmp_path / "run", every)
    assert watched == plain
    assert (counted.compiled, counted.runs) == (backend.compiled, backend.runs)
    assert backend.runs == 12
    assert counted.said == backend.said
    held(session.graph, Function.__doc__ if how == "function" else Whole.__doc__, with_loss=True)
    node = next(node for node in session.graph.nodes if node.opaque)
    assert "torch.compile" in node.opaque
    assert session.run.captured_steps == list(range(0, 12, every))


@pytest.mark.seconds
def test_a_compiled_root_is_one_node_with_its_loss(tmp_path):
    losses = {}
    for watched in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        backend = Counting()
        model = torch.compile(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), backend=backend)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        session = watch(model, optimizer, every=1, run_dir=tmp_path / "run") if watched else None
        losses[watched] = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4)).sum()
            loss.backward()
            optimizer.step()
            losses[watched].append(loss.item())
        assert (backend.compiled, backend.runs) == (1, 3)
    session.close()
    assert losses[True] == losses[False]
    assert [(node.op, bool(node.opaque)) for node in session.graph.nodes] == [("Sequential", True), ("sum", False)]


_scaled = None


class CallsGlobal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return _scaled(self.lin(x))


@pytest.mark.seconds
def test_a_compiled_global_function_is_left_alone_and_the_run_says_so(tmp_path):
    global _scaled
    torch._dynamo.reset()
    backend = Counting()
    _scaled = torch.compile(lambda h: torch.sin(h) * 2, backend=backend)
    model = CallsGlobal()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
    assert (backend.compiled, backend.runs) == (1, 3)
    assert any("torch.compile" in note.text for note in session.run.notes)
    assert session.run.scalars("loss")[1].size == 3


class Frozen(nn.Module):
    """
    h = x -> encoder:TransformerEncoderLayer?
    h -> head:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(False)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder.eval()(x))


def test_the_fused_inference_path_of_a_frozen_encoder_stays_on(tmp_path, monkeypatch):
    fused = []
    kernel = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", lambda *a: fused.append(1) or kernel(*a))
    outputs = []
    for watched in (False, True):
        torch.manual_seed(0)
        model, x = Frozen(), torch.randn(2, 5, 8)
        session = watch(model, every=1, run_dir=tmp_path / "run") if watched else None
        outputs.append(model(x))
        outputs[-1].sum().backward()
    session.close()
    assert torch.equal(*outputs)
    assert len(fused) == 2
    held(session.graph, Frozen.__doc__, with_loss=True)


def test_an_encoder_in_eval_mode_is_traced_as_it_runs():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    with torch.no_grad():
        graph = trace(model, torch.randn(2, 5, 8))
    assert [(node.op, bool(node.opaque)) for node in graph.nodes] == [("TransformerEncoder", True)]
    assert "fused" in graph.nodes[0].opaque
    assert len(trace(model, torch.randn(2, 5, 8)).nodes) > 20, "with gradients torch takes the slow path by itself"


class Quantised(nn.Module):
    """
    h = x -> first:quantized.linear_dynamic? -> relu
    h -> last:quantized.linear_dynamic? -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


def test_a_dynamically_quantised_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(Quantised(), {nn.Linear})
    graph = trace(model, torch.randn(3, 4))
    held(graph, Quantised.__doc__)
    assert [node.outputs[0].shape for node in graph.nodes] == [(3, 6), (3, 6), (3, 2)]


def test_dataparallel_on_a_cpu_is_a_module_around_the_model(tmp_path):
    model = nn.DataParallel(nn.Linear(4, 2))
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        model(torch.randn(3, 4)).sum().backward()
    assert [(node.op, node.fqn) for node in session.graph.nodes][0] == ("linear", "module")
