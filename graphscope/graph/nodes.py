"""The parts of a Graph: values (tensors at one moment), ops, module calls, modules and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor at one moment: an in-place op makes a new value of the same tensor."""

    id: int
    kind: str
    """One of ``schema.VALUE_KINDS``."""
    name: str
    """Argument name of an input, fqn of a parameter or buffer, else empty."""
    shape: tuple[int, ...]
    dtype: str
    device: str
    requires_grad: bool


@dataclass(frozen=True, slots=True)
class OpNode:
    """One call of a public torch function."""

    id: int
    op: str
    """Public torch name; an in-place variant has the plain name and ``inplace``."""
    scope: int
    """Call (index into ``Graph.calls``) in which it ran."""
    fqn: str
    call: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    params: tuple[str, ...] = ()
    """Names of the parameters it read."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that are no tensors."""
    source: tuple[str, int] | None = None
    """File and line of the user's code."""
    grad_fn: str | None = None
    """Name of its backward node."""
    opaque: str | None = None
    """Why its inside cannot be seen."""
    inplace: bool = False
    view: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of one module."""

    id: int
    fqn: str
    call: int
    parent: int | None
    outputs: tuple[Value, ...] = ()
    opaque: str | None = None


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """One parameter of a module."""

    name: str
    shape: tuple[int, ...]
    requires_grad: bool
    tied_to: str | None = None
    """Name of the earlier parameter that is the same tensor."""

    @property
    def count(self) -> int:
        n = 1
        for size in self.shape:
            n *= size
        return n


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module of the tree."""

    fqn: str
    type: str
    attrs: str
    """Its ``extra_repr``."""
    parent: str | None
    parameters: tuple[ParameterInfo, ...] = ()

    @property
    def name(self) -> str:
        """Last part of the path; the class name for the root."""
        return self.fqn.rpartition(".")[2] or self.type


@dataclass(frozen=True, slots=True)
class Edge:
    """A value made by one op and read by another."""

    source: int
    target: int
    value: Value
