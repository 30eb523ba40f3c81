"""Training -> TrainerSamples for the pages that show it: made on its own thread, in 1 % of its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from graphscope.messages import TrainerSamples
from graphscope.trainer.loop import Trainer

if TYPE_CHECKING:
    from graphscope.trainer.pinned import PinnedBatch

ASKED_SECONDS = 5.0
"""As long after a page asked the next samples are made; it asks twice a second."""
LEAST_SECONDS = 1.0
SHARE = 0.01
"""Share of the time that samples may take while training."""


class SampleMaker:
    """The newest samples of one training. ``newest`` may be called from any thread, ``make`` from the training's."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._pinned: PinnedBatch | None = None
        self._newest: TrainerSamples | None = None
        self._asked = -ASKED_SECONDS
        self._next = 0.0

    def newest(self) -> TrainerSamples | None:
        """What was made last, None before that; more are made while somebody asks."""
        self._asked = time.monotonic()
        return self._newest

    def make(self, *, resting: bool = False) -> None:
        """Makes them if somebody looks and it is time; ``resting``: nothing is being trained that they could delay."""
        began = time.monotonic()
        known = self._newest is not None and (self._newest.message or self._newest.step == self._trainer.step)
        looked_at = began - self._asked < ASKED_SECONDS
        if known or not looked_at or not (resting or began >= self._next):
            return
        self._newest = self._made()
        took = time.monotonic() - began
        self._next = began + max(LEAST_SECONDS, took / SHARE)

    def _made(self) -> TrainerSamples:
        from graphscope.trainer.pinned import PinnedBatch

        fields: dict[str, Any] = {"pixels": np.zeros(0, np.uint8), "size": (0, 0, 0, 0)}
        try:
            self._pinned = self._pinned or PinnedBatch(self._trainer)
            said = self._pinned.predict()
        except Exception as error:  # a user's network or data may do anything; training goes on without the pictures
            none = np.zeros(0, np.int32)
            text = f"No predictions of single images: {error}."
            fields.update(label=none, predicted=none, confidence=np.zeros(0), message=text)
        else:
            if self._pinned.pixels is not None:
                fields.update(size=tuple(self._pinned.pixels.shape), pixels=self._pinned.pixels.numpy().ravel())
            fields.update(label=said.label.int().numpy(), predicted=said.predicted.int().numpy())
            fields.update(confidence=said.confidence.numpy())
        return TrainerSamples(step=self._trainer.step, **fields)
