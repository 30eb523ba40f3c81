"""Graph <-> columns of GraphRecord: texts interned, lists flattened, so that 100,000 ops stay a few megabytes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphscope.errors import RunFileError
from graphscope.graph.autograd import autograd_columns, autograd_from_columns
from graphscope.graph.nodes import ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value
from graphscope.schema import FAILED, INPLACE, VALUE_KINDS, VIEW

if TYPE_CHECKING:
    from graphscope.graph.graph import Graph


class _Strings:
    """Texts -> numbers; 0 is the empty text."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def __call__(self, text: str | None) -> int:
        return self.numbers.setdefault(text or "", len(self.numbers))


def _flat(lists: Iterable[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Lists -> (row pointers, all items one after the other)."""
    pointers: list[int] = [0]
    items: list[int] = []
    for row in lists:
        items.extend(row)
        pointers.append(len(items))
    return pointers, items


def columns_of(graph: Graph) -> dict[str, Any]:
    """A Graph as the fields of ``schema.GraphRecord``, in plain lists."""
    text = _Strings()
    module_number = {module.fqn: i for i, module in enumerate(graph.modules)}
    parameters = [(module, p) for module in graph.modules for p in module.parameters]
    parameter_number = {p.name: i for i, (_, p) in enumerate(parameters)}
    values: dict[int, Value] = {}
    for value in graph.inputs:
        values.setdefault(value.id, value)
    for node in graph.nodes:
        for value in (*node.inputs, *node.outputs):
            values.setdefault(value.id, value)
    for value in (*(v for call in graph.calls for v in call.outputs), *graph.outputs):
        values.setdefault(value.id, value)
    row = {value_id: i for i, value_id in enumerate(values)}

    def rows(items: Sequence[Value]) -> list[int]:
        return [row[value.id] for value in items]

    call_outputs_ptr, call_outputs = _flat(rows(call.outputs) for call in graph.calls)
    op_inputs_ptr, op_inputs = _flat(rows(node.inputs) for node in graph.nodes)
    op_outputs_ptr, op_outputs = _flat(rows(node.outputs) for node in graph.nodes)
    op_params_ptr, op_params = _flat(
        [parameter_number[p] for p in n.params if p in parameter_number] for n in graph.nodes
    )
    columns: dict[str, Any] = {
        "graph_id": graph.graph_id,
        "partial": graph.partial,
        "traced": graph.traced,
        "module_fqn": [text(m.fqn) for m in graph.modules],
        "module_type": [text(m.type) for m in graph.modules],
        "module_attrs": [text(m.attrs) for m in graph.modules],
        "module_parent": [-1 if m.parent is None else module_number.get(m.parent, -1) for m in graph.modules],
        "param_name": [text(p.name) for _, p in parameters],
        "param_module": [module_number[m.fqn] for m, _ in parameters],
        "param_ndim": [len(p.shape) for _, p in parameters],
        "param_sizes": [size for _, p in parameters for size in p.shape],
        "param_trainable": [int(p.requires_grad) for _, p in parameters],
        "param_tied": [parameter_number.get(p.tied_to or "", -1) for _, p in parameters],
        "call_module": [module_number[c.fqn] for c in graph.calls],
        "call_index": [c.call for c in graph.calls],
        "call_parent": [-1 if c.parent is None else c.parent for c in graph.calls],
        "call_opaque": [text(c.opaque) for c in graph.calls],
        "call_outputs_ptr": call_outputs_ptr,
        "call_outputs": call_outputs,
        "value_kind": [VALUE_KINDS.index(v.kind) for v in values.values()],
        "value_name": [text(v.name) for v in values.values()],
        "value_dtype": [text(v.dtype) for v in values.values()],
        "value_device": [text(v.device) for v in values.values()],
        "value_requires_grad": [int(v.requires_grad) for v in values.values()],
        "value_ndim": [len(v.shape) for v in values.values()],
        "value_sizes": [size for v in values.values() for size in v.shape],
        "op_name": [text(n.op) for n in graph.nodes],
        "op_call": [n.scope for n in graph.nodes],
        "op_file": [text(n.source[0] if n.source else "") for n in graph.nodes],
        "op_line": [n.source[1] if n.source else 0 for n in graph.nodes],
        "op_grad_fn": [text(n.grad_fn) for n in graph.nodes],
        "op_flags": [INPLACE * n.inplace | FAILED * n.failed | VIEW * n.view for n in graph.nodes],
        "op_opaque": [text(n.opaque) for n in graph.nodes],
        "op_attrs": [text(_attrs_text(n.attrs)) for n in graph.nodes],
        "op_inputs_ptr": op_inputs_ptr,
        "op_inputs": op_inputs,
        "op_outputs_ptr": op_outputs_ptr,
        "op_outputs": op_outputs,
        "op_params_ptr": op_params_ptr,
        "op_params": op_params,
        "inputs": rows(graph.inputs),
        "outputs": rows(graph.outputs),
    }
    if graph.autograd is not None:
        columns.update(autograd_columns(graph.autograd, text))
    columns["strings"] = list(text.numbers)
    return columns


def _attrs_text(attrs: Mapping[str, Any]) -> str:
    return json.dumps(attrs, ensure_ascii=False, default=str, allow_nan=True) if attrs else ""


def parts_from_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns -> the arguments of ``Graph``. Raises RunFileError where they do not fit together."""
    try:
        return _parts(
            {name: column.tolist() if hasattr(column, "tolist") else column for name, column in columns.items()}
        )
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunFileError(
            f"Graph.from_dict: the columns do not fit together ({type(error).__name__}: {error}). "
            "Wanted: the columns of graphscope.schema.GraphRecord, as Graph.to_dict() makes them."
        ) from None


def _check_parents(name: str, parents: Sequence[int]) -> None:
    for i, parent in enumerate(parents):
        if parent >= i:
            raise ValueError(f"{name}[{i}] is {parent}; wanted an earlier row or -1")


def _attrs(text: str) -> dict[str, Any]:
    attrs = json.loads(text or "{}")
    if not isinstance(attrs, dict):
        raise TypeError(f"op_attrs holds a {type(attrs).__name__}; wanted an object")
    return attrs


def _parts(c: Mapping[str, Any]) -> dict[str, Any]:
    strings = c["strings"]

    def text(number: int) -> str:
        if not 0 <= number < len(strings):
            raise IndexError(f"text {number} of {len(strings)}")
        return str(strings[number])

    def shapes(ndims: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, ...]]:
        at, out = 0, []
        for ndim in ndims:
            out.append(tuple(sizes[at : at + ndim]))
            at += ndim
        if at != len(sizes):
            raise ValueError(f"{len(sizes)} sizes for {at} dimensions")
        return out

    def rows(name: str, count: int) -> list[list[int]]:
        pointers, items = c[f"{name}_ptr"], c[name]
        if len(pointers) != count + 1 or pointers[0] != 0 or pointers[-1] != len(items) or pointers != sorted(pointers):
            raise ValueError(f"{name}_ptr does not partition {name}")
        return [items[a:b] for a, b in itertools.pairwise(pointers)]

    values = [
        Value(i, VALUE_KINDS[kind], text(name), shape, text(dtype), text(device), bool(grad))
        for i, (kind, name, shape, dtype, device, grad) in enumerate(
            zip(
                c["value_kind"], c["value_name"], shapes(c["value_ndim"], c["value_sizes"]),
                c["value_dtype"], c["value_device"], c["value_requires_grad"], strict=True,
            )
        )
    ]  # fmt: skip
    # What walks up or down the tree relies on it: parents come before children, so there is no circle.
    _check_parents("module_parent", c["module_parent"])
    _check_parents("call_parent", c["call_parent"])
    _check_parents("param_tied", c["param_tied"])
    fqns = [text(number) for number in c["module_fqn"]]
    names = [text(number) for number in c["param_name"]]
    owned: dict[int, list[ParameterInfo]] = {}
    param_rows = zip(
        c["param_module"], names, shapes(c["param_ndim"], c["param_sizes"]), c["param_trainable"], c["param_tied"],
        strict=True,
    )  # fmt: skip
    for module, name, shape, trainable, tied in param_rows:
        if not 0 <= module < len(fqns):
            raise IndexError(f"module {module} of {len(fqns)}")
        owned.setdefault(module, []).append(
            ParameterInfo(name, shape, bool(trainable), None if tied < 0 else names[tied])
        )
    module_rows = zip(c["module_type"], c["module_attrs"], c["module_parent"], strict=True)
    modules = tuple(
        ModuleInfo(fqns[i], text(kind), text(attrs), None if parent < 0 else fqns[parent], tuple(owned.get(i, ())))
        for i, (kind, attrs, parent) in enumerate(module_rows)
    )
    call_rows = zip(
        c["call_module"], c["call_index"], c["call_parent"], c["call_opaque"],
        rows("call_outputs", len(c["call_module"])), strict=True,
    )  # fmt: skip
    calls = tuple(
        ModuleCall(
            i, fqns[module], index, None if parent < 0 else parent, tuple(values[v] for v in out), text(opaque) or None
        )
        for i, (module, index, parent, opaque, out) in enumerate(call_rows)
    )
    count = len(c["op_name"])
    inputs, outputs, params = rows("op_inputs", count), rows("op_outputs", count), rows("op_params", count)
    nodes = tuple(
        OpNode(
            id=i,
            op=text(c["op_name"][i]),
            scope=c["op_call"][i],
            fqn=calls[c["op_call"][i]].fqn,
            call=calls[c["op_call"][i]].call,
            inputs=tuple(values[v] for v in inputs[i]),
            outputs=tuple(values[v] for v in outputs[i]),
            params=tuple(names[p] for p in params[i]),
            attrs=_attrs(text(c["op_attrs"][i])),
            source=(text(c["op_file"][i]), c["op_line"][i]) if text(c["op_file"][i]) else None,
            grad_fn=text(c["op_grad_fn"][i]) or None,
            opaque=text(c["op_opaque"][i]) or None,
            inplace=bool(c["op_flags"][i] & INPLACE),
            view=bool(c["op_flags"][i] & VIEW),
            failed=bool(c["op_flags"][i] & FAILED),
        )
        for i in range(count)
    )
    return {
        "modules": modules,
        "calls": calls,
        "nodes": nodes,
        "inputs": tuple(values[v] for v in c["inputs"]),
        "outputs": tuple(values[v] for v in c["outputs"]),
        "partial": str(c["partial"]),
        "traced": bool(c["traced"]),
        "autograd": autograd_from_columns(c, text, nodes),
    }
