"""Backward reaching the root's output -> the loss it started from, and the ops between the two.

A tensor hook on the root's outputs (25 us) finds the frame of ``_engine_run_backward``: its ``t_outputs`` are the
losses, and the frame above is the user's line. Nothing of the user's code runs under a mode of ours for this.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphscope.capture.arrival import Deferred
from graphscope.capture.gradients import (
    BackwardEnd,
    GradientHook,
    backward_roots,
    hook_gradient,
    loss_of,
    on_backward_end,
)
from graphscope.capture.guard import Guard
from graphscope.capture.loss_ops import loss_chain
from graphscope.capture.loss_scale import are_products, scale_of_step
from graphscope.capture.source import user_line
from graphscope.capture.summary import stays
from graphscope.capture.values import tensors_in
from graphscope.schema import ScalarRecord

MOST_OUTPUTS = 16


class CapturedPass(Protocol):
    """What the tap fills in of a captured pass."""

    capture: Any
    chain: Any
    line: Any
    backward: str

    def backward_done(self) -> None: ...

    def backward_failed(self) -> None: ...

    def look_behind(self, roots: tuple[Tensor, ...]) -> None: ...


class LossTap:
    """The loss of the step under way."""

    def __init__(self, guard: Guard, loss_fn: nn.Module | None = None) -> None:
        self.guard = guard
        self.loss_fn = loss_fn
        self.fired = False
        self._loss: Tensor | None = None
        self._product = False
        """Whether it may be the loss times the scale of a GradScaler."""
        self._module_loss: Tensor | None = None
        self._hooks: list[GradientHook] = []
        self._seconds = 0.0

    def attach(self) -> None:
        """Follows the loss module, in the way in which the watcher follows the root: no hook hangs in it."""
        if self.loss_fn is not None and "_compiled_call_impl" not in self.loss_fn.__dict__:
            self.loss_fn.__dict__["_compiled_call_impl"] = self._call_loss

    def detach(self) -> None:
        """Leaves the loss module and the user's tensors as they were."""
        if self.loss_fn is not None and self.loss_fn.__dict__.get("_compiled_call_impl") == self._call_loss:
            del self.loss_fn.__dict__["_compiled_call_impl"]
        self.release()

    def _call_loss(self, *args: Any, **kwargs: Any) -> Any:
        assert self.loss_fn is not None
        output = self.loss_fn._call_impl(*args, **kwargs)
        if not torch.compiler.is_compiling() and torch.is_grad_enabled():
            self.guard.run(self._take_loss, output)
        return output

    def _take_loss(self, output: Any) -> None:
        if isinstance(output, Tensor) and output.numel() == 1:
            self._module_loss = output.detach()

    def begin_step(self) -> None:
        self.fired = False
        self._loss = self._module_loss = None
        self._product = False
        self.release()

    def release(self) -> None:
        """Hooks that still hang on the user's tensors do nothing from now on."""
        for hook in self._hooks:
            hook.release()
        self._hooks.clear()

    def hook(self, output: Any, one: CapturedPass | None, look: Callable[[], None]) -> None:
        """Waits for the backward of one pass. ``look`` is called when it begins, before parameters get gradients."""
        outputs = [t for t in tensors_in(output) if t.requires_grad][:MOST_OUTPUTS]
        ends: dict[int, int] = {}
        if one is not None:
            for tensor in outputs:
                value = one.capture.values.get(tensor)
                if tensor.grad_fn is not None and value is not None:
                    ends[tensor.grad_fn._sequence_nr()] = value
        state = _Once(one, ends, look)
        for tensor in outputs:
            hooked = hook_gradient(tensor, self._reached, state)
            if hooked is not None:
                self._hooks.append(hooked[0])

    def _reached(self, state: _Once, gradient: Tensor) -> None:
        if not state.done:
            state.done = True
            started = time.perf_counter()
            self.guard.run(self._take, state)
            self._seconds += time.perf_counter() - started

    def _take(self, state: _Once) -> None:
        self.fired = True
        state.look()
        if state.one is not None:
            one = state.one
            one.backward = "running"
            on_backward_end(BackwardEnd(self.guard, one.backward_done, one.backward_failed))
        roots = backward_roots()
        loss = loss_of(roots)
        if loss is not None:
            self._loss = loss
            self._product = are_products(roots)
        if state.one is not None and roots:
            state.one.chain = loss_chain(roots, state.ends)
            state.one.line = user_line(3)
            state.one.look_behind(roots)

    def unscale(self) -> None:
        """In the optimizer's step: what a GradScaler multiplied is the loss again; exact with powers of two.

        A division by the number of accumulated passes is the user's and stays.
        """
        if self._loss is None or not self._product:
            return
        self._product = False
        scale = scale_of_step()
        if scale is not None and scale.device == self._loss.device:
            self._loss = self._loss / scale  # now: the scaler writes the next scale into the same tensor

    def known(self) -> float | None:
        """The loss of the step's last pass if it can be read without waiting for a device."""
        loss = self._last()
        return None if loss is None or stays(loss) else float(loss)

    def scalars(self) -> dict[str, float]:
        """``loss`` of the step's last pass; empty if none was seen, or if it is on a device."""
        loss = self.known()
        return {} if loss is None else {"loss": loss}

    def deferred(self, step: int, arrived: Callable[[int, float], None]) -> list[Deferred]:
        """The loss that is on a device: a ScalarRecord once it arrives, of which ``arrived(step, loss)`` is told."""
        loss = self._last()
        if loss is None or not stays(loss):
            return []

        def make(arrays: Any) -> list[ScalarRecord]:
            value = float(arrays[0][0])
            arrived(step, value)
            return [ScalarRecord(step=step, scalars={"loss": value})]

        return [Deferred([loss], make, statistics=False)]

    def _last(self) -> Tensor | None:
        return self._loss if self._module_loss is None else self._module_loss

    def take_seconds(self) -> float:
        """Time that the hooks took since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class _Once:
    """Several outputs of one pass, one backward: whichever is reached first tells."""

    def __init__(self, one: CapturedPass | None, ends: dict[int, int], look: Callable[[], None]) -> None:
        self.one = one
        self.ends = ends
        self.look = look
        self.done = False
