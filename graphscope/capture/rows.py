"""Ops and module calls while they are being recorded: mutable, with values as numbers.

They become the frozen ``OpNode`` and ``ModuleCall`` of a Graph when the step is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class OpRow:
    """One op; ``OpNode`` once the forward is over. Inputs and outputs are ids of values."""

    __slots__ = (
        "attrs", "failed", "grad_fn", "inplace", "inputs", "op", "opaque", "outputs", "scope", "source", "view",
    )  # fmt: skip

    def __init__(self, op: str, scope: int, inputs: Sequence[int], source: tuple[str, int] | None = None) -> None:
        self.op = op
        self.scope = scope
        self.inputs = list(inputs)
        self.outputs: list[int] = []
        self.source = source
        self.attrs: Mapping[str, Any] = {}
        self.grad_fn: str | None = None
        self.opaque: str | None = None
        self.inplace = self.view = self.failed = False


class CallRow:
    """One call of a module; ``parent`` is the number of the call during which it was made."""

    __slots__ = ("call", "fqn", "opaque", "outputs", "parent")

    def __init__(self, fqn: str, call: int, parent: int | None, opaque: str = "") -> None:
        self.fqn = fqn
        self.call = call
        self.parent = parent
        self.opaque = opaque
        self.outputs: list[int] = []
