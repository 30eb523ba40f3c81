"""Records of the training thread -> run file, Run, rules and views, on one thread of its own.

The training thread only puts a list into a queue. A captured step is written at once; steps of which nothing but
StepRecords is known wait up to ``GATHERED`` for their like, since waking a thread for each step of half a millisecond
takes as long as the step (both want Python's one lock). That is also what a killed process may lose of them. When the
disk is so slow that the queue fills, tables of statistics are dropped and counted, never steps, graphs or addresses.
Those of the last 32 such steps stay in memory: when something goes wrong in the training (capture/sentinel.py), they
are written after all.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphscope.capture.arrival import Arrival
from graphscope.capture.guard import Guard
from graphscope.rules import evaluate
from graphscope.run import Run
from graphscope.run.codec import encode
from graphscope.run.frames import frame
from graphscope.run.size import SizeCap, without_statistics
from graphscope.run.writer import RunWriter
from graphscope.schema import LAYER_STATS, MAX_RUN_MB, Note, OpGradients, RunHeader, StepRecord, StepStats

MOST_WAITING = 64
"""Batches in the queue from which on statistics are dropped."""
MOST_MISSED = 32
"""Captured steps whose dropped statistics are kept in memory."""

GATHERED = 0.05
"""Seconds that the record of an uncaptured step may wait for others, to be written with them."""

Subscriber = Callable[[list[bytes], list[Any]], None]


class Recorder:
    """One run being written."""

    def __init__(self, run_dir: Path, header: RunHeader, guard: Guard, *, max_mb: float = MAX_RUN_MB) -> None:
        self.run = Run()
        self.dropped = 0
        """Statistics that the queue had no room for."""
        self._told_dropped = 0
        self._cap = SizeCap(max_mb, _is_statistics)
        self._guard = guard
        self._writer = RunWriter(run_dir, header)
        self.run.add(header)
        self._missed: deque[list[Any]] = deque(maxlen=MOST_MISSED)
        self._queue: deque[list[Any] | StepRecord | threading.Event | None] = deque()
        self._batches = [0, 0]
        """Put into the queue and taken out of it, without lone StepRecords."""
        self._idle = False
        self._wake = threading.Event()
        """Something was put into the queue while it was empty."""
        self._urgent = threading.Event()
        """Something in it is not to wait for others."""
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._ends_itself: str | None = None
        """Why, if the recorder's own thread was told to close."""
        self._thread = threading.Thread(target=self._work, name="graphscope-recorder", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The file being written."""
        return self._writer.path

    @property
    def waiting(self) -> int:
        """Batches that nobody has taken out of the queue yet; steps of which nothing was captured do not count."""
        put, taken = self._batches
        return put - taken

    def put(self, records: Sequence[Any]) -> None:
        """Takes records over; returns at once. In a forked child it does nothing: the file is the parent's."""
        if self._closed or os.getpid() != self._pid:
            return
        if len(records) == 1 and type(records[0]) is StepRecord:
            self._queue.append(records[0])
            if self._idle:
                self._wake.set()
            return
        batch = list(records)
        if self.waiting >= MOST_WAITING:
            kept = without_statistics(batch, _is_statistics)
            self.dropped += len(batch) - len(kept)
            if len(kept) < len(batch):
                self._missed.append([r for r in batch if _is_statistics(r)])
            batch = kept
        self._hand_over(batch)

    def _hand_over(self, item: list[Any] | threading.Event | None) -> None:
        if type(item) is list:
            with self._lock:
                self._batches[0] += 1
        self._queue.append(item)
        self._urgent.set()
        self._wake.set()

    def keep_recent(self) -> None:
        """Writes what was dropped of the last steps after all, however long the queue is."""
        while self._missed and not self._closed and os.getpid() == self._pid:
            batch = self._missed.popleft()
            self.dropped -= len(batch)
            self._hand_over(batch)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Calls ``subscriber(frames, records)`` on the recorder's thread after each batch was written."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until everything put so far is in the Run; False if that took longer."""
        if self._closed or threading.current_thread() is self._thread or os.getpid() != self._pid:
            return True
        done = threading.Event()
        self._hand_over(done)
        reached = done.wait(timeout)
        self._guard.raise_noted()
        return reached

    def close(self, reason: str = "closed") -> None:
        """Writes what is waiting and the end record."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        if threading.current_thread() is self._thread:  # the collector may end a session that nobody holds right here
            self._ends_itself = reason
            self._hand_over(None)
            return
        self._hand_over(None)
        self._thread.join(timeout=30.0)
        if not self._thread.is_alive():
            self._guard.run(self._end, reason)
        self._guard.raise_noted()

    def _end(self, reason: str) -> None:
        if last := self._drops(1):
            self._take(last)
        ends = self._writer.close(reason, dropped=self.dropped + self._cap.left_out)
        for end in ends:
            self.run.add(end)
        self._tell(framed(ends), list(ends))

    def _work(self) -> None:
        ends = False
        while not ends:
            self._idle = True  # from here on whoever puts something in wakes this thread
            if not self._queue:
                self._wake.wait()
            self._idle = False
            self._wake.clear()
            self._urgent.wait(GATHERED)
            self._urgent.clear()
            ends = self._drain()
        if self._ends_itself is not None:
            self._guard.run(self._end, self._ends_itself)

    def _drain(self) -> bool:
        """Everything in the queue, in order -> whether it was the end."""
        queue = self._queue
        while queue:
            item = queue.popleft()
            if item is None:
                return True
            if isinstance(item, threading.Event):
                item.set()
                continue
            if isinstance(item, list):
                self._batches[1] += 1
            else:
                item = [item]
                while queue and isinstance(queue[0], StepRecord):
                    item.append(queue.popleft())
            try:
                self._take(item)
            except Exception as error:
                self._guard.note(error)  # raising here would only end this thread
        return False

    def _take(self, batch: list[Any]) -> None:
        batch = [record for item in batch for record in (item.records() if isinstance(item, Arrival) else (item,))]
        batch = self._cap.within([*self._drops(), *batch], self._writer.size)
        frames = self._writer.append(batch)
        places = self._writer.places
        for i, record in enumerate(batch):
            self.run.add(record, places[i] if places else None)
        findings = evaluate(self.run)
        if findings:
            frames += self._writer.append(findings)
            for finding in findings:
                self.run.add(finding)
        self._tell(frames, [*batch, *findings])

    def _drops(self, least: int = 2) -> list[Note]:
        """A note when statistics were dropped; the next one when ``least`` times as many were."""
        dropped = self.dropped
        if dropped <= least * self._told_dropped:
            return []
        self._told_dropped = dropped
        text = (
            f"The disk is slower than what is recorded: {dropped:,} tables of statistics were left out so far, so that "
            f"the training need not wait for it ({self._writer.path.parent}). Record fewer steps (every=), fewer "
            "modules (include=), or elsewhere (run_dir=)."
        )
        return [Note(severity="warning", text=text)]

    def _tell(self, frames: list[bytes], records: list[Any]) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            try:
                subscriber(frames, records)
            except Exception as error:
                warnings.warn(f"A GraphScope view stopped following the run: {error}", stacklevel=1)
                with self._lock:
                    self._subscribers.remove(subscriber)


def _is_statistics(record: Any) -> bool:
    return (
        record.statistics if isinstance(record, Arrival) else isinstance(record, (StepStats, OpGradients, *LAYER_STATS))
    )


def framed(records: Sequence[Any]) -> list[bytes]:
    """Records or replies -> frames, for a view."""
    return [frame(encode(record)) for record in records]
