"""What runs inside one module call: held against a TorchDispatchMode of this test, and to the last bit."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils.flop_counter import FlopCounterMode

import graphscope
from graphscope.capture import inside as looking
from graphscope.errors import CannotLookInside, SessionClosed, UnknownAddress
from graphscope.reports.text import summary_text
from graphscope.session import watch
from tests.capture import models


class Names(TorchDispatchMode):
    """Every op that runs: its name and the shapes of its outputs."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, (tuple, list)) else [result]
        self.seen.append((str(func), tuple(tuple(t.shape) for t in outputs if isinstance(t, torch.Tensor))))
        return result


def wanted(module, *args, **kwargs):
    with Names() as names:
        module(*args, **kwargs)
    return names.seen


def got(inside):
    return [(op.name, tuple(shape for _, shape in op.outputs)) for op in inside.ops]


def train(model, optimizer, inputs):
    torch.manual_seed(1)
    for x in inputs:
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()], [b.clone() for b in model.buffers()], torch.get_rng_state()


def looked(model, inputs, *asked, tmp_path):
    """The model trained unwatched and watched with requests: both to the bit the same -> (run, session)."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    twin = copy.deepcopy(model)
    plain = train(twin, torch.optim.SGD(twin.parameters(), lr=0.05), inputs)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for one in asked:
            session.look_inside(*one)
        watched = train(model, optimizer, inputs)
    for a, b in zip(plain[:2], watched[:2], strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert torch.equal(plain[2], watched[2])
    nothing_left(model)
    return session.run


def nothing_left(model):
    assert not _get_current_dispatch_mode_stack()
    assert not any("_compiled_call_impl" in module.__dict__ for module in model.modules())


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.inner = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 6))

    def forward(self, x):
        return x + self.inner(self.norm(x))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.again = self.block

    def forward(self, x):
        return F.relu(self.again(self.block(x).sum(0, keepdim=True)))


def test_the_ops_of_one_call_in_order_with_shapes(tmp_path):
    torch.manual_seed(0)
    model, x = Twice(), torch.randn(5, 6)
    first, second = wanted(model.block, x), wanted(model.block, x[:1])
    run = looked(model, [x] * 3, ("block",), ("again", 1), tmp_path=tmp_path)
    assert run.looked_inside == [("block", 0), ("block", 1)]
    assert got(run.inside("block")) == first
    assert got(run.inside("block", 1)) == second
    assert (run.inside("block").record.step, run.inside("block", 1).record.step) == (0, 1)
    addmm = next(op for op in run.inside("block").ops if op.name == "aten.addmm.default")
    assert addmm.inputs == (("float32", (8,)), ("float32", (5, 6)), ("float32", (6, 8)))
    assert all(op.seconds > 0 for op in run.inside("block").ops)
    counts = {row.name: row.times for row in run.inside("block").counts()}
    assert counts == {name: sum(one[0] == name for one in first) for name, _ in first}


def test_each_op_of_the_graph_knows_its_aten_ops(tmp_path):
    model, x = Twice(), torch.randn(5, 6)
    run = looked(model, [x], ("",), tmp_path=tmp_path)
    graph, inside = run.graph_at(0), run.inside("")
    names = {}
    for node in graph.nodes:
        names.setdefault(node.op, {op.name for op in inside.of_node(node)})
    assert "aten.native_layer_norm.default" in names["layer_norm"]
    assert {"aten.addmm.default", "aten.t.default"} <= names["linear"]
    assert "aten.bernoulli_.float" in names["dropout"]
    assert "aten.gelu.default" in names["gelu"]
    assert names["add"] == {"aten.add.Tensor"}
    assert "aten.relu.default" in names["relu"]
    assert [op.node for op in inside.ops] == sorted(op.node for op in inside.ops), "in the order of the forward"


def test_an_op_may_be_named_instead_of_its_module(tmp_path):
    model, x = Twice(), torch.randn(5, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        model(x).sum().backward()
        optimizer.step()
        node = next(n for n in session.graph.nodes if n.op == "layer_norm" and n.call == 1)
        session.look_inside(node.id)
        with pytest.raises(UnknownAddress, match="numbered from 0"):
            session.look_inside(1000)
        model(x).sum().backward()
        optimizer.step()
    inside = session.run.inside("block.norm", 1)
    assert [op.name for op in inside.of_node(node)] == ["aten.native_layer_norm.default"]


@pytest.mark.parametrize("name", ["Cnn", "Residual", "encoder", "frozen encoder", "lstm", "attention"])
def test_to_the_last_bit_and_with_the_ops_that_run_unwatched(name, tmp_path):
    torch.manual_seed(0)
    model, x = {
        "Cnn": lambda: (models.Cnn(), torch.randn(4, 1, 8, 8)),
        "Residual": lambda: (models.Residual(), None),
        "encoder": lambda: (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(2, 3, 8)),
        "frozen encoder": lambda: (Frozen(), torch.randn(2, 3, 8)),
        "lstm": lambda: (First(nn.LSTM(6, 5, batch_first=True)), torch.randn(2, 3, 6)),
        "attention": lambda: (Attention(), torch.randn(2, 3, 8)),
    }[name]()
    if x is None:
        x = torch.randn(2, model.conv1.in_channels if hasattr(model, "conv1") else 4, 8, 8)
    twin = copy.deepcopy(model)
    torch.manual_seed(1)
    want = wanted(twin, x)
    run = looked(model, [x] * 2, ("",), tmp_path=tmp_path)
    assert got(run.inside("")) == want


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x):
        q, k, v = self.project(x).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Frozen(nn.Module):
    """Its encoder may take torch's fused inference path."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().requires_grad_(False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        self.encoder.eval()
        return self.head(self.encoder(x))


class First(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[0]


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.error = error

    def forward(self, x):
        x = self.linear(x).relu()
        if self.error is not None:
            raise self.error
        return x


@pytest.mark.parametrize("error", [ValueError("the user's"), KeyboardInterrupt(), SystemExit(3)])
def test_the_mode_is_off_on_every_way_out(error, tmp_path):
    model, x = nn.Sequential(Raises(error), nn.Linear(6, 2)), torch.randn(5, 6)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        session.look_inside("0")
        with pytest.raises(type(error)) as raised:
            model(x)
        assert raised.value is error
        assert not _get_current_dispatch_mode_stack()
        with torch.device("cpu"):
            assert torch.ones(2).sum() == 2
        model[0].error = None
        model(x).sum().backward()
    nothing_left(model)
    if isinstance(error, Exception):
        inside = session.run.inside("0")
        assert inside.record.error == "ValueError: the user's"
        assert [op.name for op in inside.ops][-2:] == ["aten.relu.default", "aten.detach.default"]
        assert "It raised: ValueError" in summary_text(session.run)


def test_an_op_that_raises_is_the_last_one(tmp_path):
    class Wrong(nn.Module):
        def forward(self, x):
            return (x * 2).reshape(7)

    model = nn.Sequential(nn.Linear(6, 6), Wrong())
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        session.look_inside("1")
        with pytest.raises(RuntimeError, match="shape"):
            model(torch.randn(5, 6))
    assert [op.name for op in session.run.inside("1").ops][0] == "aten.mul.Tensor"
    assert "shape" in session.run.inside("1").record.error


def test_a_mode_of_the_users_own_sees_what_it_sees_anyway(tmp_path):
    model, x = Twice(), torch.randn(5, 6)
    with FlopCounterMode(display=False) as plain:
        copy.deepcopy(model)(x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        session.look_inside("block")
        with FlopCounterMode(display=False) as counted:
            model(x)
    assert counted.get_total_flops() == plain.get_total_flops()
    assert "aten.addmm.default" in [op.name for op in session.run.inside("block").ops]


def test_a_call_that_does_not_come_is_said(tmp_path):
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.here, self.there = nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            return self.here(x)

    run = looked(Chooses(), [torch.randn(5, 6)] * 3, ("there",), ("here", 4), tmp_path=tmp_path)
    told = [note.text for note in run.notes if "look_inside" in note.text]
    assert len(told) == 2
    assert "'there', call=0): this module did not run" in told[0] and "step 0" in told[0]
    assert "ran 1 times" in told[1]
    with pytest.raises(UnknownAddress, match="nobody looked into that call"):
        run.inside("there")


def test_other_threads_are_not_recorded(tmp_path):
    class Threads(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            thread = threading.Thread(target=lambda: torch.ones(3).cos())
            thread.start()
            thread.join()
            return self.linear(x)

    run = looked(Threads(), [torch.randn(5, 6)], ("",), tmp_path=tmp_path)
    assert "aten.cos.default" not in [op.name for op in run.inside("").ops]


def test_checkpointing_does_not_record_the_second_run(tmp_path):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.block, x, use_reentrant=False)

    torch.manual_seed(0)
    run = looked(Checkpointed(), [torch.randn(5, 6)] * 2, ("block",), tmp_path=tmp_path)
    names = [op.name for op in run.inside("block").ops]
    assert names.count("aten.native_layer_norm.default") == 1 and names.count("aten.addmm.default") == 2


def test_many_ops_are_counted_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "MOST_OPS", 3)
    run = looked(Twice(), [torch.randn(5, 6)], ("block",), tmp_path=tmp_path)
    inside = run.inside("block")
    assert len(inside.ops) == 3
    assert inside.record.left_out == len(wanted(Block(), torch.randn(5, 6))) - 3
    assert f"{inside.record.left_out} more were not recorded" in summary_text(run)


def test_what_was_recorded_is_in_the_file(tmp_path):
    model = Twice()
    want = wanted(model.block, torch.randn(5, 6))
    looked(model, [torch.randn(5, 6)], ("block",), tmp_path=tmp_path)
    run = graphscope.load(tmp_path / "run")
    assert got(run.inside("block")) == want
    text = summary_text(run)
    assert f"Inside block at step 0: {len(want)} aten ops" in text
    assert "aten.addmm.default" in text
    with pytest.raises(UnknownAddress, match='Did you mean "block"'):
        run.inside("blok")


def compiled_part(model):
    model.block.inner.forward = torch.compile(model.block.inner.forward, backend="eager")


def scripted_part(model):
    model.block.inner = torch.jit.script(nn.Sequential(nn.Linear(6, 6)))


@pytest.mark.parametrize(("change", "word"), [(compiled_part, "torch.compile"), (scripted_part, "scripted or traced")])
@pytest.mark.parametrize("fqn", ["", "block", "block.inner"])
def test_compiled_and_scripted_parts_are_refused_with_words(change, word, fqn, tmp_path):
    model = Twice()
    change(model)
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        with pytest.raises(CannotLookInside, match=word):
            session.look_inside(fqn)
        session.look_inside("block.norm")
    nothing_left_of_ours = [m for m in model.modules() if "_compiled_call_impl" in m.__dict__]
    assert not nothing_left_of_ours


def test_names_that_do_not_exist_and_closed_sessions_are_refused(tmp_path):
    model = Twice()
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        with pytest.raises(UnknownAddress, match=r'It has block, block.norm.*Did you mean "block.inner"'):
            session.look_inside("block.iner")
        with pytest.raises(UnknownAddress, match="wanted the path of a module"):
            session.look_inside(model.block)
        with pytest.raises(UnknownAddress, match="wanted 0"):
            session.look_inside("block", -1)
        for call in range(looking.MOST_ASKED):
            session.look_inside("block", call)
        with pytest.raises(CannotLookInside, match="16 requests wait"):
            session.look_inside("block", 99)
    with pytest.raises(SessionClosed):
        session.look_inside("block")
