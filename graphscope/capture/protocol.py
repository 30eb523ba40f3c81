"""What the loop does with the model -> the order of calls of each step: forward, backward, clearing, step, scheduler.

Forwards and optimizer steps are seen. A backward is seen where it comes through the root's output. That gradients were
cleared is inferred: at the end of a backward they were there, and before the next call they are not. If no optimizer
stepped in between, an update was given up, as a GradScaler does where gradients are not finite; the scaler itself is
not looked into, but for fused optimizers, which it tells. A scheduler is known by its own counter, or by the learning
rate alone. Nothing of torch is patched for any of it.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from graphscope.capture.gradients import GradientHook, hook_gradient
from graphscope.capture.guard import Guard
from graphscope.capture.modules import walk_modules
from graphscope.capture.values import tensors_in
from graphscope.schema.calls import folded

MOST_CALLS = 2_048
"""Different calls of one step that are kept; repeated ones count once."""
MOST_OUTPUTS = 16
SENTINELS = 3
"""Parameters whose gradients are looked at: a loop clears all of them or none."""


class Gradients:
    """Whether the gradients that a backward left are still there."""

    def __init__(self, root: weakref.ref[nn.Module]) -> None:
        self._root = root
        self._parameters: list[weakref.ref[nn.Parameter]] = []
        self._there: list[tuple[weakref.ref[nn.Parameter], weakref.ref[Tensor], int]] = []

    def remember(self) -> None:
        """A backward is over."""
        root = self._root()
        if not any(p() is not None for p in self._parameters) and root is not None:
            found = (p for _, m, _ in walk_modules(root) for p in m._parameters.values() if p is not None)
            self._parameters = [weakref.ref(p) for p in islice((p for p in found if p.requires_grad), SENTINELS)]
        self._there = []
        for reference in self._parameters:
            parameter = reference()
            gradient = None if parameter is None else parameter.grad
            if gradient is not None:
                self._there.append((reference, weakref.ref(gradient), gradient._version))

    def cleared(self) -> bool:
        """Whether all of them are gone or zero by now; said once."""
        if not self._there or not all(self._is_cleared(*one) for one in self._there):
            return False
        self._there = []
        return True

    def forget(self) -> None:
        """Nothing is known of them any more."""
        self._there = []

    @staticmethod
    def _is_cleared(parameter: weakref.ref[nn.Parameter], gradient: weakref.ref[Tensor], version: int) -> bool:
        p, g = parameter(), gradient()
        if p is None or p.grad is None:
            return True
        if p.grad is not g or g._version == version or g.layout != torch.strided:
            return False
        # Written since: filled with zeros, or unscaled and clipped. On a device, looking would wait for it.
        return g.device.type == "cpu" and not torch.count_nonzero(g)


class Rates:
    """Learning rates of the session's optimizer and the schedulers that set them."""

    def __init__(self) -> None:
        self._optimizer: weakref.ref[Optimizer] | None = None
        self._rates: tuple[Any, ...] = ()
        self._schedulers: list[weakref.ref[LRScheduler]] = []
        self._counts: list[int] = []
        self._looked = 0

    def follow(self, optimizer: Optimizer) -> None:
        """After a step of the session's optimizer."""
        if self._optimizer is None or self._optimizer() is not optimizer:
            self._optimizer = weakref.ref(optimizer)
            self._looked = 0
            if "initial_lr" in optimizer.param_groups[0]:  # what a scheduler leaves there
                self._find()
            self._counts = self._read()
            self._rates = _rates(optimizer)

    def news(self) -> str:
        """``scheduler_step``, ``lr_change`` or nothing, since the last look."""
        optimizer = self._optimizer() if self._optimizer is not None else None
        if optimizer is None:
            return ""
        rates, counts = _rates(optimizer), self._read()
        stepped, changed = counts != self._counts, rates != self._rates
        if changed and not stepped and self._looked < 2:
            self._find()  # one that leaves no mark, or was made later: it is known from now on
            counts = self._read()
        self._rates, self._counts = rates, counts
        return "scheduler_step" if stepped else "lr_change" if changed else ""

    def _find(self) -> None:
        self._looked += 1
        optimizer = self._optimizer() if self._optimizer is not None else None
        found = [thing for thing in gc.get_objects() if issubclass(type(thing), LRScheduler)]
        self._schedulers = [weakref.ref(one) for one in found if getattr(one, "optimizer", None) is optimizer]

    def _read(self) -> list[int]:
        return [one.last_epoch for ref in self._schedulers if (one := ref()) is not None]


def _rates(optimizer: Optimizer) -> tuple[Any, ...]:
    rates = [group.get("lr") for group in optimizer.param_groups]
    # A rate that is a tensor is compared by its version: its value may be on a device.
    return tuple([(id(rate), rate._version) if isinstance(rate, Tensor) else rate for rate in rates])


class Protocol:
    """Calls since the last step."""

    def __init__(self, root: weakref.ref[nn.Module], guard: Guard, has_optimizer: Callable[[], bool]) -> None:
        self.guard = guard
        self._has_optimizer = has_optimizer
        self.on = True
        self.whole = True
        """Whether it was on from the beginning of the step."""
        self.stepping = False
        """Whether an optimizer's step is under way: forwards in it are those of its closure."""
        self.seconds = 0.0
        """Taken in hooks since the last ``take_seconds``."""
        self.backwards = 0
        self.skipped = 0
        self.begins: Callable[[], None] = lambda: None
        """Called when a backward reaches the root's output."""
        self._gradients = Gradients(root)
        self._rates = Rates()
        self._runs: list[tuple[str, int]] = []
        self._pending = False
        """Whether a backward left gradients that no optimizer used yet."""
        self._task = -1
        self._hooks: list[GradientHook] = []
        self._texts: dict[tuple[tuple[str, int], ...], str] = {}

    def begin_step(self, on: bool) -> None:
        """What came since the last step is told; ``on``: whether the next one is looked at."""
        if not on or not self.on:
            self._gradients.forget()
            self._pending = False
        self.on = self.whole = on
        self.backwards = self.skipped = 0
        self._runs.clear()
        self.release()

    def look_late(self) -> None:
        """From now on the step is looked at for updates that are skipped; its order of calls stays unknown."""
        if not self.on:
            self.on, self.whole = True, False

    def release(self) -> None:
        """Hooks that still hang on the user's tensors do nothing from now on."""
        for hook in self._hooks:
            hook.release()
        self._hooks.clear()

    def forward(self, training: bool, learns: bool) -> None:
        """A forward of the root begins."""
        if self.on:
            self._look()
            self._add("forward" + ("" if training else "_eval") + ("" if learns else "_no_grad"))

    def raised(self) -> None:
        """The forward that began last raised."""
        if self.on and self._runs:
            word, count = self._runs.pop()
            if count > 1:
                self._runs.append((word, count - 1))
            self._add("forward_raised")

    def output(self, output: Any) -> None:
        """The root returned: waits for a backward through it."""
        if self.on and torch.is_grad_enabled():
            for tensor in [output] if isinstance(output, Tensor) else tensors_in(output)[:MOST_OUTPUTS]:
                hooked = hook_gradient(tensor, self._reached, None)
                if hooked is not None:
                    self._hooks.append(hooked[0])

    def _reached(self, key: None, gradient: Tensor) -> None:
        started = time.perf_counter()
        self.guard.run(self._backward)
        self.seconds += time.perf_counter() - started

    def _backward(self) -> None:
        task = torch._C._current_graph_task_id()
        if task == self._task:
            return  # another output, or another forward, of the same backward
        self._task = task
        self._look()
        self._add("backward")
        self.backwards += 1
        self._pending = True
        self.begins()
        torch.autograd.Variable._execution_engine.queue_callback(self._backward_done)

    def _backward_done(self) -> None:
        self.guard.run(self._gradients.remember)

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimizer's step begins."""
        self.stepping = True
        if self.on:
            self._look()

    def after_step(self, optimizer: Optimizer, primary: bool) -> None:
        """It is over. ``primary``: whether its steps are the session's."""
        self.stepping = False
        if not self.on:
            return
        self._pending = False
        if not primary:
            self._add("other_optimizer_step")
            return
        found = getattr(optimizer, "found_inf", None)  # left there by a GradScaler for optimizers that skip themselves
        if isinstance(found, Tensor) and found.device.type == "cpu" and bool(found):
            self.skipped += 1
            self._add("skipped_step")
        else:
            self._add("optimizer_step")
        self._rates.follow(optimizer)

    def _look(self) -> None:
        """What happened between two calls that are seen."""
        if word := self._rates.news():
            self._add(word)
        if self._gradients.cleared():
            # A closure clears gradients that its optimizer (LBFGS) has used already.
            if self._pending and not self.stepping and self._has_optimizer():
                self._pending = False
                self.skipped += 1
                self._add("skipped_step")
            self._add("zero_grad")

    def _add(self, word: str) -> None:
        runs = self._runs
        if runs and runs[-1][0] == word:
            runs[-1] = word, runs[-1][1] + 1
        elif len(runs) < MOST_CALLS:
            runs.append((word, 1))
        elif runs[-1][0] != "...":
            runs.append(("...", 1))

    def calls(self) -> str:
        """The order of calls since the last step; empty if it was not looked at from its beginning."""
        if not self.whole:
            return ""
        key = tuple(self._runs)
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= 64:
                self._texts.clear()
            text = self._texts[key] = folded(key)
        return text

    def take_seconds(self) -> float:
        """Time that the hooks took since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds
