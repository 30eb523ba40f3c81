"""A small CNN's run by hand: plain Python numbers -> records, and the values expected when they are read.

Only +, *, / , sqrt and math.fsum of the standard library's random numbers: the same bytes on every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from graphscope.graph import Graph, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value
from graphscope.schema import (
    ESTIMATE,
    NOT_MEASURED,
    ROLES,
    AddressTable,
    AtenOps,
    BatchNormStats,
    DropoutStats,
    Finding,
    Note,
    OpGradients,
    PassRecord,
    RunEnd,
    RunHeader,
    RunRecord,
    ScalarRecord,
    StepRecord,
    StepStats,
)

STEPS = range(6)
CAPTURED = (0, 1, 2, 4, 5)
WITHOUT_GRADIENT = 1
"""At this step no gradient of an activation was seen: gaps in those series."""
BATCH, CHANNELS, PIXELS, CLASSES = 4, 8, 64, 10
SHAPES = {
    "conv1": (4, 8, 8, 8), "bn1": (4, 8, 8, 8), "drop": (4, 128), "fc": (4, 10), "": (4, 10),
    "conv1.weight": (8, 1, 3, 3), "conv1.bias": (8,), "bn1.weight": (8,), "bn1.bias": (8,),
    "fc.weight": (10, 128), "fc.bias": (10,),
}  # fmt: skip
MODULES = ("", "conv1", "bn1", "drop", "fc")
PARAMETERS = tuple(name for name in SHAPES if name not in MODULES)
ADDRESSES = (*MODULES, *PARAMETERS)

HEADER = RunHeader(
    run_id="5ca1ab1e5ca1ab1e", name="SmallCnn-1", model="SmallCnn", created="2026-01-02T03:04:05+00:00",
    graphscope="0.1.0", torch="2.13.0", python="3.11.9", device="cpu", every="auto", budget=0.01,
)  # fmt: skip


def graph() -> Graph:
    """conv2d, batch_norm, relu, max_pool2d, flatten, dropout, linear and the loss."""
    numbers = iter(range(100))

    def value(shape: tuple[int, ...], kind: str = "op", name: str = "", grad: bool = True) -> Value:
        dtype = "int64" if name == "target" else "float32"
        return Value(next(numbers), kind, name, shape, dtype, "cpu", grad)

    x, target = value((4, 1, 8, 8), "input", "x", False), value((4,), "constant", "target", False)
    weights = {name: value(SHAPES[name], "parameter", name) for name in PARAMETERS}
    stages = [
        ("conv2d", 1, "conv1", (4, 8, 8, 8), {"stride": [1, 1], "padding": [1, 1]}, "ConvolutionBackward0"),
        ("batch_norm", 2, "bn1", (4, 8, 8, 8), {"training": True, "momentum": 0.1}, "NativeBatchNormBackward0"),
        ("relu", 0, "", (4, 8, 8, 8), {}, "ReluBackward0"),
        ("max_pool2d", 0, "", (4, 8, 4, 4), {"kernel_size": 2}, "MaxPool2DWithIndicesBackward0"),
        ("flatten", 0, "", (4, 128), {"start_dim": 1}, "ViewBackward0"),
        ("dropout", 3, "drop", (4, 128), {"p": 0.5, "training": True}, "MulBackward0"),
        ("linear", 4, "fc", (4, 10), {}, "AddmmBackward0"),
        ("cross_entropy", 0, "", (), {}, "NllLossBackward0"),
    ]
    nodes, made, last = [], {}, x
    for i, (op, scope, fqn, shape, attrs, grad_fn) in enumerate(stages):
        params = tuple(name for name in PARAMETERS if name.rpartition(".")[0] == fqn) if fqn else ()
        out = value(shape)
        inputs = (last, *(weights[name] for name in params)) if op != "cross_entropy" else (last, target)
        source = ("small_cnn.py", 20 + i) if op != "dropout" else None
        nodes.append(
            OpNode(
                i, op, scope, fqn, 0, inputs, (out,), params, attrs, source, grad_fn, inplace=op == "relu",
                view=op == "flatten",
            )
        )  # fmt: skip
        made[fqn or op], last = out, out
    types = {"": "SmallCnn", "conv1": "Conv2d", "bn1": "BatchNorm2d", "drop": "Dropout", "fc": "Linear"}
    attrs = {
        "": "", "conv1": "1, 8, kernel_size=(3, 3), padding=(1, 1)", "bn1": "8, eps=1e-05, momentum=0.1",
        "drop": "p=0.5", "fc": "in_features=128, out_features=10",
    }  # fmt: skip
    modules = tuple(
        ModuleInfo(
            fqn, types[fqn], attrs[fqn], None if not fqn else "",
            tuple(ParameterInfo(n, SHAPES[n], True) for n in PARAMETERS if n.rpartition(".")[0] == fqn and fqn),
        )
        for fqn in MODULES
    )  # fmt: skip
    calls = (
        ModuleCall(0, "", 0, None, (made["fc"],)),
        *(ModuleCall(i, fqn, 0, 0, (made[fqn],)) for i, fqn in enumerate(MODULES[1:], 1)),
    )
    return Graph(modules, calls, tuple(nodes), (x,), (made["fc"],))


def values(role: str, name: str, step: int) -> list[float]:
    """The elements of one tensor at one step."""
    chance = random.Random(f"{role} {name} {step}")
    scale = {
        "activation": 1.0,
        "gradient": 2.0**-9,
        "parameter": 0.25,
        "parameter_gradient": 2.0**-6,
        "update": 2.0**-11,
    }
    count = math.prod(SHAPES[name])
    drawn = [(2.0 * chance.random() - 1.0) * scale[role] for _ in range(count)]
    if role == "activation" and name == "conv1":  # channels differ, so that BatchNorm has something to do
        return [v * (1 + i // PIXELS % CHANNELS) + 0.5 * (i // PIXELS % CHANNELS) for i, v in enumerate(drawn)]
    if role == "activation" and name == "drop":
        return [0.0 if chance.random() < 0.5 else 2.0 * v for v in drawn]
    if role == "activation" and name in ("fc", ""):
        drawn = values("activation", "bn1", step)[: BATCH * CLASSES]
        return [math.nan if step == 5 and i == 7 else v for i, v in enumerate(drawn)]
    return drawn


def statistics(x: Sequence[float]) -> dict[str, float]:
    """The columns of StepStats for one tensor."""
    finite = [v for v in x if math.isfinite(v)]
    mean = math.fsum(finite) / len(finite)
    return {
        "count": len(x), "mean": mean, "std": math.sqrt(math.fsum((v - mean) ** 2 for v in finite) / len(finite)),
        "min": min(finite), "max": max(finite), "absmax": max(map(abs, finite)),
        "l2": math.sqrt(math.fsum(v * v for v in finite)), "zeros": sum(v == 0 for v in x),
        "nan": sum(math.isnan(v) for v in x), "pos_inf": sum(v == math.inf for v in x),
        "neg_inf": sum(v == -math.inf for v in x),
    }  # fmt: skip


def histogram(x: Sequence[float]) -> list[int]:
    """[128] counts in the bins that schema.HISTOGRAM_BINS describes."""
    bins = [0] * 128
    for v in x:
        if v and math.isfinite(v):
            exponent = min(max(math.frexp(abs(v))[1] - 1, -40), 23)
            bins[64 + exponent + 40 if v > 0 else 63 - (exponent + 40)] += 1
    return bins


def rows_at(step: int) -> list[tuple[str, str]]:
    """(role, name) of what was measured at a step."""
    rows = [("activation", name) for name in MODULES]
    if step != WITHOUT_GRADIENT:
        rows += [("gradient", name) for name in MODULES]
    return rows + [(role, name) for role in ("parameter", "parameter_gradient", "update") for name in PARAMETERS]


def step_stats(step: int) -> StepStats:
    """Statistics of all tensors; conv1.bias' update could not be measured, fc.weight's is an estimate."""
    rows = rows_at(step)
    columns = [statistics(values(role, name, step)) for role, name in rows]
    with_histogram = [i for i, (role, name) in enumerate(rows) if role == "activation" or name == "conv1.weight"]
    unmeasured = rows.index(("update", "conv1.bias"))
    moments = ("mean", "std", "min", "max", "absmax", "l2")
    for name in columns[unmeasured]:
        if name != "count":
            columns[unmeasured][name] = math.nan if name in moments else 0
    flags = [NOT_MEASURED if i == unmeasured else ESTIMATE * (r == ("update", "fc.weight")) for i, r in enumerate(rows)]
    return StepStats(
        step=step, pass_index=0,
        address=[ADDRESSES.index(name) for _, name in rows], role=[ROLES.index(role) for role, _ in rows],
        flags=flags, dtype=[0] * len(rows), dtypes=["float32"],
        ndim=[len(SHAPES[name]) for _, name in rows], sizes=[size for _, name in rows for size in SHAPES[name]],
        histogram_row=with_histogram, histogram=[histogram(values(*rows[i], step)) for i in with_histogram],
        unmeasured={str(unmeasured): "the optimizer replaced the tensor"},
        **{name: [column[name] for column in columns] for name in columns[0]},
    )  # fmt: skip


LARGE_COUNTS = {0: 65_535, 1: 65_536, 63: 1, 64: 2**31 + 5, 127: 2**32 - 1}
"""Bin -> count."""


def large_counts() -> tuple[RunRecord, ...]:
    """One tensor with numbers beyond 16 bits, beyond float32 and of every kind that is not finite."""
    histogram = [LARGE_COUNTS.get(i, 0) for i in range(128)]
    stats = StepStats(
        step=7, pass_index=1, address=[1, 0], role=[1, 0], flags=[ESTIMATE, 0], dtype=[0, 1], ndim=[3, 0],
        sizes=[70_000, 60_000, 1], count=[2**32 - 1, 1], mean=[1 / 3, -0.0], std=[1e-300, 0.0], min=[-0.1, -0.0],
        max=[0.3, 1e300], absmax=[0.5, 1e300], l2=[2 / 3, math.inf], zeros=[2**32 - 1, 0], nan=[1, 0],
        pos_inf=[2**31, 0], neg_inf=[3, 0], histogram_row=[1], histogram=[histogram],
        dtypes=["float32", "float64"],
    )  # fmt: skip
    return AddressTable(start=0, fqn=["a", "b"], call=[0, 0], output=[0, 0]), stats


def channel(step: int, c: int) -> list[float]:
    return [v for i, v in enumerate(values("activation", "conv1", step)) if i // PIXELS % CHANNELS == c]


def batchnorm(step: int) -> BatchNormStats:
    """bn1: the batch's statistics, and the running ones after momentum 0.1 over the captured steps."""
    running_mean, running_var = [0.0] * CHANNELS, [1.0] * CHANNELS
    mean, var = running_mean, running_var
    n = BATCH * PIXELS
    for s in CAPTURED[: CAPTURED.index(step) + 1]:
        mean = [math.fsum(channel(s, c)) / n for c in range(CHANNELS)]
        var = [math.fsum((v - mean[c]) ** 2 for v in channel(s, c)) / n for c in range(CHANNELS)]
        running_mean = [0.9 * old + 0.1 * new for old, new in zip(running_mean, mean, strict=True)]
        running_var = [0.9 * old + 0.1 * new * n / (n - 1) for old, new in zip(running_var, var, strict=True)]
    return BatchNormStats(
        step=step, fqn="bn1", call=0, training=True, momentum=0.1, eps=1e-5, count=n,
        batches_tracked=CAPTURED.index(step) + 1, batch_mean=mean, batch_var=var, running_mean=running_mean,
        running_var=running_var, weight=values("parameter", "bn1.weight", step), bias=None,
    )  # fmt: skip


def dropout(step: int) -> DropoutStats:
    """drop: every input was non-zero, so what is zero behind it was dropped."""
    out = values("activation", "drop", step)
    return DropoutStats(
        step=step, fqn="drop", call=0, p=0.5, dropped=sum(v == 0 for v in out) / len(out), nonzero=len(out),
        count=len(out), training=True, drops="values", units=len(out),
    )  # fmt: skip


def op_gradients(step: int) -> list[OpGradients]:
    """Of the linear layer fc alone: what reached its op is the gradient of its module's output."""
    if step == WITHOUT_GRADIENT:
        return []
    columns = {name: [number] for name, number in statistics(values("gradient", "fc", step)).items()}
    node = next(node.id for node in graph().nodes if node.fqn == "fc")
    gradients = OpGradients(
        step=step, pass_index=0, graph_id=graph().graph_id, node=[node], output=[0], flags=[0], **columns
    )  # fmt: skip
    return [gradients]


def aten_ops() -> AtenOps:
    """The linear layer fc at step 0: a transposed weight, then bias + x @ weight. Seconds are powers of two."""
    node = next(node.id for node in graph().nodes if node.fqn == "fc")
    return AtenOps(
        step=0, pass_index=0, fqn="fc", call=0, graph_id=graph().graph_id,
        names=("aten.t.default", "aten.addmm.default"), name=[0, 1], node=[node, node], seconds=[2.0**-18, 2.0**-14],
        inputs=[1, 3], outputs=[1, 1], dtype=[0] * 6, ndim=[2, 2, 1, 2, 2, 2],
        sizes=[10, 128, 128, 10, 10, 4, 128, 128, 10, 4, 10], dtypes=("float32",),
    )  # fmt: skip


def step_record(step: int) -> StepRecord:
    loss = 2.25 - 0.25 * step if step < 5 else math.nan
    return StepRecord(
        step=step, captured=step in CAPTURED, passes=1, seconds=0.5 + 0.125 * step,
        step_seconds=None if step == 0 else 0.125, self_seconds=2.0**-10, scalars={"loss": loss, "lr": 0.125},
        stale_gradients=False, epoch=step // 3,
    )  # fmt: skip


def findings() -> list[Finding]:
    """Two of a kind, of which the later one holds, and a warning."""
    common = {
        "rule": "nonfinite", "severity": "error", "title": "NaN in an activation",
        "advice": "Lower the learning rate.", "why": "Nothing can be learned from NaN.", "fqn": "fc", "limit": 0.0,
    }  # fmt: skip
    return [
        Finding(**common, message="fc: 1 NaN of 40 values at step 5", step=5, last_step=5, value=1.0, node=6),
        Finding(
            rule="evaluated-in-train-mode", severity="warning", title="Evaluated in train mode",
            message="3 passes without gradients ran with bn1 and drop in train mode", advice="Call model.eval() first.",
            why="BatchNorm and Dropout behave differently.", fqn="bn1", fix="+ model.eval()",
        ),
        Finding(**common, message="fc: 1 NaN of 40 values at step 5", step=5, last_step=5, value=1.0, node=6, count=2),
    ]  # fmt: skip


def records() -> Iterator[RunRecord]:
    """The whole run in the order in which a session writes it."""
    recorded = graph().to_record()
    yield HEADER
    for step in STEPS:
        captured = step in CAPTURED
        if step == 0:
            yield recorded
            yield AddressTable(start=0, fqn=ADDRESSES[:7], call=[0] * 7, output=[0] * 7)
            yield AddressTable(start=7, fqn=ADDRESSES[7:], call=[0] * 4, output=[0] * 4)
        yield PassRecord(
            step=step, pass_index=0, graph_id=recorded.graph_id if captured else None, training=True,
            grad_enabled=True, input_shapes=[(4, 1, 8, 8)],
        )  # fmt: skip
        if captured:
            if step == 0:
                yield aten_ops()
            yield from (*op_gradients(step), batchnorm(step), dropout(step), step_stats(step))
        else:
            yield Note(severity="info", text="Step 3 was not captured: watching stays below 1 % of step time.", step=3)
        yield step_record(step)
    yield PassRecord(
        step=6, pass_index=0, graph_id=None, training=True, grad_enabled=False, repeats=3,
        train_mode_layers=("bn1", "drop"), input_shapes=[(4, 1, 8, 8)],
    )  # fmt: skip
    yield ScalarRecord(step=5, scalars={"test_accuracy": 0.8125}, epoch=1)
    yield from findings()


def whole_run() -> list[RunRecord]:
    """All records with the RunEnd."""
    return list(_whole_run())


@cache
def _whole_run() -> tuple[RunRecord, ...]:
    made = tuple(records())
    return (*made, RunEnd(steps=len(STEPS), records=len(made), reason="closed"))


def expected() -> dict[str, Any]:
    """What a reader in any language must find, worked out from the numbers above and not from the file."""

    def series(name: str, stat: str, role: str) -> list[float | None]:
        out: list[float | None] = []
        for step in CAPTURED:
            measured = (role, name) in rows_at(step) and (role, name) != ("update", "conv1.bias")
            s = statistics(values(role, name, step)) if measured else {}
            s |= {"inf": s["pos_inf"] + s["neg_inf"], "zero_share": s["zeros"] / s["count"]} if s else {}
            out.append(s.get(stat))
        return out

    asked = [
        ("conv1", "mean", "activation"), ("conv1", "std", "gradient"), ("fc", "nan", "activation"),
        ("drop", "zero_share", "activation"), ("", "l2", "activation"), ("fc.weight", "absmax", "parameter"),
        ("conv1.bias", "l2", "update"), ("fc.bias", "inf", "parameter_gradient"),
    ]  # fmt: skip
    topology = graph()
    bn, drop = batchnorm(4), dropout(4)
    return {
        "header": {"name": HEADER.name, "model": HEADER.model, "run_id": HEADER.run_id, "torch": HEADER.torch},
        "finished": True,
        "damaged": 0,
        "records": len(whole_run()),
        "steps": list(STEPS),
        "captured_steps": list(CAPTURED),
        "scalars": {
            "loss": {"steps": list(STEPS), "values": [2.25, 2.0, 1.75, 1.5, 1.25, None]},
            "lr": {"steps": list(STEPS), "values": [0.125] * 6},
            "test_accuracy": {"steps": [5], "values": [0.8125]},
        },
        "addresses": {"activation": list(MODULES), "gradient": list(MODULES), "update": list(PARAMETERS)},
        "series": [
            {"fqn": name, "stat": stat, "role": role, "steps": list(CAPTURED), "values": series(name, stat, role)}
            for name, stat, role in asked
        ],
        "summary": {
            "fqn": "fc", "role": "activation", "step": 5, "shape": [4, 10], "dtype": "float32", "zero_share": 0.0,
            **statistics(values("activation", "fc", 5)), "histogram": histogram(values("activation", "fc", 5)),
        },
        "unmeasured": {
            "fqn": "conv1.bias", "role": "update", "step": 2, "text": "the optimizer replaced the tensor",
        },
        "estimate": {"fqn": "fc.weight", "role": "update", "step": 2},
        "batchnorm": {
            "fqn": "bn1", "step": 4, "batch_mean": bn.batch_mean, "batch_var": bn.batch_var,
            "running_mean": bn.running_mean, "running_var": bn.running_var, "bias": None, "count": 256,
            "batches_tracked": 4,
        },
        "dropout": {"fqn": "drop", "step": 4, "p": 0.5, "dropped": drop.dropped, "training": True},
        "graph": {
            "graph_id": topology.graph_id,
            "modules": [{"fqn": m.fqn, "type": m.type, "parameters": len(m.parameters)} for m in topology.modules],
            "parameter_count": sum(math.prod(SHAPES[name]) for name in PARAMETERS),
            "ops": [node.op for node in topology.nodes],
            "edges": [[edge.source, edge.target] for edge in topology.edges],
            "op_shapes": [list(node.outputs[0].shape) for node in topology.nodes],
            "op_fqns": [node.fqn for node in topology.nodes],
            "inplace": [2],
            "views": [4],
            "source_of_conv": ["small_cnn.py", 20],
        },
        "findings": [
            {"rule": "nonfinite", "severity": "error", "fqn": "fc", "count": 2},
            {"rule": "evaluated-in-train-mode", "severity": "warning", "fqn": "bn1", "count": 1},
        ],
        "notes": ["Step 3 was not captured: watching stays below 1 % of step time."],
        "passes": 7,
        "train_mode_layers": ["bn1", "drop"],
    }  # fmt: skip
