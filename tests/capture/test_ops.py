"""The graph of each small model, held against what reading the model says."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphscope.capture.trace import trace
from graphscope.graph import Graph
from tests.capture import models


def ops(graph: Graph) -> list[tuple[str, str]]:
    return [(node.op, node.fqn) for node in graph.nodes]


def arrows(graph: Graph) -> set[tuple[str, str]]:
    """Edges as (op.n, op.m): the n-th op of that name in the graph."""
    seen: dict[str, int] = {}
    label = {}
    for node in graph.nodes:
        seen[node.op] = seen.get(node.op, -1) + 1
        label[node.id] = f"{node.op}.{seen[node.op]}"
    return {(label[e.source], label[e.target]) for e in graph.edges}


def chain(*names: str) -> set[tuple[str, str]]:
    return set(itertools.pairwise(names))


def test_mlp():
    graph = trace(models.Mlp(), torch.randn(5, 6))
    assert ops(graph) == [("linear", "hidden"), ("relu", ""), ("linear", "head")]
    assert arrows(graph) == chain("linear.0", "relu.0", "linear.1")
    first = graph.nodes[0]
    assert first.params == ("hidden.weight", "hidden.bias")
    assert [v.shape for v in first.outputs] == [(5, 8)]
    assert (first.outputs[0].dtype, first.outputs[0].device) == ("float32", "cpu")
    assert first.grad_fn == "AddmmBackward0"
    assert [(v.name, v.shape) for v in graph.inputs] == [("x", (5, 6))]
    assert [v.shape for v in graph.outputs] == [(5, 3)]


def test_source_lines_are_the_users():
    graph = trace(models.Mlp(), torch.randn(5, 6))
    file, line = graph.nodes[1].source
    assert file == models.__file__
    with open(file, encoding="utf-8") as text:
        assert "F.relu(self.hidden(x))" in text.read().splitlines()[line - 1]


def test_cnn():
    graph = trace(models.Cnn(), torch.randn(2, 1, 8, 8))
    names = ["conv2d", "batch_norm", "relu", "dropout2d", "max_pool2d", "flatten", "dropout", "linear"]
    assert [node.op for node in graph.nodes] == names
    assert [node.fqn for node in graph.nodes] == ["conv", "bn", "relu", "drop2d", "pool", "", "drop", "fc"]
    assert arrows(graph) == chain(*(f"{name}.0" for name in names))
    by_op = {node.op: node for node in graph.nodes}
    assert by_op["relu"].inplace
    assert not by_op["conv2d"].inplace
    assert by_op["dropout"].attrs["p"] == 0.5
    assert by_op["dropout"].attrs["training"] is True
    assert by_op["conv2d"].attrs["stride"] == [1, 1]
    assert by_op["flatten"].view


def test_residual_joins_the_input_in_place():
    graph = trace(models.Residual(), torch.randn(2, 4, 5, 5))
    assert [node.op for node in graph.nodes] == ["conv2d", "batch_norm", "relu", "conv2d", "batch_norm", "add", "relu"]
    assert arrows(graph) == chain("conv2d.0", "batch_norm.0", "relu.0", "conv2d.1", "batch_norm.1", "add.0", "relu.1")
    add = graph.nodes[5]
    assert add.inplace
    assert graph.inputs[0] in add.inputs
    assert graph.nodes[6].call == 1, "the second call of the same ReLU"


def test_recurrent_kernel_is_opaque_and_says_why():
    graph = trace(models.Recurrent(), torch.randint(0, 11, (3, 6)))
    lstm = next(node for node in graph.nodes if node.op == "lstm")
    assert "time steps run inside" in lstm.opaque
    assert len(lstm.outputs) == 3
    assert set(lstm.params) == {f"lstm.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    assert {("embedding.0", "lstm.0"), ("lstm.0", "getitem.0"), ("getitem.0", "linear.0")} <= arrows(graph)


def test_attention_splits_and_joins():
    graph = trace(models.Attention(), torch.randn(2, 5, 8))
    chunk = next(node for node in graph.nodes if node.op == "chunk")
    assert len(chunk.outputs) == 3
    assert chunk.view
    assert arrows(graph) == {
        ("layer_norm.0", "linear.0"), ("linear.0", "chunk.0"), ("chunk.0", "matmul.0"), ("chunk.0", "transpose.0"),
        ("transpose.0", "matmul.0"), ("matmul.0", "mul.0"), ("mul.0", "softmax.0"), ("softmax.0", "matmul.1"),
        ("chunk.0", "matmul.1"), ("matmul.1", "linear.1"), ("linear.1", "add.0"),
    }  # fmt: skip
    softmax = next(node for node in graph.nodes if node.op == "softmax")
    assert softmax.attrs["dim"] == -1


def test_a_shared_module_has_one_call_for_each_run():
    graph = trace(models.Shared(), torch.randn(2, 4))
    assert [(node.op, node.fqn, node.call) for node in graph.nodes] == [
        ("linear", "inner", 0), ("relu", "", 0), ("linear", "inner", 1), ("sigmoid", "", 0),
    ]  # fmt: skip
    assert [c.call for c in graph.calls if c.fqn == "inner"] == [0, 1]


class Fn(nn.Module):
    """A forward given as a function."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, *args):
        return self.fn(*args)


def test_writing_into_a_view_reaches_a_later_reader_of_its_base():
    def forward(x):
        y = x * 2
        y[:, 0] = 1.0
        row = y[1]
        row.add_(5)
        return y.sum()

    graph = trace(Fn(forward), torch.randn(3, 4))
    assert arrows(graph) == chain("mul.0", "setitem.0", "getitem.0", "add.0", "sum.0")


def test_a_conversion_that_converts_nothing_is_no_op_and_a_real_one_is():
    graph = trace(Fn(lambda x: x.to(torch.float32).contiguous().half()), torch.randn(3))
    assert [node.op for node in graph.nodes] == ["half"]


def test_operators_have_the_names_of_their_functions():
    graph = trace(Fn(lambda x: (1 - x) / 2 + (x**2).T @ x), torch.randn(3, 3))
    assert [node.op for node in graph.nodes] == ["sub", "div", "pow", "t", "matmul", "add"]


def test_a_scripted_submodule_is_opaque_not_missing():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))

        def forward(self, x):
            return self.inner(x).sum()

    graph = trace(Mixed(), torch.randn(2, 4))
    node = graph.nodes[0]
    assert node.fqn == "inner"
    assert "does not show to Python" in node.opaque
    assert arrows(graph) == {(f"{node.op}.0", "sum.0")}


def test_dict_dataclass_and_keyword_arguments_are_followed():
    class Dicts(nn.Module):
        def forward(self, batch, *, scale):
            return {"out": [batch["a"] * scale, batch["b"].relu()]}

    graph = trace(Dicts(), {"a": torch.randn(2), "b": torch.randn(2)}, scale=torch.tensor(2.0))
    assert [v.name for v in graph.inputs] == ["batch[0]", "batch[1]", "scale"]
    assert [node.op for node in graph.nodes] == ["mul", "relu"]
    assert len(graph.outputs) == 2


def test_a_forward_that_raises_gives_its_graph_up_to_there_and_its_own_type_of_error():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 5)
            self.b = nn.Linear(4, 5)

        def forward(self, x):
            return self.b(self.a(x))

    with pytest.raises(RuntimeError, match=r"forward raised in b \(linear, test_ops\.py") as caught:
        trace(Broken(), torch.randn(2, 4))
    graph = caught.value.graph
    assert [(n.op, n.fqn, n.failed) for n in graph.nodes] == [("linear", "a", False), ("linear", "b", True)]
    assert graph.partial.startswith("RuntimeError")


def test_sizes_are_no_topology_but_another_branch_is():
    def forward(x):
        return (x.view(x.shape[0], -1).relu() if x.sum() > 0 else x.tanh()).sum()

    model = Fn(forward)
    small, large = trace(model, torch.ones(2, 3)), trace(model, torch.ones(9, 5))
    other = trace(model, -torch.ones(2, 3))
    assert small.graph_id == large.graph_id
    assert small.graph_id != other.graph_id
    diff = small.diff(other)
    assert {node.op for node in diff.appeared} == {"tanh"}
    assert {node.op for node in diff.vanished} == {"view", "relu"}


def test_a_chain_of_twenty_thousand_ops_needs_no_recursion():
    def forward(x):
        for _ in range(20_000):
            x = x + 1
        return x

    graph = trace(Fn(forward), torch.zeros(1))
    assert len(graph.nodes) == 20_000
    assert len(graph.edges) == 19_999
    assert Graph.from_record(graph.to_record()).graph_id == graph.graph_id


def test_functional_dropout_and_batch_norm_carry_their_arguments():
    graph = trace(Fn(lambda x: F.dropout(x, 0.3, training=False)), torch.randn(4))
    assert graph.nodes[0].attrs["p"] == 0.3
    assert graph.nodes[0].attrs["training"] is False
