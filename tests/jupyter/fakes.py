"""A session without torch and a page without a browser: what a Link stands between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from graphscope.graph import Graph, ModuleInfo
from graphscope.jupyter.publisher import Publisher
from graphscope.messages import SessionStatus
from graphscope.run import Run, decode, encode
from graphscope.run.frames import frame, split
from graphscope.schema import AddressTable, DropoutStats, OpGradients, PassRecord, RunHeader, StepRecord, StepStats

ADDRESSES = ("", "conv", "conv.weight")


def stats(step: int, rows: int = 3, value: float | None = None) -> StepStats:
    """Activations of all addresses at a step; every mean is the step, unless said."""
    mean = np.full(rows, step if value is None else value, np.float64)
    return StepStats(
        step=step, pass_index=0, address=np.arange(rows), role=[0] * rows, flags=[0] * rows,
        dtype=[0] * rows, ndim=[1] * rows, sizes=[8] * rows, count=[8] * rows, mean=mean,
        std=np.ones(rows), min=mean - 1, max=mean + 1, absmax=np.abs(mean) + 1, l2=np.full(rows, 2.0),
        zeros=[0] * rows, nan=[0] * rows, pos_inf=[0] * rows, neg_inf=[0] * rows,
        histogram_row=[0], histogram=np.zeros((1, 128), np.uint32), dtypes=("float32",),
    )  # fmt: skip


def op_gradients(step: int, graph_id: str) -> OpGradients:
    """Of two ops; the norm of the first is the step."""
    two = np.ones(2)
    return OpGradients(
        step=step, pass_index=0, graph_id=graph_id, node=[0, 1], output=[0, 0], flags=[0, 0], count=[8, 8], mean=two,
        std=two, min=two, max=two, absmax=two, l2=np.array([step, 1.0]), zeros=[0, 2], nan=[0, 0], pos_inf=[0, 0],
        neg_inf=[0, 0],
    )  # fmt: skip


def step_record(step: int, captured: bool = True) -> StepRecord:
    return StepRecord(
        step=step, captured=captured, passes=1, seconds=step / 10, step_seconds=0.1, self_seconds=0.001,
        scalars={"loss": 1 / (step + 1)},
    )  # fmt: skip


def step_batch(step: int, captured: bool = True) -> list[Any]:
    """What a recorder writes for one step."""
    a_pass = PassRecord(step=step, pass_index=0, graph_id=None, training=True, grad_enabled=True)
    dropout = DropoutStats(
        step=step, fqn="drop", call=0, p=0.5, dropped=0.4, nonzero=10, count=10, training=True, drops="values", units=10
    )
    return [a_pass, *([stats(step), dropout] if captured else []), step_record(step, captured)]


class FakeSession:
    """The part of a Session that a Link uses; ``feed`` is what its recorder does with a batch."""

    def __init__(self, name: str = "Cnn-1") -> None:
        self.id, self.name, self.model_name, self.state = f"id-{name}", name, "Cnn", "live"
        self.trainer: Any = None
        self.step = 0
        self.captures = 0
        self.looked_into: list[tuple[str, int]] = []
        self.run = Run()
        self.subscribers: list[Callable[[list[bytes], list[Any]], None]] = []
        self.graph = Graph(modules=(ModuleInfo("", "Cnn", "", None), ModuleInfo("conv", "Conv2d", "", "")))
        table = AddressTable(start=0, fqn=ADDRESSES, call=[0, 0, 0], output=[0, 0, 0])
        self.feed([RunHeader(run_id=self.id, name=name, model="Cnn", created=""), self.graph.to_record(), table])

    def feed(self, records: list[Any]) -> None:
        for record in records:
            self.run.add(record)
        for subscriber in list(self.subscribers):
            subscriber([frame(encode(record)) for record in records], records)

    def subscribe(self, callback: Callable[[list[bytes], list[Any]], None]) -> Callable[[], None]:
        self.subscribers.append(callback)
        return lambda: self.subscribers.remove(callback) if callback in self.subscribers else None

    def status(self) -> SessionStatus:
        records = self.run.step_records
        return SessionStatus(
            session=self.id, name=self.name, model=self.model_name, state=self.state,  # type: ignore[arg-type]
            step=records[-1].step if records else None, captured_steps=len(self.run.captured_steps),
            steps_per_second=None, overhead=None, loss=None, epoch=None, errors=0, warnings=0, infos=0, run_dir="",
        )  # fmt: skip

    def capture_next(self) -> None:
        self.captures += 1

    def look_inside(self, fqn: str, call: int = 0) -> None:
        self.looked_into.append((fqn, call))


class Page:
    """Takes messages as a browser does: decodes every frame, notes who sent it."""

    def __init__(self) -> None:
        self.messages: list[list[Any]] = []
        self.sizes: list[int] = []
        self.contents: list[dict[str, Any]] = []
        self.threads: set[str] = set()
        self._lock = threading.Lock()

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        (buffer,) = buffers
        found = split(buffer)
        assert found.damage == 0 and found.next == len(buffer)
        with self._lock:
            self.contents.append(content)
            self.sizes.append(len(buffer))
            self.messages.append([decode(payload) for _, payload in found.payloads])
            self.threads.add(threading.current_thread().name)

    @property
    def records(self) -> list[Any]:
        return [record for message in list(self.messages) for record in message]

    def of(self, kind: str) -> list[Any]:
        return [record for record in self.records if record.kind == kind]

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records]


class Hand(Publisher):
    """A publisher turned by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def add(self, peer: Any) -> None:
        if peer not in self._peers:
            self._peers.append(peer)

    def turn(self, seconds: float = 1.0, times: int = 100) -> int:
        """Lets every link send what it has, ``times`` at most -> how many messages that were."""
        self.now += seconds
        return sum(peer.flush(self.now) for _ in range(times) for peer in list(self._peers))
