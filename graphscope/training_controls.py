"""Start, pause, step and stop of a training; all may be called from any thread, and wait for no batch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeVar

from graphscope.errors import CommandRefused
from graphscope.trainer.settings import PANEL_FIELDS, TrainerSettings
from graphscope.training_layers import checked_stop
from graphscope.training_thread import TrainingThread

Self = TypeVar("Self", bound="TrainingControls")


class TrainingControls(TrainingThread):
    """Sets what the thread reads between batches, and at the layers it was told to stop at."""

    def start(self: Self, settings: Mapping[str, Any] | None = None) -> Self:
        """Begins, or goes on after a pause. ``settings`` (names of the panel) are taken where a training begins.

        Raises GraphscopeError for settings that cannot be used.
        """
        self._join_stopped()
        with self._changed:
            if not self.under_way:
                if settings:
                    self.settings = with_panel(self.settings, settings)
                self.settings.checked()
                self._begin()
            self._go, self._single, self._layer = True, 0, None
            self._changed.notify_all()
        return self

    def resume(self: Self) -> Self:
        """Goes on after a pause. Raises CommandRefused where nothing is under way."""
        with self._changed:
            if not self.under_way:
                raise CommandRefused(f"resume(): no training is under way ({self.state}). start() begins one.")
            self._go, self._single, self._layer = True, 0, None
            self._changed.notify_all()
        return self

    def restart(self: Self, settings: Mapping[str, Any] | None = None) -> Self:
        """Ends what is under way, and begins anew from the first step, in a session of its own."""
        self.stop()
        return self.start(settings)

    def pause(self) -> None:
        """Stops after the batch under way; everything is kept."""
        with self._changed:
            self._go, self._single, self._layer = False, 0, None

    def step(self, batches: int = 1) -> None:
        """Trains so many batches, captures them, and pauses again; one that waits at a layer counts as the first."""
        self._join_stopped()
        with self._changed:
            if not self.under_way:
                self.settings.checked()
                self._begin()
            self._go, self._single, self._layer = False, self._single + batches, None
            self._changed.notify_all()

    def step_to(self, layer: str = "", direction: str = "") -> None:
        """Goes on to the next place where a layer's forward, or backward, is done, and pauses there, inside the step.

        layer      module path; empty: the next layer that is reached, one without modules in it.
        direction  "forward" or "backward"; empty: whichever comes first.

        ``message`` then says what the layer gave, or which gradient came back to it. ``step()`` ends the step,
        ``resume()`` goes on. A layer that one whole step does not reach ends with a pause behind that step.
        Raises CommandRefused for what is not there, and for a compiled network, whose layers are not called one by one.
        """
        self._join_stopped()
        with self._changed:
            trainer = self.trainer if self.under_way else None
            stop = checked_stop(layer, direction, None if trainer is None else trainer.model)
            if self.settings.compile:
                raise CommandRefused(
                    "step_to(): a compiled network runs as a whole. Train with compile=False for this."
                )
            if not self.under_way:
                self.settings.checked()
                self._begin()
            self._go, self._single, self._layer = False, 0, stop
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the training after the batch under way and closes its session."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def wait(self: Self, timeout: float | None = None) -> Self:
        """Waits until it has ended (or ``timeout`` seconds); raises what ended it, if an error did."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self.error is not None:
            raise self.error
        return self

    def run(self: Self) -> Self:
        """Trains here instead of in a thread, with progress bars, and returns when it has ended; raises what ended it.

        Pausing and stopping then are for other threads.
        """
        with self._changed:
            if self.under_way:
                raise CommandRefused("run(): a training is under way in its thread. wait() for it, or stop() it.")
            self.settings.checked()
            self._reset()
            self._thread = threading.current_thread()
            self._go, self._single, self._layer = True, 0, None
        try:
            self._work(bars=True)
        finally:
            self._thread = None
        if self.error is not None:
            raise self.error
        return self

    def _join_stopped(self) -> None:
        """A training that was told to stop ends before the next one begins."""
        thread = self._thread
        if thread is not None and self._stop and thread is not threading.current_thread():
            thread.join()


def with_panel(settings: TrainerSettings, given: Mapping[str, Any]) -> TrainerSettings:
    """Settings with what a page set: only numbers and names out of the menus, never a path or a name to import."""
    TrainerSettings.from_dict(given, allowed=PANEL_FIELDS)
    merged = {**settings.to_dict(), **given}
    if given.get("model", settings.model) != settings.model:
        # What suits another network: a learning rate that the last one resolved to is not meant for it.
        usual = {"lr": None, "optimizer": "auto", "schedule": "auto"}
        merged |= {name: default for name, default in usual.items() if name not in given}
    elif given.get("optimizer", settings.optimizer) != settings.optimizer and "lr" not in given:
        merged["lr"] = None
    return TrainerSettings.from_dict(merged)
