"""Records that are to be written -> those that the run file has room for, and a Note that says what is left out.

A run file is only ever appended to, so it is kept below its cap by recording less from then on: each time half of the
room that is left is used, the statistics of half as many captured steps are recorded. Steps, scalars, graphs and
findings are small and go on; only a file that is full (by at most one step) takes nothing but findings and notes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from graphscope.schema import Note, PassRecord, ScalarRecord, StepRecord

MOST_HALVINGS = 10


class SizeCap:
    """The cap of one run file."""

    def __init__(self, max_mb: float, is_statistics: Callable[[Any], bool]) -> None:
        self.stride = 1
        """Statistics of every so many-th captured step are recorded."""
        self.left_out = 0
        """Records that the full file did not take."""
        self._most = max_mb * 1e6
        self._is_statistics = is_statistics
        self._captured = 0
        self._full = False

    def within(self, batch: Sequence[Any], size: int) -> list[Any]:
        """What is written of one step's records into a file of ``size`` bytes."""
        step = next((record.step for record in batch if isinstance(record, StepRecord)), None)
        kept = [*self._announced(size, step), *batch]
        if self._full:
            fewer = [r for r in kept if not (self._is_statistics(r) or isinstance(r, _EACH_STEP))]
            self.left_out += len(kept) - len(fewer)
            return fewer
        if not any(map(self._is_statistics, kept)):
            return kept
        self._captured += 1
        return kept if (self._captured - 1) % self.stride == 0 else without_statistics(kept, self._is_statistics)

    def _announced(self, size: int, step: int | None) -> list[Note]:
        """The note that is due where the file has grown past the next mark."""
        if self._full:
            return []
        if size >= self._most:
            self._full = True
            return [
                self._note(
                    f"The run file is full ({self._most / 1e6:,.6g} MB): only findings are recorded from here on, no "
                    "steps and no loss",
                    step,
                )
            ]
        before = self.stride
        while self.stride < 1 << MOST_HALVINGS and size >= self._most * (1 - 0.5 / self.stride):
            self.stride *= 2
        if self.stride == before:
            return []
        text = (
            f"The run file has reached {size / 1e6:,.4g} of its {self._most / 1e6:,.6g} MB: from here on statistics of "
            f"every {self.stride}{'nd' if self.stride == 2 else 'th'} captured step are recorded"
        )
        return [self._note(text, step)]

    def _note(self, text: str, step: int | None) -> Note:
        return Note(severity="warning", text=f"{text}. watch(max_mb=...) sets the cap.", step=step)


def without_statistics(batch: Sequence[Any], is_statistics: Callable[[Any], bool]) -> list[Any]:
    """The records of a step whose statistics are not recorded; its StepRecord says so."""
    return [
        replace(record, captured=False) if isinstance(record, StepRecord) and record.captured else record
        for record in batch
        if not is_statistics(record)
    ]


_EACH_STEP = (StepRecord, PassRecord, ScalarRecord)
