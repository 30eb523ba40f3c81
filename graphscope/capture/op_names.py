"""A torch callable and its arguments -> the public op name and its named arguments that are no tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload, OpOverloadPacket

from graphscope.capture.values import tensors_in

RENAMED = {
    "__get__": "get", "__getitem__": "getitem", "__setitem__": "setitem", "__rsub__": "sub", "__rpow__": "pow",
    "__rdiv__": "div", "__rtruediv__": "div", "true_divide": "div", "divide": "div", "multiply": "mul",
    "subtract": "sub", "negative": "neg", "__rmatmul__": "matmul", "__rfloordiv__": "floor_divide",
    "__floordiv__": "floor_divide", "__rmod__": "remainder", "feature_dropout": "dropout2d", "concat": "cat",
    "concatenate": "cat", "clip": "clamp", "__radd__": "add", "__rmul__": "mul", "__invert__": "bitwise_not",
    "_softmax": "softmax", "_log_softmax": "log_softmax",
}  # fmt: skip
"""Names that torch gives to the same public op."""

TORCH_LIBRARIES = frozenset({"aten", "prim", "prims"})

ATTRIBUTE_VIEWS = {
    "T": "t",
    "mT": "transpose",
    "H": "adjoint",
    "mH": "adjoint",
    "data": "detach",
    "real": "real",
    "imag": "imag",
}
"""Tensor attributes whose reading makes a new tensor; reading any other attribute is no op."""

OPAQUE = {
    "lstm": "one fused recurrent kernel: gates and time steps run inside",
    "gru": "one fused recurrent kernel: gates and time steps run inside",
    "rnn_tanh": "one fused recurrent kernel: time steps run inside",
    "rnn_relu": "one fused recurrent kernel: time steps run inside",
    **dict.fromkeys(
        ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), "one fused cell: its gates run inside"
    ),
    "scaled_dot_product_attention": "one fused kernel: the attention weights are never made visible",
    "multi_head_attention_forward": "one torch function: projections and attention run inside",
    "_transformer_encoder_layer_fwd": "fused inference path: the whole layer runs inside",
    "grad": "autograd ran a backward: its steps are no ops of the forward",
}
"""Ops that hide steps which a person would expect to see, and why."""

ALIASING = frozenset({"detach", "set", "view_as", "expand_as"})
"""Ops whose result shares the memory of an input without being a view in autograd's sense."""
FRESH = frozenset({
    "abs", "adaptive_avg_pool2d", "add", "addmm", "avg_pool2d", "batch_norm", "bmm", "cat", "clamp", "conv1d", "conv2d",
    "conv3d", "cos", "div", "eq", "erf", "exp", "gelu", "ge", "group_norm", "gt", "layer_norm", "le", "leaky_relu",
    "linear", "log", "log_softmax", "lt", "masked_fill", "matmul", "max_pool2d", "mean", "mm", "mul", "ne", "neg",
    "pow", "prod", "reciprocal", "relu", "rsqrt", "scaled_dot_product_attention", "sigmoid", "silu", "sin", "softmax",
    "sqrt", "stack", "sub", "sum", "tanh", "where",
})  # fmt: skip
"""Ops that never make a view: what they return need not be asked."""
NO_TENSOR = frozenset({bool, int, float, complex, str, torch.Size, torch.dtype, torch.device, torch.layout})
"""Types of results that hold no tensor: nothing was made."""
NOT_RECORDED = frozenset({"tolist", "size", "stride", "requires_grad", "retain_grad", "share_memory", "backward"})
"""Torch functions that compute nothing, or nothing of the forward, though they return a tensor, a list or nothing."""

# Builtins have no signature to read names from: names of their arguments behind the first tensors.
_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_RECURRENT = (
    "input", "hx", "params", "has_biases", "num_layers", "dropout", "training", "bidirectional", "batch_first",
)  # fmt: skip
_BUILTIN_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "conv1d": _CONV, "conv2d": _CONV, "conv3d": _CONV,
    "conv_transpose2d": (*_CONV[:5], "output_padding", "groups", "dilation"),
    "flatten": ("input", "start_dim", "end_dim"), "view": ("input", "size"), "reshape": ("input", "size"),
    "transpose": ("input", "dim0", "dim1"), "permute": ("input", "dims"), "softmax": ("input", "dim"),
    "log_softmax": ("input", "dim"), "cat": ("tensors", "dim"), "stack": ("tensors", "dim"), "sum": ("input", "dim"),
    "mean": ("input", "dim"), "max": ("input", "dim"), "min": ("input", "dim"), "argmax": ("input", "dim"),
    "squeeze": ("input", "dim"), "unsqueeze": ("input", "dim"), "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size", "dim"), "add": ("input", "other"), "sub": ("input", "other"),
    "mul": ("input", "other"), "div": ("input", "other"), "pow": ("input", "exponent"),
    "gelu": ("input", "approximate"),
    "getitem": ("input", "index"), "setitem": ("input", "index", "value"), "clamp": ("input", "min", "max"),
    "masked_fill": ("input", "mask", "value"), "dropout": ("input", "p", "training"),
    "pad": ("input", "pad", "mode", "value"),
    "leaky_relu": ("input", "negative_slope", "inplace"), "adaptive_avg_pool2d": ("input", "output_size"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"), "unflatten": ("input", "dim", "sizes"),
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal"),
    "lstm": _RECURRENT, "gru": _RECURRENT, "rnn_tanh": _RECURRENT, "rnn_relu": _RECURRENT,
    **{
        f"{kind}max_pool{n}d": ("input", "kernel_size" if not kind else "output_size", "stride", "padding", "dilation")
        for kind in ("", "adaptive_") for n in (1, 2, 3)
    },
    "zeros": ("size",), "ones": ("size",), "empty": ("size",), "randn": ("size",), "arange": ("start", "end", "step"),
    "to": ("input", "target"), "expand": ("input", "size"), "repeat": ("input", "size"), "einsum": ("equation",),
}  # fmt: skip


@lru_cache(maxsize=4_096)
def _plain_name(name: str) -> tuple[str, bool]:
    """Callable's name -> (public op name, whether its spelling says in-place)."""
    if name in RENAMED:
        return RENAMED[name], name == "__setitem__"
    if name.startswith("__") and name.endswith("__"):
        core = name[2:-2]
        inplace = core in {"iadd", "isub", "imul", "itruediv", "idiv", "ipow", "imod", "iand", "ior", "ixor"}
        core = {"truediv": "div", "idiv": "div", "itruediv": "div"}.get(core, core[1:] if inplace else core)
        return RENAMED.get(core, core), inplace
    inplace = name.endswith("_") and not name.endswith("__") and len(name) > 1
    core = name[:-1] if inplace else name
    return RENAMED.get(core, core), inplace


class Named(NamedTuple):
    """What a torch callable is, whatever it is called with."""

    op: str
    """Public name; a custom operator has its library's too: ``zoo.scale``."""
    inplace: bool
    """Whether its spelling says that it writes into its first argument."""
    opaque: str | None
    """Why its inside cannot be seen."""
    arguments: tuple[str, ...]
    """Names of its arguments, as far as they are known."""
    aliases: bool
    """Whether it is one of ALIASING."""
    fresh: bool
    """Whether it is one of FRESH."""


@lru_cache(maxsize=4_096)
def named(func: Callable[..., Any]) -> Named | None:
    """A torch callable -> what it is; None for what makes no tensor, as reading a shape."""
    spelled = _spelled(func)
    if spelled is None:
        return None
    op, inplace = spelled
    custom = isinstance(func, OpOverload | OpOverloadPacket) and "." in op
    opaque = "a custom operator: its kernel is not made of torch functions" if custom else OPAQUE.get(op)
    arguments = _BUILTIN_ARGUMENTS.get(op) or (_signature(func) if inspect.isfunction(func) else None) or ()
    return Named(op, inplace, opaque, arguments, op in ALIASING, op in FRESH)


def _spelled(func: Callable[..., Any]) -> tuple[str, bool] | None:
    if isinstance(func, OpOverload | OpOverloadPacket):
        library, _, name = str(func).partition(".")
        plain = _plain_name(name.partition(".")[0])
        return plain if library in TORCH_LIBRARIES else (f"{library}.{plain[0]}", plain[1])
    name = getattr(func, "__name__", "")
    if name == "__get__":
        attribute = getattr(getattr(func, "__self__", None), "__name__", "")
        view = ATTRIBUTE_VIEWS.get(attribute)
        return None if view is None else (view, False)
    if name in {"__set__", "__delete__", ""}:
        return None
    plain = _plain_name(name)
    return None if plain[0] in NOT_RECORDED else plain


def written_arguments(
    func: Callable[..., Any], inplace: bool, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Tensor]:
    """Tensors that a function which returns nothing wrote into: those its schema says, else its first argument."""
    if isinstance(func, OpOverloadPacket):
        func = getattr(func, func.overloads()[0])
    if isinstance(func, OpOverload):
        given = dict(zip([argument.name for argument in func._schema.arguments], args, strict=False)) | dict(kwargs)
        written = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        return [tensor for name in written for tensor in tensors_in(given.get(name))]
    return tensors_in(args[0]) if inplace and args else []


def _signature(func: Callable[..., Any]) -> tuple[str, ...] | None:
    try:
        parameters = inspect.signature(func).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):  # boolean_dispatch: fn(*args, **kwargs)
        return None
    return tuple(parameters)


_JSON = frozenset({bool, int, float, str})


def _plain(value: Any) -> Any:
    """An argument as JSON-able data, or None if it is a tensor or holds one."""
    if isinstance(value, (int, float, str)):  # a union of types would be made anew at every call
        return value
    if isinstance(value, torch.Size | tuple | list):
        if len(value) > 16:
            return f"{len(value)} items"
        items = [_plain(item) for item in value]
        return items if all(item is not None for item in items) else None
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return ":".join("" if p is None else str(p) for p in parts[: 2 if value.step is None else 3])
    if isinstance(value, torch.dtype | torch.device | torch.memory_format | torch.layout):
        return str(value).removeprefix("torch.")
    return "..." if value is Ellipsis else None


def op_attrs(names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of one call that are no tensors, by name; by position (``arg2``) where no name is known."""
    attrs: dict[str, Any] = {}
    for i, value in enumerate(args):
        if value is None or isinstance(value, Tensor):
            continue
        plain = value if type(value) in _JSON else _plain(value)
        if plain is not None:
            attrs[names[i] if i < len(names) else f"arg{i}"] = plain
    for name, value in kwargs.items():
        if value is not None and not name.startswith("_") and name != "out":
            plain = _plain(value)
            if plain is not None:
                attrs[name] = plain
    if len(args) > 2 and names == ("input", "size"):  # x.view(a, b) and x.view((a, b)) are one call
        attrs = {"size": [_plain(a) for a in args[1:]]}
    return attrs
