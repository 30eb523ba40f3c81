"""A module -> the few words beside its name in a picture: ``3×3 /2, 16→32`` for a convolution."""

from __future__ import annotations

import re
from collections.abc import Callable

from graphscope.graph import ModuleInfo

_ARGUMENT = re.compile(r"(?:(\w+)=)?(\([^()]*\)|[^,()=]+)(?:,|$)")


def _arguments(attrs: str) -> dict[str, str]:
    """``extra_repr`` text -> its arguments, those without a name under "0", "1", ..."""
    found: dict[str, str] = {}
    for match in _ARGUMENT.finditer(attrs[:400]):
        found[match[1] or str(len(found))] = match[2].strip()
    return found


def _sizes(text: str) -> str:
    """``(3, 3)`` -> ``3×3``; ``2`` -> ``2``."""
    return "×".join(part.strip() for part in text.strip("()").split(",") if part.strip())


def _window(a: dict[str, str], dims: int) -> str:
    kernel = _sizes(a.get("kernel_size", ""))
    kernel = "×".join([kernel] * dims) if kernel.isdigit() else kernel
    stride = a.get("stride", "1").strip("()").split(",")[0].strip()
    return kernel + (f" /{stride}" if stride not in ("1", "") else "")


def _dims(module: ModuleInfo) -> int:
    return int(module.type[-2]) if re.search(r"[123]d$", module.type) else 1


def _conv(module: ModuleInfo) -> str:
    a = _arguments(module.attrs)
    window = f"{_window(a, _dims(module))}, " if "kernel_size" in a else ""
    return f"{window}{a['0']}→{a['1']}"


def _linear(module: ModuleInfo) -> str:
    a = _arguments(module.attrs)
    return f"{a['in_features']}→{a['out_features']}"


def _named(prefix: str, key: str = "0") -> Callable[[ModuleInfo], str]:
    def words(module: ModuleInfo) -> str:
        return f"{prefix} {_sizes(_arguments(module.attrs)[key])}".strip()

    return words


def _pool(module: ModuleInfo) -> str:
    return _window(_arguments(module.attrs), _dims(module))


def _to(module: ModuleInfo) -> str:
    a = _arguments(module.attrs)
    return f"{a['0']}→{a['1']}"


DETAILS: dict[str, Callable[[ModuleInfo], str]] = {
    "Conv1d": _conv,
    "Conv2d": _conv,
    "Conv3d": _conv,
    "ConvTranspose1d": _conv,
    "ConvTranspose2d": _conv,
    "ConvTranspose3d": _conv,
    "Linear": _linear,
    "NonDynamicallyQuantizableLinear": _linear,
    "BatchNorm1d": _named("BN"),
    "BatchNorm2d": _named("BN"),
    "BatchNorm3d": _named("BN"),
    "LayerNorm": _named("LN"),
    "RMSNorm": _named("RMS"),
    "GroupNorm": _named("GN"),
    "InstanceNorm2d": _named("IN"),
    "Dropout": _named("p", "p"),
    "Dropout1d": _named("p", "p"),
    "Dropout2d": _named("p", "p"),
    "Dropout3d": _named("p", "p"),
    "AlphaDropout": _named("p", "p"),
    "MaxPool1d": _pool,
    "MaxPool2d": _pool,
    "MaxPool3d": _pool,
    "AvgPool1d": _pool,
    "AvgPool2d": _pool,
    "AvgPool3d": _pool,
    "AdaptiveAvgPool1d": _named("to", "output_size"),
    "AdaptiveAvgPool2d": _named("to", "output_size"),
    "AdaptiveMaxPool2d": _named("to", "output_size"),
    "Embedding": _to,
    "RNN": _to,
    "LSTM": _to,
    "GRU": _to,
}

CLOSED = frozenset(DETAILS) | {"MultiheadAttention", "LSTMCell", "GRUCell", "RNNCell", "CrossEntropyLoss"}
"""Modules that everyone knows by name: never opened, even where they run several ops."""


def module_detail(module: ModuleInfo) -> str:
    """Short words for a module of one op; its class name where there are none, nothing where the name says it."""
    words = DETAILS.get(module.type)
    if words is not None:
        try:
            return words(module)
        except KeyError:
            pass  # A class of the user with a known name and another extra_repr: its class name is what we know.
    return "" if module.type.lower() == module.name.lower() else module.type
