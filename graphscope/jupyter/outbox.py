"""Frames that wait for the page -> messages of at most 1 MB; a page that does not keep up gets fewer statistics.

Graphs, addresses, steps and findings are small and everything else refers to them: they always arrive. Statistics of a
step are 40 KB and more, and the page can ask for those of any step later (``Look``): those are thinned out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

MESSAGE_BYTES = 1_000_000
"""Largest message, unless one frame alone is larger: a browser decodes 1 MB in 21 to 85 ms."""
BACKLOG_BYTES = 16_000_000
"""Above this, statistics of steps in the middle of what waits are dropped."""


class Item(NamedTuple):
    """One frame of the run's bytes."""

    frame: bytes
    statistics_of: int | None
    """The step, if it holds statistics; they may be dropped."""


class Outbox:
    """What one link still has to send, in order. Any thread may put and take."""

    def __init__(self, backlog_bytes: int = BACKLOG_BYTES) -> None:
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._backlog_bytes = backlog_bytes
        self.dropped_steps = 0
        """Steps of which statistics were not sent."""

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, items: Iterable[Item]) -> None:
        """Appends frames; drops statistics from the middle if too much waits."""
        with self._lock:
            for item in items:
                self._items.append(item)
                self._bytes += len(item.frame)
            if self._bytes > self._backlog_bytes:
                self._thin()

    def take(self, limit: int = MESSAGE_BYTES) -> bytes:
        """The next frames, together at most ``limit`` bytes (one frame that is larger comes alone); empty if none."""
        with self._lock:
            taken: list[bytes] = []
            size = 0
            while self._items and (not taken or size + len(self._items[0].frame) <= limit):
                frame = self._items.popleft().frame
                taken.append(frame)
                size += len(frame)
            self._bytes -= size
            return b"".join(taken)

    def clear(self) -> None:
        """Forgets what waits."""
        with self._lock:
            self._items.clear()
            self._bytes = 0

    def _thin(self) -> None:
        """Drops the statistics of every second step between the first and the last, until half the limit is kept."""
        while self._bytes > self._backlog_bytes // 2:
            steps = sorted({item.statistics_of for item in self._items if item.statistics_of is not None})
            gone = set(steps[1:-1:2])
            if not gone:
                return
            self._items = deque(item for item in self._items if item.statistics_of not in gone)
            self._bytes = sum(len(item.frame) for item in self._items)
            self.dropped_steps += len(gone)
