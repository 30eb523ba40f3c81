"""Forwards without gradients -> PassRecords, several alike in a row put together."""

from __future__ import annotations

from collections.abc import Sequence

from graphscope.schema import PassRecord


class PassLog:
    """Says the first pass of a row at once, so that rules see it while it matters, and counts the rest."""

    def __init__(self) -> None:
        self._mode: tuple[bool, tuple[str, ...]] | None = None
        self._untold = 0
        self._passes = 0

    def same(self, training: bool) -> bool:
        """Whether a pass in this mode only adds to the row under way (then its layers need not be looked at again)."""
        return self._mode is not None and self._mode[0] == training

    def add(self, step: int, training: bool, layers: Sequence[str]) -> list[PassRecord]:
        """One more pass -> what is to be said now."""
        if self.same(training):
            self._untold += 1
            return []
        records = self.flush(step)
        self._mode = (training, tuple(layers))
        return [*records, self._record(step, 1)]

    def flush(self, step: int) -> list[PassRecord]:
        """The untold rest of the row under way, which ends."""
        records = [self._record(step, self._untold)] if self._untold else []
        self._untold, self._mode = 0, None
        return records

    def _record(self, step: int, repeats: int) -> PassRecord:
        assert self._mode is not None
        self._passes += 1
        training, layers = self._mode
        return PassRecord(
            step=step, pass_index=self._passes - 1, graph_id=None, training=training, grad_enabled=False,
            repeats=repeats, train_mode_layers=layers,
        )  # fmt: skip
