"""Module tree -> ModuleInfo rows and the names by which modules, parameters and buffers are found while they run.

Walked with a stack of our own: ``named_modules()`` recurses and gives up at depth 1,000 (notes of torch: one Python
frame a level). A shared module gets its first path, as in ``named_modules()``; its calls are told apart by number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from graphscope.graph import ModuleInfo, ParameterInfo


@dataclass(slots=True)
class ModuleTree:
    """Names of everything in a model, by identity, as it stands now."""

    infos: tuple[ModuleInfo, ...]
    fqn_of: dict[int, str]
    """id(module) -> path."""
    parameters: dict[int, str]
    """id(parameter) -> full name; a tied one has the name of its first place."""
    buffers: dict[int, str]
    signature: int
    """Changes when a module or parameter was added, removed or replaced."""


def walk_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module, str | None]]:
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
    try:
        return str(module.extra_repr())[:200]
    except Exception as error:  # a user's own extra_repr; its failure must not end the watching
        return f"extra_repr raised {type(error).__name__}"


def read_modules(root: nn.Module) -> ModuleTree:
    """A model -> its tree. Lazy parameters have no shape yet and are shown as ``()``."""
    infos: list[ModuleInfo] = []
    tree = ModuleTree((), {}, {}, {}, 0)
    parts: list[int] = []
    for fqn, module, parent in walk_modules(root):
        prefix = f"{fqn}." if fqn else ""
        parts += _signature_part(module)
        parameters = []
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            first = tree.parameters.setdefault(id(parameter), prefix + name)
            tied_to = first if first != prefix + name else None
            shape = () if _is_lazy(parameter) else tuple(parameter.shape)
            parameters.append(ParameterInfo(prefix + name, shape, parameter.requires_grad, tied_to))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                tree.buffers.setdefault(id(buffer), prefix + name)
        tree.fqn_of[id(module)] = fqn
        infos.append(ModuleInfo(fqn, type(module).__name__, _extra_repr(module), parent, tuple(parameters)))
    tree.infos = tuple(infos)
    tree.signature = hash(tuple(parts))
    return tree


def _is_lazy(parameter: Tensor) -> bool:
    return isinstance(parameter, nn.UninitializedParameter | nn.UninitializedBuffer)


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
