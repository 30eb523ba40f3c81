"""The user's namespace -> the models, sessions and runs in it, without running any code of theirs.

A listing must survive whatever lives in a notebook: lazy modules, proxies that pretend to be something else, a broken
``__repr__`` or ``parameters()``. So only ``type(x)`` is asked, and parameters are counted in the modules' own tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from graphscope.session import Session


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A module the user has a name for."""

    name: str
    model: nn.Module


def is_module(value: object) -> bool:
    """Whether it is a ``torch.nn.Module``; False as long as torch was not imported, since none can exist then."""
    torch = sys.modules.get("torch")
    module = getattr(getattr(torch, "nn", None), "Module", None)
    return module is not None and issubclass(type(value), module)


def is_criterion(module: nn.Module) -> bool:
    """Whether it is one of torch's losses, or made from one: what a model is trained by, not a model."""
    return any(base.__module__ == "torch.nn.modules.loss" for base in type(module).__mro__)


def models_in(namespace: Mapping[str, Any]) -> list[NamedModel]:
    """Models by name in the order of the namespace, each object once; without losses and IPython's own history."""
    found: list[NamedModel] = []
    seen: set[int] = set()
    for name, value in _items(namespace):
        if not isinstance(name, str) or name.startswith("_") or id(value) in seen or not is_module(value):
            continue
        if not is_criterion(value):
            seen.add(id(value))
            found.append(NamedModel(name, value))
    return found


def _items(namespace: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A copy of the namespace; the cell that runs beside us may add a name at any moment."""
    for _ in range(10):
        try:
            return list(namespace.items())
        except RuntimeError:
            continue
    return []


def live_sessions() -> list[Session]:
    """Sessions of this kernel, newest first; none as long as nothing imported what makes them."""
    # Without the name while another thread is still importing it: a listing comes at any moment.
    listed = getattr(sys.modules.get("graphscope.session"), "live_sessions", None)
    return [] if listed is None else list(listed())


def session_of(model: object) -> Session | None:
    """The newest session that watches this very object, whether it still runs or not; a live one comes first."""
    watching = [session for session in live_sessions() if session.model is model]
    return next((s for s in watching if s.state in ("live", "paused")), watching[0] if watching else None)


def parameter_count(model: nn.Module) -> int | None:
    """Elements of all parameters, a tied one once; None if a lazy one has no shape yet.

    Read from ``_parameters`` and ``_modules``, not ``parameters()``: that may be overridden, and would then be run.
    """
    import torch
    from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

    total, seen = 0, set()
    with torch._C.DisableTorchFunctionSubclass():
        for module in _tree(model):
            for parameter in vars(module).get("_parameters", {}).values():
                if parameter is None or id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                if isinstance(parameter, UninitializedTensorMixin):
                    return None
                total += torch.Tensor.numel(parameter)
    return total


def _tree(model: nn.Module) -> Iterator[nn.Module]:
    """The module and all below it, each once, without recursion."""
    seen: set[int] = set()
    todo = [model]
    while todo:
        module = todo.pop()
        if id(module) in seen or not is_module(module):
            continue
        seen.add(id(module))
        yield module
        todo += [child for child in vars(module).get("_modules", {}).values() if child is not None]


def mode_of(model: nn.Module) -> bool | None:
    """``training`` of the root; None if it has none (its ``__init__`` did not finish)."""
    training = vars(model).get("training")
    return training if isinstance(training, bool) else None
