"""Tensors -> values: which tensor, at which moment, an op read or made.

A bare ``id()`` is reused as soon as a tensor dies (98 of 100 temporaries), so each entry holds a weak reference that
is compared with ``is``. An in-place op makes a new value of its tensor, and of every tensor known to share its memory,
so that reading the base after writing into a view leads to the op that wrote.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from graphscope.capture.rows import ValueRow
from graphscope.graph import Value

PLAIN = frozenset({int, float, bool, str, bytes, type(None), torch.Size, torch.dtype, torch.device, slice})
"""Types that hold no tensor."""
MAX_DEPTH = 6
"""How deep tensors are looked for in lists, tuples, dicts and dataclasses."""


def tensors_in(thing: Any, depth: int = MAX_DEPTH) -> list[Tensor]:
    """Tensors in nested lists, tuples, dicts and dataclasses, in order; iterators are not consumed."""
    found: list[Tensor] = []
    _collect(thing, found, depth)
    return found


def _collect(thing: Any, found: list[Tensor], depth: int) -> None:
    if isinstance(thing, Tensor):
        found.append(thing)
    elif depth == 0 or type(thing) in PLAIN:
        return
    elif isinstance(thing, (list, tuple)):  # a union of types would be made anew at every call
        for item in thing:
            if isinstance(item, Tensor):
                found.append(item)
            elif type(item) not in PLAIN:
                _collect(item, found, depth - 1)
    elif isinstance(thing, dict):
        for item in thing.values():
            _collect(item, found, depth - 1)
    elif hasattr(type(thing), "__dataclass_fields__"):
        for name in type(thing).__dataclass_fields__:
            _collect(getattr(thing, name, None), found, depth - 1)


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Sizes, or () where a tensor refuses to tell (nested tensors)."""
    try:
        return tuple(tensor.shape)
    except RuntimeError:
        return ()


def dtype_of(tensor: Tensor) -> str:
    """``float32`` rather than ``torch.float32``."""
    return _dtype_name(tensor.dtype)


@lru_cache(maxsize=128)
def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@lru_cache(maxsize=128)
def device_name(device: torch.device) -> str:
    """``cuda:0``, ``cpu``."""
    return str(device)


def storage_of(tensor: Tensor) -> int | None:
    """What tensors that share memory have in common; None for tensors without plain storage."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError, AttributeError):
        return None


WIDTH = 6


class ValueTable:
    """The values of one pass; a value is a number.

    ``rows`` holds six things a value, one after the other: kind, name, shape, dtype, device, requires_grad, as torch
    has them. One flat list takes an eighth of the time of an object a value and gives the collector nothing to walk.
    """

    __slots__ = ("_aliases", "_made", "buffers", "count", "known", "origin", "parameters", "rows", "shapes")

    def __init__(self, parameters: dict[int, str], buffers: dict[int, str]) -> None:
        self.parameters = parameters
        self.buffers = buffers
        self.rows: list[Any] = []
        self.count = 0
        self.origin: Callable[[Tensor], int | None] = _from_outside
        """Asked about a tensor that is read and was never seen."""
        self.known: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        """id(tensor) -> a reference that says whether it still is that tensor, and its present value."""
        self._aliases: dict[int, set[int]] = {}
        """Storage -> ids of known tensors in it; only for storages in which a view was made."""
        self._made: dict[int, Value] = {}
        self.shapes: dict[Any, Any] = {}
        """Each distinct shape under itself: one object for all tensors that have it."""

    def make(self, tensor: Tensor, kind: str, name: str = "") -> int:
        """A new value for a tensor as it is now."""
        number = self.count
        self.count = number + 1
        shape = shape_of(tensor)
        shape = self.shapes.setdefault(shape, shape)
        self.rows += (kind, name, shape, tensor.dtype, tensor.device, tensor.requires_grad)
        self.known[id(tensor)] = (weakref.ref(tensor), number)
        return number

    def add(self, value: Value) -> None:
        """A value that no tensor of this pass has (of the loss, read from autograd); its id is the next number."""
        self._made[self.count] = value
        self.rows += (value.kind, value.name, value.shape, value.dtype, value.device, value.requires_grad)
        self.count += 1

    def all(self) -> list[Value]:
        """Every value."""
        made = self._made
        return [made[number] if number in made else self.value(number) for number in range(self.count)]

    def value(self, number: int) -> Value:
        """What a value is."""
        value = self._made.get(number)
        if value is None:
            kind, name, shape, dtype, device, requires_grad = self.rows[number * WIDTH : (number + 1) * WIDTH]
            row = ValueRow(number, kind, name, self._sizes(shape), dtype, device, requires_grad)
            value = self._made[number] = row.frozen(_dtype_name(dtype), device_name(device))
        return value

    def _sizes(self, shape: Any) -> tuple[int, ...]:
        known = self.shapes.get(shape)
        if type(known) is not tuple:
            known = self.shapes[shape] = tuple(shape)  # equal to the torch.Size, and found under it
        return cast("tuple[int, ...]", known)

    def get(self, tensor: Tensor) -> int | None:
        """The present value of a tensor, or None if it was not seen in this pass."""
        entry = self.known.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def read(self, tensor: Tensor) -> int:
        """The value that an op reads: a known one, or a parameter, buffer or constant from outside."""
        entry = self.known.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        if id(tensor) in self.parameters:
            return self.make(tensor, "parameter", self.parameters[id(tensor)])
        if id(tensor) in self.buffers:
            return self.make(tensor, "buffer", self.buffers[id(tensor)])
        made = self.origin(tensor)
        return self.make(tensor, "constant") if made is None else made

    def refresh(self, number: int, tensor: Tensor) -> None:
        """Autograd attached a tensor to its graph after it was made (the output of an autograd.Function)."""
        self.rows[number * WIDTH + 5] = tensor.requires_grad
        self._made.pop(number, None)

    def share(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> bool:
        """Whether an output lives in the memory of an input; remembers it, for a later write into either."""
        found = False
        storages = [(storage_of(tensor), id(tensor)) for tensor in inputs]
        for output in outputs:
            storage = storage_of(output)
            sharers = [number for other, number in storages if other == storage] if storage is not None else ()
            if sharers:
                found = True
                self._aliases.setdefault(storage, set()).update(sharers, (id(output),))  # type: ignore[arg-type]
        return found

    def written(self, tensor: Tensor) -> list[int]:
        """New values after a write into a tensor: its own first, then those of the known tensors in its memory."""
        made = [self.make(tensor, "op")]
        storage = storage_of(tensor)
        for other in self._aliases.get(storage, ()) if storage is not None else ():
            entry = self.known.get(other)
            alias = entry[0]() if entry else None
            if alias is None or alias is tensor or id(alias) in self.parameters:
                continue
            if storage_of(alias) == storage:  # an address may have been given to another storage, an id to a tensor
                made.append(self.make(alias, "op"))
        return made

    def end(self) -> None:
        """No tensor is looked for any more."""
        self.origin = _from_outside
        self.known = {}
        self._aliases = {}


def _from_outside(tensor: Tensor) -> None:
    return None


def is_wrapped(tensor: Tensor) -> bool:
    """Whether a functorch transform (vmap, grad) runs: such tensors have no values to look at."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))
