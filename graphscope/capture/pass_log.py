"""Forwards without gradients -> PassRecords, several alike in a row put together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from graphscope.capture.modules import walk_modules
from graphscope.capture.probes import is_mode_dependent
from graphscope.schema import PassRecord

FIRST_INDEX = 1_000
"""``pass_index`` of the first pass without gradients: those with gradients are counted from 0 in every step."""


class PassLog:
    """Says the first pass of a row at once, so that rules see it while it matters, and counts the rest."""

    def __init__(self) -> None:
        self._mode: tuple[bool, tuple[str, ...]] | None = None
        self._untold = 0
        self._passes = FIRST_INDEX
        self._topology: int | None = None
        """Of the first pass of the row."""
        self._told: set[int | None] = set()

    def same(self, training: bool) -> bool:
        """Whether a pass in this mode only adds to the row under way (then its layers need not be looked at again)."""
        return self._mode is not None and self._mode[0] == training

    def add(self, step: int, training: bool, layers: Sequence[str], topology: int | None = None) -> list[PassRecord]:
        """One more pass -> what is to be said now. A topology that was never told begins a row of its own."""
        if self._mode is not None and self._mode[0] == training:
            if topology in self._told:
                self._untold += 1
                return []
            layers = self._mode[1]
        records = self.flush(step)
        self._mode, self._topology = (training, tuple(layers)), topology
        self._told.add(topology)
        return [*records, self._record(step, 1)]

    def flush(self, step: int) -> list[PassRecord]:
        """The untold rest of the row under way, which ends."""
        records = [self._record(step, self._untold)] if self._untold else []
        self._untold, self._mode = 0, None
        return records

    def index(self) -> int:
        """``pass_index`` of the next record."""
        self._passes += 1
        return self._passes - 1

    def _record(self, step: int, repeats: int) -> PassRecord:
        assert self._mode is not None
        training, layers = self._mode
        return PassRecord(
            step=step, pass_index=self.index(), graph_id=None, training=training, grad_enabled=False,
            repeats=repeats, train_mode_layers=layers, topology=self._topology,
        )  # fmt: skip


def mode_dependent_in_train(root: nn.Module) -> tuple[str, ...]:
    """Paths of BatchNorm and Dropout layers that are in train mode now."""
    return tuple(fqn for fqn, module, _ in walk_modules(root) if module.training and is_mode_dependent(module))
