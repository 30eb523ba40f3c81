"""A Graph written by hand: ops and calls in the order in which they run, as a capture would record them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphscope.graph import Graph, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value


class GraphMaker:
    """``with make.call("fc1", "Linear"): x = make.op("linear", x)`` and so on; ``make.graph(out)`` at the end."""

    def __init__(self, root: str = "Net") -> None:
        self.modules: dict[str, ModuleInfo] = {"": ModuleInfo("", root, "", None)}
        self.calls: list[ModuleCall] = [ModuleCall(0, "", 0, None)]
        self.nodes: list[OpNode] = []
        self.inputs: list[Value] = []
        self.stack = [0]
        self.values = 0

    def value(self, *shape: int, kind: str = "op", name: str = "", grad: bool = True, dtype: str = "float32") -> Value:
        self.values += 1
        return Value(self.values - 1, kind, name, shape, dtype, "cpu", grad)

    def input(self, *shape: int, name: str = "x", dtype: str = "float32") -> Value:
        self.inputs.append(self.value(*shape, kind="input", name=name, grad=False, dtype=dtype))
        return self.inputs[-1]

    @contextmanager
    def call(
        self, fqn: str, kind: str, attrs: str = "", parameters: dict[str, tuple[int, ...]] | None = None
    ) -> Iterator[int]:
        """One call of the module at ``fqn`` (made on its first call), around what runs inside."""
        if fqn not in self.modules:
            own = tuple(ParameterInfo(f"{fqn}.{name}", shape, True) for name, shape in (parameters or {}).items())
            above = fqn.rpartition(".")[0]
            self.modules[fqn] = ModuleInfo(fqn, kind, attrs, above if above in self.modules else "", own)
        number = len(self.calls)
        nth = sum(call.fqn == fqn for call in self.calls)
        self.calls.append(ModuleCall(number, fqn, nth, self.stack[-1]))
        self.stack.append(number)
        yield number
        self.stack.pop()

    def op(self, name: str, *inputs: Value, shape: tuple[int, ...] | None = None, line: int = 1, **facts: Any) -> Value:
        """One op; its output has the shape of its first input unless said otherwise."""
        out = self.value(*(shape if shape is not None else inputs[0].shape))
        call = self.calls[self.stack[-1]]
        made = OpNode(
            len(self.nodes), name, call.id, call.fqn, call.call, inputs, (out,), **{"source": ("net.py", line), **facts}
        )
        self.nodes.append(made)
        return out

    def layer(
        self,
        fqn: str,
        kind: str,
        op: str,
        x: Value,
        shape: tuple[int, ...] | None = None,
        attrs: str = "",
        **facts: Any,
    ) -> Value:
        """A module of one op; ``params`` are its parameters, of eight elements each."""
        own = {name.rpartition(".")[2]: (8,) for name in facts.get("params", ())}
        with self.call(fqn, kind, attrs, own):
            return self.op(op, x, shape=shape, **facts)

    def graph(self, *outputs: Value, partial: str = "") -> Graph:
        modules = sorted(self.modules.values(), key=lambda m: m.fqn.count(".") if m.fqn else -1)
        return Graph(tuple(modules), tuple(self.calls), tuple(self.nodes), tuple(self.inputs), outputs, partial)


def residual_block(skip_conv: bool = False) -> Graph:
    """x -> (conv, bn, relu, conv, bn) and x (or conv(x)) -> add -> relu."""
    make = GraphMaker("BasicBlock")
    x = make.input(128, 16, 32, 32)
    y = make.layer("conv1", "Conv2d", "conv2d", x, attrs="16, 16, kernel_size=(3, 3), stride=(1, 1)")
    y = make.layer("bn1", "BatchNorm2d", "batch_norm", y, attrs="16, eps=1e-05")
    y = make.layer("relu", "ReLU", "relu", y)
    y = make.layer("conv2", "Conv2d", "conv2d", y, attrs="16, 16, kernel_size=(3, 3), stride=(1, 1)")
    y = make.layer("bn2", "BatchNorm2d", "batch_norm", y, attrs="16, eps=1e-05")
    s = make.layer("skip", "Conv2d", "conv2d", x, attrs="16, 16, kernel_size=(1, 1), stride=(1, 1)") if skip_conv else x
    y = make.op("add", y, s)
    y = make.layer("relu", "ReLU", "relu", y)
    return make.graph(y)


def chain(length: int) -> Graph:
    """x -> fc0 -> relu0 -> fc1 -> ..."""
    make = GraphMaker()
    x = make.input(8, 16)
    for i in range(length):
        x = make.op("relu", make.layer(f"fc{i}", "Linear", "linear", x, attrs="in_features=16, out_features=16"))
    return make.graph(x)


def transformer(blocks: int) -> Graph:
    """Pre-norm blocks: x + attn(ln(x)), x + mlp(ln(x)); attention of three linears."""
    make = GraphMaker("Gpt")
    x = make.layer(
        "tok", "Embedding", "embedding", make.input(4, 16, name="idx", dtype="int64"), (4, 16, 64), "100, 64"
    )
    make.modules["blocks"] = ModuleInfo("blocks", "ModuleList", "", "")
    for i in range(blocks):
        with make.call(f"blocks.{i}", "Block"):
            y = make.layer(f"blocks.{i}.ln1", "LayerNorm", "layer_norm", x, attrs="(64,)")
            with make.call(f"blocks.{i}.attn", "Attention"):
                q, k, v = (make.layer(f"blocks.{i}.attn.{n}", "Linear", "linear", y) for n in "qkv")
                a = make.op("softmax", make.op("matmul", q, k, shape=(4, 4, 16, 16)), attrs={"dim": -1})
                y = make.layer(f"blocks.{i}.attn.proj", "Linear", "linear", make.op("matmul", a, v, shape=(4, 16, 64)))
            x = make.op("add", x, y)
            y = make.layer(f"blocks.{i}.ln2", "LayerNorm", "layer_norm", x, attrs="(64,)")
            with make.call(f"blocks.{i}.mlp", "Mlp"):
                y = make.layer(f"blocks.{i}.mlp.fc1", "Linear", "linear", y, (4, 16, 256))
                y = make.layer(f"blocks.{i}.mlp.fc2", "Linear", "linear", make.op("gelu", y), (4, 16, 64))
            x = make.op("add", x, y)
    return make.graph(make.layer("head", "Linear", "linear", x, (4, 16, 100)))
