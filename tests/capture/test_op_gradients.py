"""The gradient that flowed through each op, held against torch.autograd.grad of a run that nothing watches."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from graphscope.capture.values import tensors_in
from graphscope.errors import NoSuchStep, UnknownName
from graphscope.run import load
from graphscope.session import watch
from tests.capture import models
from tests.capture.zoo.test_zoo import CASES, loss_of

SEEN_WHOLE = [
    "LeNet", "ResNet", "bottleneck", "U-Net", "DenseNet", "GRU", "RNN", "bidirectional LSTM", "seq2seq with teacher",
    "seq2seq free running", "self attention", "encoder", "decoder", "GPT", "mixture of experts", "if and while",
    "tied weights", "dataclass, namedtuple, dict", "nested containers", "in place", "slice assignment", "views", "out=",
    "indexing", "checkpoint", "custom operators",
]  # fmt: skip
"""Models of which every op is a call of a torch function: what the judge below can follow, too."""


class Edges(TorchFunctionMode):
    """The judge: notes of each torch function where autograd would put the gradient of what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.edges: list[list[torch.autograd.graph.GradientEdge]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if result is None and func.__name__ in ("__setitem__", "set_"):
            result = args[0]
        made = []
        for tensor in tensors_in(result):
            same = any(tensor is argument for argument in tensors_in(args))
            if same and func.__name__ in ("to", "contiguous", "float"):
                continue
            if same and tensor._is_view():
                tensor = tensor._base  # written into: the write is the base's
            if tensor.requires_grad and not tensor.is_leaf:
                made.append(torch.autograd.graph.get_gradient_edge(tensor))
        if made:
            self.edges.append(made)
        return result


def judged(make, inputs):
    """(grad_fn name, gradients of all outputs) of each op, from a plain run."""
    torch.manual_seed(1)
    model = make()
    arguments = inputs()
    with Edges() as judge:
        output = model(*arguments)
    loss = loss_of(output)
    flat = [edge for made in judge.edges for edge in made]
    gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True))
    return [(type(made[0].node).__name__, [next(gradients) for _ in made]) for made in judge.edges]


def watched(make, inputs, tmp_path, **options):
    torch.manual_seed(1)
    model = make()
    arguments = inputs()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run", **options) as session:
        loss_of(model(*arguments)).backward()
        optimizer.step()
    return session.run


def assert_same(row, gradient):
    """One row against float64 arithmetic on the judge's tensor."""
    x = gradient.detach().double().flatten().numpy()
    assert row["count"] == x.size
    assert row["zeros"] == (x == 0).sum()
    assert row["nan"] == row["inf"] == 0
    want = {"mean": x.mean(), "std": x.std(), "min": x.min(), "max": x.max(), "absmax": abs(x).max(),
            "l2": np.sqrt((x**2).sum()), "zero_share": (x == 0).mean()}  # fmt: skip
    for name, value in want.items():
        np.testing.assert_allclose(row[name], value, rtol=1e-4, atol=1e-6 * abs(x).max(), err_msg=name)


@pytest.mark.parametrize("name", SEEN_WHOLE)
def test_every_op_of_the_zoo_has_the_gradient_of_autograd(name, tmp_path):
    case = CASES[name]
    want = judged(case.make, case.inputs)
    run = watched(case.make, case.inputs, tmp_path)
    table = run.op_gradients(0)
    graph = run.graph_at(0)
    behind = len(graph.nodes) - graph_behind(graph)
    ops = [node for node in graph.nodes[:behind] if node.grad_fn is not None]
    assert [node.grad_fn for node in ops] == [grad_fn for grad_fn, _ in want]
    for node, (_, gradients) in zip(ops, want, strict=True):
        rows = table[table["node"] == node.id]
        assert len(rows) == sum(g is not None for g in gradients), node
        for row, gradient in zip(rows, (g for g in gradients if g is not None), strict=True):
            assert_same(row, gradient)


def graph_behind(graph):
    """How many of the last ops are of the loss: they have the user's line of the backward."""
    line = graph.nodes[-1].source
    return sum(node.source == line for node in graph.nodes)


def test_each_op_of_an_inplace_chain_has_its_own(tmp_path):
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

        def forward(self, x):
            y = self.w * x
            y.add_(1).mul_(2).relu_()
            return y

    # y = w x, a = y + 1, m = 2 a, r = relu(m), loss = mean(r^2): by hand
    m = 2 * (torch.tensor([1.0, -2.0, 3.0]) + 1)
    of_r = 2 * m.relu() / 3
    of_m = of_r * (m > 0)
    want = [2 * of_m, 2 * of_m, of_m, of_r]
    run = watched(Chain, lambda: (torch.ones(3),), tmp_path)
    assert [node.op for node in run.graph.nodes[:4]] == ["mul", "add", "mul", "relu"]
    got = [run.op_gradient_series(node, "l2")[1].item() for node in run.graph.nodes[:4]]
    np.testing.assert_allclose(got, [gradient.norm().item() for gradient in want], rtol=1e-6)


def test_an_output_that_no_loss_reads_has_no_row(tmp_path):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            left, _ = self.linear(x).chunk(2, dim=-1)
            self.linear.weight.exp()  # leads nowhere
            return left

    run = watched(Half, lambda: (torch.randn(2, 4),), tmp_path)
    table = run.op_gradients()
    ops = [node.op for node in run.graph.nodes]
    assert ops[:3] == ["linear", "chunk", "exp"]
    assert [(ops[row["node"]], row["output"]) for row in table] == [("linear", 0), ("chunk", 0)]
    assert np.isnan(run.op_gradient_series(2, "l2")[1]).all()
    assert np.isnan(run.op_gradient_series(1, "l2", output=1)[1]).all()


def test_unless_named_the_gradients_of_ops_are_measured_where_that_is_bounded_or_asked_for(tmp_path):
    def measured(name, ask=(), **options):
        model, steps = models.Mlp(), []
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with watch(model, optimizer, run_dir=tmp_path / name, **options) as session:
            for step in range(4):
                if step in ask:
                    session.capture_next()
                optimizer.zero_grad()
                model(torch.randn(5, 6)).square().sum().backward()
                optimizer.step()
        for step in session.run.captured_steps:
            try:
                session.run.op_gradients(step)
                steps.append(step)
            except NoSuchStep:
                pass
        return session.run.captured_steps, steps

    assert measured("auto") == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert measured("each", every=1) == ([0, 1, 2, 3], [0])
    assert measured("asked", every=1, ask=[2]) == ([0, 1, 2, 3], [0, 2])
    assert measured("named", every=1, roles=["gradient", "op_gradient"]) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_what_was_not_asked_for_is_not_measured(tmp_path):
    x = lambda: (torch.randn(5, 6),)  # noqa: E731
    run = watched(models.Mlp, x, tmp_path / "none", roles=["activation", "gradient"])
    with pytest.raises(NoSuchStep, match="recorded no gradient of an op"):
        run.op_gradients()
    run = watched(models.Mlp, x, tmp_path / "head", include="head*")
    assert [run.graph.nodes[row["node"]].fqn for row in run.op_gradients()] == ["head"]
    run = watched(models.Mlp, x, tmp_path / "all")
    with pytest.raises(NoSuchStep, match=r"run\.op_gradients\(7\): gradients of ops were recorded at 0"):
        run.op_gradients(7)
    with pytest.raises(UnknownName, match="Did you mean"):
        run.op_gradient_series(0, "meen")
    with pytest.raises(UnknownName, match="no op has that number: the graph has the ops 0 to"):
        run.op_gradient_series(77, "l2")
    assert load(tmp_path / "all" / "run").op_gradients(0).tolist() == run.op_gradients(0).tolist()


def test_nothing_of_the_backward_is_kept(tmp_path):
    model = models.Mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def tensors():
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    with watch(model, optimizer, every=1, roles=("activation", "op_gradient"), run_dir=tmp_path / "run") as session:
        counts = []
        for _ in range(6):
            optimizer.zero_grad()
            out = model(torch.randn(5, 6))
            marker = out.grad_fn.metadata["marker"] = Marker()
            node = weakref.ref(marker)
            del marker
            out.square().sum().backward()
            optimizer.step()
            del out
            assert node() is None, "the graph of the step is gone with the user's last tensor"
            counts.append(tensors())
    assert len(set(counts[1:])) == 1
    assert all(len(session.run.op_gradients(step)) for step in range(6))


def test_a_graph_that_the_user_keeps_is_not_reported_twice(tmp_path):
    model = models.Mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        out = model(torch.randn(5, 6))
        loss = out.square().sum()
        loss.backward(retain_graph=True)
        optimizer.zero_grad()
        optimizer.step()  # changes nothing, so that a second backward may go through
        before = session.run.op_gradients(0).tolist()
        (loss * 100).backward()  # after its step: the prehooks are dead
    assert session.run.op_gradients().tolist() == before


class Marker:
    """Lives as long as the backward node in whose metadata it is."""


class Bomb(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        raise KeyError("no gradient here")


class Misshapen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient[0]


class Overwritten(nn.Module):
    def forward(self, x):
        y = x.exp()
        z = y * 2
        with torch.no_grad():
            y.add_(1)
        return z


FAILING = {
    "a Function that raises": (Bomb.apply, KeyError, "no gradient here", "BombBackward"),
    "a gradient of another shape": (Misshapen.apply, RuntimeError, "returned an invalid gradient", "MisshapenBackward"),
    "a value that was overwritten": (Overwritten(), RuntimeError, "modified by an inplace operation", "ExpBackward0"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_a_backward_that_raises_marks_its_op_and_keeps_what_was_seen(name, tmp_path):
    middle, kind, text, grad_fn = FAILING[name]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.last(F.relu(middle(self.first(x))))

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    plain = None
    try:
        model(torch.ones(2, 3)).sum().backward()
    except Exception as error:
        plain = error
    optimizer.zero_grad()
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        with pytest.raises(kind, match=text) as caught:
            model(torch.ones(2, 3)).sum().backward()
        assert type(caught.value) is type(plain)
        assert caught.value.__context__ is None and caught.value.__cause__ is None
        run = session.run
        (failed,) = run.passes  # there at once, not when the session ends
        graph = run.graphs[failed.graph_id]
        node = graph.nodes[failed.backward_node]
        assert node.grad_fn == grad_fn
        assert failed.backward_error.startswith(f"{grad_fn} raised: the backward of {node.op}")
        table = run.op_gradients()
        seen = {graph.nodes[i].op for i in table["node"]}
        assert {"linear", "relu", node.op} <= seen
        assert table["node"].min() == failed.backward_node, "nothing behind it got a gradient"
        # The user goes on as if nothing had been.
        torch.manual_seed(0)
        middle_was, model.forward = model.forward, lambda x: model.last(model.first(x))
        optimizer.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        del model.forward
        assert middle_was is not None
    assert session.run.passes[-1].backward_error is None
    assert session.run.passes[-1].backward_node is None


def test_a_failing_backward_without_op_gradients_names_the_last_module(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    bad = nn.Sequential(model[0], Wrapped(), model[1])
    with watch(bad, every=1, roles=["gradient"], run_dir=tmp_path / "run") as session, pytest.raises(KeyError):
        bad(torch.ones(2, 3)).sum().backward()
    (failed,) = session.run.passes
    assert failed.backward_node is None
    assert failed.backward_error == "something in it raised; the last gradient seen was that of 1"


class Wrapped(nn.Module):
    def forward(self, x):
        return Bomb.apply(x)
