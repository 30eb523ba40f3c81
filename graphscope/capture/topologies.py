"""Fingerprints of passes -> numbers of topologies, the graph recorded for each, and which pass is to be recorded next.

A topology is what fingerprints tell apart; several may turn out to have one graph. One that has no graph yet is
recorded when it comes again. Which graph a pass will have is known only when it is over, so the passes that follow are
recorded until it came: the next ``AT_ONCE`` that begin in the same way (modes, kinds of inputs), then at doubling
distances, as far as the budget goes.
"""

from __future__ import annotations

from typing import Any

AT_ONCE = 16
FIRST_GAP = 128
"""Passes without any recorded one until one is recorded whatever its fingerprint; doubles each time."""
MOST = 4_096
"""Topologies that are told apart; later ones are unknown. A graph that never comes again is no news any more."""


class _Wait:
    """Topologies without a graph that begin alike."""

    __slots__ = ("gap", "numbers", "passed")

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.passed = 0
        self.gap = 2 * AT_ONCE

    def due(self) -> bool:
        """Whether the pass that begins now is to be recorded."""
        self.passed += 1
        if self.passed <= AT_ONCE:
            return True
        if self.passed >= self.gap:
            self.gap *= 2
            return True
        return False


class Topologies:
    """All topologies of one watch."""

    def __init__(self) -> None:
        self.graphs: dict[int, str] = {}
        """Number -> the id of the graph recorded last."""
        self._fine: dict[int, int] = {}
        self._coarse: dict[int, int] = {}
        self._count = 0
        self._waiting: dict[Any, _Wait] = {}
        self._pending: set[int] = set()
        """Recorded in the step under way: the graph is known when its backward is over."""
        self._unrecorded = 0
        self._gap = FIRST_GAP

    def number(self, coarse: int, fine: int | None) -> int | None:
        """Fingerprints -> the topology's number, a new one if it never was; None if there are too many.

        ``fine`` is None where only the root's call was looked at: that is the topology seen last with this root's.
        """
        known = self._coarse.get(coarse) if fine is None else self._fine.get(fine)
        if known is None:
            if self._count >= MOST:
                return None
            known = self._count
            self._count += 1
        if fine is not None:
            self._fine[fine] = known
        self._coarse[coarse] = known
        return known

    def saw(self, number: int | None, key: Any) -> None:
        """A pass that was not recorded is over. ``key``: how it began."""
        self._unrecorded += 1
        if number is None or number in self.graphs or number in self._pending:
            return
        wait = self._waiting.setdefault(key, _Wait())
        if number not in wait.numbers:
            wait.numbers.add(number)
            wait.passed, wait.gap = 0, 2 * AT_ONCE

    def wants(self, key: Any) -> bool:
        """Whether the pass that begins in this way is to be recorded, if the price allows."""
        wait = self._waiting.get(key) if self._waiting else None
        return (wait is not None and wait.due()) or self._unrecorded >= self._gap

    def recorded(self, number: int | None) -> None:
        """A pass that was recorded is over; ``learn`` tells its graph."""
        if self._unrecorded >= self._gap:
            self._gap *= 2
        self._unrecorded = 0
        if number is None:
            return
        self._pending.add(number)
        for key, wait in list(self._waiting.items()):
            wait.numbers.discard(number)
            if not wait.numbers:
                del self._waiting[key]

    def learn(self, number: int | None, graph_id: str) -> None:
        """The graph of a topology, recorded just now."""
        if number is not None:
            self._pending.discard(number)
            self.graphs[number] = graph_id
