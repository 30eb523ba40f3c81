"""Tensors that modules returned -> rows of statistics, and of their gradients when backward comes by."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass

from torch import Tensor

from graphscope.capture.gradients import GradientHook, hook_gradient
from graphscope.capture.guard import Guard
from graphscope.capture.op_gradients import Measured
from graphscope.capture.plan import Selection
from graphscope.capture.summary import Row, measure

Address = tuple[str, int, int]
Key = tuple[Address, str]
"""What a row of statistics belongs to: address and role."""


@dataclass(slots=True)
class _Seen:
    """A tensor whose statistics were taken: a container returns the same one as its last child."""

    tensor: weakref.ref[Tensor]
    version: int
    row: Row | None
    addresses: list[Address]


class Activations:
    """Rows of one pass. Statistics are taken at once: a later in-place op may overwrite the tensor."""

    def __init__(self, selection: Selection, guard: Guard, measured: Measured) -> None:
        self.selection = selection
        self.guard = guard
        self.measured = measured
        self.rows: dict[Key, Row] = {}
        self.last_gradient: Address | None = None
        """Where backward came by last."""
        self.self_seconds = 0.0
        self._seen: dict[int, _Seen] = {}
        self._hooks: list[GradientHook] = []

    def take(self, tensor: Tensor, address: Address) -> None:
        """One tensor that was returned; the same one under several addresses is measured once."""
        seen = self._seen.get(id(tensor))
        version = tensor._version if not tensor.is_inference() else 0
        if seen is not None and seen.tensor() is tensor and seen.version == version:
            seen.addresses.append(address)
            if seen.row is not None:
                self.rows[address, "activation"] = seen.row
            return
        row = None
        if self.selection.activations:
            row = self.rows[address, "activation"] = measure(tensor)
        addresses = [address]
        self._seen[id(tensor)] = _Seen(weakref.ref(tensor), version, row, addresses)
        if self.selection.gradients:
            hooked = hook_gradient(tensor, self._take_gradient, addresses)
            if hooked is not None:
                self._hooks.append(hooked[0])

    def _take_gradient(self, addresses: list[Address], gradient: Tensor) -> None:
        started = time.perf_counter()
        self.guard.run(self._measure_gradient, addresses, gradient)
        self.self_seconds += time.perf_counter() - started

    def _measure_gradient(self, addresses: list[Address], gradient: Tensor) -> None:
        row = self.measured.row(gradient, histogram=True)
        self.last_gradient = addresses[0]
        for address in addresses:
            self.rows[address, "gradient"] = row

    def finish(self) -> None:
        """Lets go of the backward: hooks that still hang on the user's tensors do nothing from now on."""
        for hook in self._hooks:
            hook.release()
        self._hooks.clear()
        self._seen.clear()
