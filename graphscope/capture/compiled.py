"""Which parts of a model are compiled: there a captured forward steps aside.

A function mode that Dynamo can see makes it recompile, or fall back to eager without a word; a global module hook makes
it warn; a wrapped submodule is traced into the compiled code. So while a compiled part runs, nothing of ours is on.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from inspect import getattr_static
from typing import Any

from torch import nn

from graphscope.capture.modules import walk_modules

MARK = "_torchdynamo_orig_callable"
"""Attribute that ``torch.compile`` leaves on every callable it made."""

CALLED_BY = frozenset({"forward", "_compiled_call_impl"})
FUNCTIONS = frozenset({types.FunctionType, types.MethodType})
COMPILED_GLOBAL = (
    "A forward of this model calls a global function made by torch.compile: ops and activations are not observed, "
    "since looking would change what is compiled. Loss, parameters, gradients and updates are recorded. "
    "Make the function an attribute of its module, or compile a module, to see everything around it."
)


ROOT_COMPILED = (
    "This {0} was called through torch.compile, so its calls go past what is watched: there is no graph, no activation "
    "and no loss. Watch the compiled module instead: compiled = torch.compile(model); graphscope.watch(compiled, ...). "
    "Parameters, their gradients and updates are recorded."
)


def is_called_compiled(root: nn.Module, ours: Any) -> bool:
    """Whether a root whose calls nobody sees was compiled: in place after ``ours`` was set, or inside a wrapper.

    Searches all objects of the process: once, to say why nothing is seen.
    """
    call = root.__dict__.get("_compiled_call_impl")
    if call != ours and call is not None and not is_ours(call):
        return True
    found = [thing for thing in gc.get_objects() if type(thing).__name__ == "OptimizedModule"]
    return any(
        module is root
        for wrapper in found
        if isinstance(wrapper, nn.Module) and "_modules" in wrapper.__dict__
        for _, module, _ in walk_modules(wrapper)
    )


def is_ours(call: Any) -> bool:
    """Whether a ``_compiled_call_impl`` is a wrapper of GraphScope: another watch of the same module, or a tap."""
    owner = getattr(call, "__self__", None)
    return type(owner).__module__.startswith("graphscope.")


def is_compiled(module: nn.Module) -> bool:
    """Whether calling this module runs compiled code: wrapped by torch.compile, compiled in place, or its forward."""
    attributes = module.__dict__
    call = attributes.get("_compiled_call_impl")
    if call is not None and not is_ours(call):
        return True
    return type(module).__name__ == "OptimizedModule" or (
        "forward" in attributes and hasattr(attributes["forward"], MARK)
    )


def compiled_functions(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attributes of a module that hold a function made by torch.compile, those apart by which it is itself called."""
    attributes = module.__dict__
    if FUNCTIONS.isdisjoint(map(type, attributes.values())):  # nearly always, and four times as fast
        return iter(())
    return (
        (name, thing)
        for name, thing in attributes.items()
        if type(thing) in FUNCTIONS and name not in CALLED_BY and hasattr(thing, MARK)
    )


def calls_compiled_globals(root: nn.Module) -> bool:
    """Whether a forward names a global function that torch.compile made: that call cannot be stepped around."""
    for _, module, _ in walk_modules(root):
        forward = getattr_static(type(module), "forward", None)  # a scripted module's runs code when it is looked up
        if isinstance(forward, types.FunctionType) and any(
            hasattr(forward.__globals__.get(name), MARK) for name in forward.__code__.co_names
        ):
            return True
    return False
