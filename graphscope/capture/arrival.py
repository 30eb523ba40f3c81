"""Numbers on a device -> numbers here, with one asynchronous copy a step; whoever reads them waits, training does not.

What a captured step leaves on a GPU (rows of statistics, numbers of layers, the loss) is put side by side there and
copied on a stream of its own into pinned memory. The recorder's thread waits for the copy and makes the records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

SLOTS = 4
"""Pinned buffers per device that are used in turns; more are made while all are waited for."""


@dataclass(frozen=True)
class Deferred:
    """Numbers that are still on a device, and what becomes of them."""

    tensors: Sequence[Tensor]
    make: Callable[[Sequence[np.ndarray]], Sequence[Any]]
    """Their values, flat and in float64 -> records."""
    statistics: bool = True
    """Whether the records are statistics, which a slow disk may cost."""

    def now(self) -> Sequence[Any]:
        """The records, after waiting for the device."""
        return self.make([t.detach().to("cpu", torch.float64).reshape(-1).numpy().copy() for t in self.tensors])


class Arrival:
    """Deferred records of one step on their way."""

    def __init__(self, deferred: Sequence[Deferred]) -> None:
        self._deferred = deferred
        by_device: dict[torch.device, list[Tensor]] = {}
        for one in deferred:
            for tensor in one.tensors:
                by_device.setdefault(tensor.device, []).append(tensor)
        self._sizes = [[(t.device, t.numel()) for t in one.tensors] for one in deferred]
        with torch.no_grad():
            self._copies = {device: _Copy(tensors) for device, tensors in by_device.items()}

    @property
    def statistics(self) -> bool:
        return any(one.statistics for one in self._deferred)

    def records(self) -> list[Any]:
        """Waits for the copy; to be called on a thread that may wait, once."""
        arrived = {device: copy.wait() for device, copy in self._copies.items()}
        at = dict.fromkeys(arrived, 0)
        found: list[Any] = []
        for one, sizes in zip(self._deferred, self._sizes, strict=True):
            arrays = []
            for device, size in sizes:
                arrays.append(arrived[device][at[device] : at[device] + size])
                at[device] += size
            found += one.make(arrays)
        return found


class _Copy:
    """The tensors of one device as one array of float64 here."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        wide = torch.float32 if tensors[0].device.type == "mps" else torch.float64
        flat = torch.cat([t.detach().reshape(-1).to(wide) for t in tensors])
        self._slot: Tensor | None = None
        self._done: Any = None
        if flat.device.type != "cuda":
            self._host = flat.cpu()
            return
        with torch.cuda.device(flat.device):
            ready = torch.cuda.Event()
            ready.record()
            side = _side_stream(flat.device)
            side.wait_event(ready)
            self._slot = _slots.take(flat.numel())
            self._host = self._slot[: flat.numel()]
            with torch.cuda.stream(side):
                self._host.copy_(flat, non_blocking=True)
                self._done = torch.cuda.Event()
                self._done.record()
            flat.record_stream(side)

    def wait(self) -> np.ndarray:
        if self._done is not None:
            self._done.synchronize()
        array = np.array(self._host.numpy(), dtype=np.float64)
        if self._slot is not None:
            _slots.give(self._slot)
            self._slot = None
        return array


class _Slots:
    """Pinned memory: allocating it may wait for the device, so it is used again."""

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._lock = threading.Lock()

    def take(self, numbers: int) -> Tensor:
        with self._lock:
            for i, slot in enumerate(self._free):
                if slot.numel() >= numbers:
                    return self._free.pop(i)
        size = 1 << max(12, (numbers - 1).bit_length())
        return torch.empty(size, dtype=torch.float64, pin_memory=True)

    def give(self, slot: Tensor) -> None:
        with self._lock:
            self._free = [*self._free, slot][-SLOTS:]


_slots = _Slots()
_streams: dict[torch.device, Any] = {}


def _side_stream(device: torch.device) -> Any:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]


def sent(records: Sequence[Any]) -> Sequence[Any]:
    """Records of a step, some of them Deferred -> the same with these on their way, behind the others."""
    waiting = [record for record in records if isinstance(record, Deferred)]
    if not waiting:
        return records
    return [*(record for record in records if not isinstance(record, Deferred)), Arrival(waiting)]


def arrived(records: Sequence[Any]) -> list[Any]:
    """The same after waiting for what is deferred, on this thread."""
    return [record for item in records for record in (item.now() if isinstance(item, Deferred) else (item,))]
