"""What ran inside one call of a module, asked for on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from graphscope.schema.words import F64, I32, I64, U8, U32


@dataclass(frozen=True, slots=True, kw_only=True)
class AtenOps:
    """The aten ops of one module call in one forward, in the order in which PyTorch dispatched them; one row an op.

    What fused kernels do inside is one op here as well, and what runs below the dispatcher is not seen.
    """

    kind: ClassVar[str] = "aten_ops"
    step: int
    pass_index: int
    fqn: str
    call: int
    graph_id: str
    """Graph whose op columns ``node`` counts."""
    names: Sequence[str]
    """Distinct names such as ``aten.addmm.default``."""
    name: U32
    """[n] index into ``names``."""
    node: I32
    """[n] row of the op columns that it ran in; -1: in none of its own."""
    seconds: F64
    """[n] wall time, dispatch included; on a device the time until the kernel was launched."""
    inputs: U32
    """[n] how many tensors it read."""
    outputs: U32
    """[n] how many tensors it returned."""
    dtype: U8
    """[t] index into ``dtypes``: of each op's inputs, then of its outputs, one op after the other."""
    ndim: U8
    """[t]"""
    sizes: I64
    """Shapes one after the other; ``ndim`` says how many sizes each tensor has."""
    dtypes: Sequence[str] = ()
    left_out: int = 0
    """Ops behind the first thousands, which were counted and not recorded."""
    error: str | None = None
    """Exception that ended the call: type and text."""
