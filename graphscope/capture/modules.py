"""Module tree -> ModuleInfo rows and the names by which modules, parameters and buffers are found while they run.

Walked with a stack of our own: ``named_modules()`` recurses and gives up at depth 1,000 (notes of torch: one Python
frame a level). A shared module gets its first path, as in ``named_modules()``; its calls are told apart by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphscope.graph import ModuleInfo, ParameterInfo

Walked = tuple[str, nn.Module, "str | None"]
"""(path, module, parent's path)"""


@dataclass(slots=True)
class ModuleTree:
    """Names of everything in a model, by identity, as it stands now."""

    rows: list[tuple[Any, ...]]
    """What ``infos`` is made of."""
    fqn_of: dict[int, str]
    """id(module) -> path."""
    parameters: dict[int, str]
    """id(parameter) -> full name; a tied one has the name of its first place."""
    buffers: dict[int, str]
    signature: int
    """Changes when a module or parameter was added, removed or replaced."""

    @property
    def infos(self) -> tuple[ModuleInfo, ...]:
        """The modules as those of a Graph."""
        return module_infos(self.rows)


def module_infos(rows: Iterable[tuple[Any, ...]]) -> tuple[ModuleInfo, ...]:
    """Rows of a ModuleTree -> ModuleInfos; made when they are asked for, which a trace alone does not."""
    return tuple(
        ModuleInfo(
            fqn, kind, attrs, parent,
            tuple([ParameterInfo(name, tuple(shape), grad, tied) for name, shape, grad, tied in parameters]),
        )
        for fqn, kind, attrs, parent, parameters in rows
    )  # fmt: skip


def walk_modules(root: nn.Module) -> Iterator[Walked]:
    """(path, module, parent's path) of each distinct module, parents first, in registration order."""
    seen: set[int] = set()
    stack: list[tuple[str, nn.Module, str | None]] = [("", root, None)]
    while stack:
        fqn, module, parent = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield fqn, module, parent
        prefix = f"{fqn}." if fqn else ""
        if module._modules:
            children = [(prefix + name, child, fqn) for name, child in module._modules.items() if child is not None]
            stack.extend(reversed(children))


def tree_signature(root: nn.Module) -> int:
    """A number that stays the same as long as the model is made of the same modules and parameters."""
    parts: list[int] = []
    for _, module, _ in walk_modules(root):
        parts += _signature_part(module)
    return hash(tuple(parts))


def _signature_part(module: nn.Module) -> tuple[int, ...]:
    return id(module), *map(id, module._parameters.values()), *map(id, module._buffers.values())


def _extra_repr(module: nn.Module) -> str:
    if type(module).extra_repr is nn.Module.extra_repr:
        return ""
    try:
        return str(module.extra_repr())[:200]
    except Exception as error:  # a user's own extra_repr; its failure must not end the watching
        return f"extra_repr raised {type(error).__name__}"


def read_modules(root: nn.Module, walked: Iterable[Walked] | None = None) -> ModuleTree:
    """A model -> its tree. Lazy parameters have no shape yet and are shown as ``()``."""
    with torch._C.DisableTorchFunctionSubclass():  # a third of the price of asking a Parameter for its shape
        return _read(walk_modules(root) if walked is None else walked)


def _read(walked: Iterable[Walked]) -> ModuleTree:
    rows: list[tuple[Any, ...]] = []
    parts: list[int] = []
    names: dict[int, str] = {}
    buffers: dict[int, str] = {}
    fqns: dict[int, str] = {}
    for fqn, module, parent in walked:
        prefix = f"{fqn}." if fqn else ""
        parts += _signature_part(module)
        parameters = []
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            full = prefix + name
            first = names.setdefault(id(parameter), full)
            shape = () if _is_lazy(parameter) else parameter.shape
            parameters.append((full, shape, parameter.requires_grad, None if first is full else first))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                buffers.setdefault(id(buffer), prefix + name)
        fqns[id(module)] = fqn
        rows.append((fqn, type(module).__name__, _extra_repr(module), parent, parameters))
    return ModuleTree(rows, fqns, names, buffers, hash(tuple(parts)))


_LAZY = (nn.UninitializedParameter, nn.UninitializedBuffer)


def _is_lazy(parameter: Tensor) -> bool:
    return type(parameter) is not nn.Parameter and isinstance(parameter, _LAZY)


def first_lazy(walked: Iterable[Walked]) -> str | None:
    """Full name of the first parameter or buffer that has no shape yet; None if all have one."""
    for fqn, module, _ in walked:
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and isinstance(tensor, _LAZY):
                    return f"{fqn}.{name}" if fqn else name
    return None


def trainable_parameters(root: nn.Module) -> dict[str, nn.Parameter]:
    """Full name -> parameter, each once, those with a shape only."""
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for fqn, module, _ in walk_modules(root):
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in seen and not _is_lazy(parameter):
                seen.add(id(parameter))
                found[f"{fqn}.{name}" if fqn else name] = parameter
    return found
