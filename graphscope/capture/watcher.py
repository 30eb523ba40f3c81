"""A model in the user's loop -> records, step by step.

For the time of the watch the root's ``_compiled_call_impl`` (an instance attribute that ``nn.Module.__call__`` looks at
first and ``__getstate__`` drops) is a wrapper around ``root._call_impl``. So nothing hangs in the model's hook
dictionaries: a pickle or deep copy of a watched model is an unwatched model, and loads where GraphScope is absent.
Steps are counted by the optimizer hooks that torch keeps for all optimizers.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from graphscope.capture.arrival import sent
from graphscope.capture.bursts import Bursts
from graphscope.capture.changes import Directions
from graphscope.capture.compiled import COMPILED_GLOBAL, ROOT_COMPILED, calls_compiled_globals, is_called_compiled
from graphscope.capture.fingerprint import Fingerprints, Sight, fingerprint, kinds_of
from graphscope.capture.forward import ForwardCapture, error_text
from graphscope.capture.gradient_state import gradient_state, state_at_step, when_all_is_done
from graphscope.capture.gradients import in_backward
from graphscope.capture.guard import Guard
from graphscope.capture.inside import Looks
from graphscope.capture.loss_tap import LossTap
from graphscope.capture.modules import ModuleTree, read_modules, trainable_parameters, tree_signature
from graphscope.capture.optimizers import Optimizers, learning_rate
from graphscope.capture.pass_log import PassLog, mode_dependent_in_train
from graphscope.capture.plan import STRUCTURE_ONLY, Schedule, Selection, measures_ops
from graphscope.capture.protocol import Protocol
from graphscope.capture.sentinel import BURST
from graphscope.capture.stale import StaleGradients
from graphscope.capture.step import BACKWARD, AddressNumbers, ParameterCapture, Pass, gradient_norm, stats_record
from graphscope.capture.topologies import Topologies
from graphscope.schema import Note, PassRecord, StepRecord

KEPT_BEFORE = 32
"""Captured steps before an anomaly that its note names, and that a slow disk does not cost."""
NO_FORWARD = (
    "The optimizer stepped without a forward of {0}: the model is called through another method than forward, or only "
    "its parts are. Calls of {0}(...) are what is watched, so there is no graph and no activation; watch the module "
    "that is called, or call the method from forward. Parameters, their gradients and updates are recorded."
)
MOST_PASSES = 64
"""Forwards of one step that are captured; the recordings of all live until the step is over."""
Sink = Callable[[Sequence[Any]], None]


_ATTACHED: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _silence() -> None:
    for watcher in _ATTACHED:
        watcher.silent = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_silence)


class Watcher:
    """Attached to one root module between ``attach`` and ``detach``."""

    def __init__(
        self, root: nn.Module, optimizer: Any, *, schedule: Schedule, selection: Selection, guard: Guard, sink: Sink,
        loss_fn: nn.Module | None = None,
    ) -> None:  # fmt: skip
        self.root = weakref.ref(root)
        self.schedule = schedule
        self.selection = selection
        self.guard = guard
        self.sink: Sink = lambda records: sink(sent(records))
        self.step = 0
        self._next_step: int | None = None
        """Number of the next step, if the user said one while this one was under way."""
        self.epoch: int | None = None
        self.logged: dict[str, float] = {}
        self.captured_steps = 0
        self.tree: ModuleTree = read_modules(root)
        self.observes_ops = not calls_compiled_globals(root)
        self._optimizers = Optimizers(self.root, optimizer)
        self._numbers = AddressNumbers()
        self._known_graphs: set[str] = set()
        self._log = PassLog()
        self.looks = Looks()
        self._fingerprints = Fingerprints(root, guard)
        self._topologies = Topologies()
        self._state: str | None = None
        """What the gradients of the last pass will be when backward is done."""
        self._topology: int | None = None
        """Of the last pass with gradients of this step."""
        self._fine = True
        """Whether modules are tapped in the step under way."""
        self._fine_seconds = self._fine_cost = 0.0
        self._protocol = Protocol(self.root, guard, self._optimizers.any)
        self._protocol.begins = self._backward_sight
        self._stale = StaleGradients()
        self._directions = Directions()
        self.bursts = Bursts(schedule, whole=selection.is_whole)
        self._last_captured: deque[int] = deque(maxlen=KEPT_BEFORE)
        self._tap = LossTap(guard, loss_fn)
        self._capturing = False
        self._passes: list[Pass] = []
        self._parameters: ParameterCapture | None = None
        self._names: dict[str, nn.Parameter] = {}
        self._grad_passes = 0
        self._usual: deque[int] = deque([1], maxlen=8)
        """Training passes of the last steps: a step with more of them may be one whose update is skipped."""
        self._skips = self._burst_left = self._told_passes = 0
        """Skipped updates of this step that were looked at; those still to be captured; passes already recorded."""
        self._called = False
        """Whether a forward with gradients was ever seen, or its absence told."""
        self._backward_seen = False
        self._inside = threading.local()
        self._one_at_a_time = threading.Lock()
        self.silent = False
        """In a process that was forked from the one that watches: it runs as if nobody did."""
        self._self_seconds = self._traced_seconds = 0.0
        self._started = self._last_step = time.perf_counter()
        self._steps_done = 0
        self._last_done = -1
        self._handles: list[Any] = []

    # Attaching.

    def attach(self) -> None:
        """Begins the watch; ``detach`` undoes every part of it."""
        root = self.root()
        assert root is not None
        _ATTACHED.add(self)
        root.__dict__["_compiled_call_impl"] = self._call
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self._tap.attach()
        if not self.observes_ops:
            self.sink([Note(severity="info", text=COMPILED_GLOBAL)])
        self.guard.run(self._begin_step)

    def count_from(self, step: int) -> None:
        """The step under way has this number; the next one, if something of this one was seen already."""
        if step == self.step:
            return
        if self._grad_passes or self._parameters is not None:
            self._next_step = step
        else:
            self.step = step

    @property
    def first_free(self) -> int:
        """The lowest number that a step which is still to come may have."""
        begun = self._grad_passes or self._parameters is not None
        return self.step + 1 if begun else self._last_done + 1

    def detach(self) -> None:
        """Leaves the model and torch as they were, and writes what of a step is there."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        root = self.root()
        if root is not None and root.__dict__.get("_compiled_call_impl") == self._call:
            del root.__dict__["_compiled_call_impl"]
        if self.silent:  # a lock of ours may have been held when this process was forked
            return
        self.guard.undo(self._fingerprints.close)
        self._protocol.release()
        self._tap.detach()
        self.guard.run(self._end_watch)

    def _end_watch(self) -> None:
        if self._grad_passes and self._counts_passes() and (self._tap.fired or not self._backward_seen):
            self._end_step(None)
        self._flush_partial()

    def _flush_partial(self) -> None:
        """A step that never reached its optimizer still has passes and perhaps gradients to show."""
        records = self._pass_records() + self._log.flush(self.step)
        if records:
            self.sink(records)

    # The root's call.

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        root = self.root()
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            return root._call_impl(*args, **kwargs)  # type: ignore[union-attr]
        # DataParallel copies __dict__ into replicas: then the caller's self is the module that was meant.
        return self.run(sys._getframe(1).f_locals.get("self"), args, kwargs)

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of the root, on behalf of whoever was called."""
        root = self.root()
        if module is not root or root is None:
            return module._call_impl(*args, **kwargs)
        if getattr(self._inside, "value", False) or self.guard.failure or self.silent or in_backward():
            return root._call_impl(*args, **kwargs)
        self._inside.value = True
        try:
            return self._watched_call(root, args, kwargs)
        finally:
            self._inside.value = False

    def _watched_call(self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        begun = self._timed(self._begin_pass, root, args, kwargs)
        if begun is None:
            return root._call_impl(*args, **kwargs)
        capture, sight = begun
        try:
            try:
                if capture is None:
                    output = root._call_impl(*args, **kwargs)
                else:
                    with capture:
                        output = capture.run(root, args, kwargs)
            finally:
                self.guard.undo(self._fingerprints.finish, sight)
                if capture is not None:
                    self._one_at_a_time.release()
        except Exception as error:
            self._timed(self._end_raising, capture, error)
            raise
        self._timed(self._end_pass, capture, sight, output)
        return output

    def _timed(self, work: Callable[..., Any], *args: Any) -> Any:
        started = time.perf_counter()
        result = self.guard.run(work, *args)
        self._self_seconds += time.perf_counter() - started
        return result

    def _begin_pass(
        self, root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[ForwardCapture | None, Sight]:
        learns = torch.is_grad_enabled()
        if learns:
            self._begin_training_pass()
        self._protocol.forward(root.training, learns)
        if learns and self._grad_passes > 1:
            self._go_on()
        key = kinds_of(root, args, kwargs)
        due = learns and self._capturing and len(self._passes) < MOST_PASSES
        unplanned = not due and self._topologies.wants(key) and self.schedule.affords_trace(self.step)
        capture = None
        # Of forwards at the same time, in several threads, one is recorded: they share the modules' slots.
        if (due or unplanned) and self.observes_ops and self._one_at_a_time.acquire(blocking=False):
            if tree_signature(root) != self.tree.signature:
                self.tree = read_modules(root)
                self._fingerprints.read()
            selection = self.selection if due else STRUCTURE_ONLY
            capture = self.looks.capture(due, root, self.tree, self.step, selection, self.guard, self._inside)
            capture.gradients.measures = measures_ops(selection, self.schedule, self.captured_steps)
            capture.take_inputs(root, args, kwargs)
        return capture, self._fingerprints.begin(key, self._fine)

    def _begin_training_pass(self) -> None:
        if self._grad_passes and self._counts_passes() and (self._tap.fired or not self._backward_seen):
            self._end_step(None)  # no optimizer: the next training forward begins a new step
        if not self._grad_passes and self.schedule.forced:
            self._capturing = True  # asked for between two steps, when this one had been decided already
        self._grad_passes += 1
        self._called = True

    def _go_on(self) -> None:
        """Another pass of the same step: gradients are accumulated, or the update was skipped (GradScaler, NaN)."""
        if self._protocol.stepping or self._counts_passes():
            return
        if self._protocol.skipped > self._skips:
            self._skips = self._protocol.skipped
            if self._passes:  # the next pass would take the place of its rows, and the step may never end
                told = self._told_passes + len(self._passes)
                self._flush_partial()
                self._told_passes = told
            if self._burst_left:
                self._burst_left -= 1
                self._capturing = self._burst_left > 0
        notes = self.bursts.within_step(self.step, self._tap.known(), self._skips, self._steps_done == 0)
        if notes:
            self.sink(notes)
            if not self._capturing:
                self._capturing, self._burst_left = True, BURST
        if self._grad_passes > max(self._usual):
            self._protocol.look_late()

    def _counts_passes(self) -> bool:
        """Whether steps are counted by forwards, since no optimizer updates the model."""
        return not self._optimizers.any()

    def _backward_failed(self) -> None:
        """What was seen up to there is recorded at once: the step may never end."""
        self.guard.run(self._flush_partial)

    def _gradients_by_hand(self) -> None:
        """Autograd is done and no optimizer is known: a loop that updates by hand, or before its first step."""
        root = self.root()
        if root is not None and self._capturing and self._optimizers.may_be_none():
            self._parameters = self._parameters or ParameterCapture(self.selection, self._directions)
            self._parameters.after_backward(trainable_parameters(root), self._state)

    def _end_pass(self, capture: ForwardCapture | None, sight: Sight, output: Any) -> None:
        root = self.root()
        if root is None:
            return
        topology = self._topologies.number(*fingerprint(sight, output))
        self._self_seconds += sight.seconds
        self._fine_seconds += sight.cost
        learns = torch.is_grad_enabled()
        if learns:
            self._topology = topology
            started = time.perf_counter()
            self._protocol.output(output)
            self._state = gradient_state(root) if self._capturing and self._optimizers.may_be_none() else None
            self._fine_seconds += time.perf_counter() - started
        if capture is None:
            self._topologies.saw(topology, sight.key)
            self._end_light_pass(root, topology, output)
            return
        self._topologies.recorded(topology)
        index = self._told_passes + len(self._passes) if learns else self._log.index()
        one = Pass(capture, index, root.training, learns, topology, self._backward_failed)
        if not learns:
            records = one.records(self._known_graphs, self._numbers, mode_dependent_in_train(root))
            self._topologies.learn(topology, one.graph_id)
            self._account(one)
            self.sink([*self._log.flush(self.step), *records])
            return
        known = None if topology is None else self._topologies.graphs.get(topology)
        one.walks = known is None or known + BACKWARD not in self._known_graphs
        self._passes.append(one)
        self._tap.hook(output, one, self._backward_begins)

    def _end_light_pass(self, root: nn.Module, topology: int | None, output: Any) -> None:
        if torch.is_grad_enabled():
            late = self._protocol.on and not self._protocol.whole
            if self._capturing or late or self.schedule.wants_loss():
                self._tap.hook(output, None, self._backward_begins)
            return
        layers = () if self._log.same(root.training) else mode_dependent_in_train(root)
        news = self._log.add(self.step, root.training, layers, topology)
        if news:
            self.sink(news)

    def _backward_sight(self) -> None:
        self._backward_seen = True
        if self._capturing and self._optimizers.may_be_none():
            when_all_is_done(partial(self._timed, self._gradients_by_hand))

    def _backward_begins(self) -> None:
        self._backward_seen = True
        self._stale.look()

    def _end_raising(self, capture: ForwardCapture | None, error: Exception) -> None:
        """A forward that raised: the part that ran, or where nothing was recorded its text at least."""
        self._protocol.raised()
        root = self.root()
        if capture is not None:
            self._passes.append(Pass(capture, len(self._passes), bool(root and root.training), torch.is_grad_enabled()))
            self._flush_partial()
            return
        record = PassRecord(
            step=self.step, pass_index=self._grad_passes, graph_id=None, training=bool(root and root.training),
            grad_enabled=torch.is_grad_enabled(), error=error_text(error),
        )  # fmt: skip
        self.sink([*self._log.flush(self.step), record])

    # The optimizer's step.

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self.silent:
            self._timed(self._take_before, optimizer, args, kwargs)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.silent:
            return
        started = time.perf_counter()
        ends = self.guard.run(self._take_after, optimizer)
        self._self_seconds += time.perf_counter() - started
        if ends:
            self.guard.run(self._end_step, optimizer)

    def _take_before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._protocol.before_step(optimizer)
        odd = False
        if self._optimizers.is_primary(optimizer):
            self._tap.unscale()
            gradients = None if self._capturing else self._gradients
            last = optimizer.param_groups[-1]["params"][-1:]
            odd = self.bursts.before_step(self.step, self._tap.known(), gradients, last[0].grad if last else None)
        if self._capturing or odd:
            self._names = self._optimizers.owned(optimizer)
            if self._names:
                self._parameters = self._parameters or ParameterCapture(self.selection, self._directions)
                self._parameters.before(self._names, state_at_step(optimizer, args, kwargs))

    def _gradients(self) -> list[Tensor]:
        root = self.root()
        return [] if root is None else [p.grad for p in trainable_parameters(root).values() if p.grad is not None]

    def _take_after(self, optimizer: Optimizer) -> bool:
        if self._parameters is not None and self._names:
            self._parameters.after(self._names)
            self._names = {}
        primary = self._optimizers.is_primary(optimizer)
        self._protocol.after_step(optimizer, primary)
        return primary

    def _begin_step(self) -> None:
        self._capturing = bool(self.guard.run(self.schedule.wants, self.step))
        closely = self._capturing or self.schedule.affords(self._fine_cost)
        self._fine = self.observes_ops and closely
        self._protocol.begin_step(closely)
        self._fine_seconds = 0.0
        self._topology = None
        self._passes = []
        self._parameters = None
        self._grad_passes = self._skips = self._burst_left = self._told_passes = 0
        self._tap.begin_step()

    def _end_step(self, optimizer: Optimizer | None) -> None:
        now = time.perf_counter()
        traced = self._traced_seconds
        root = self.root()
        records: list[Any] = list(self._log.flush(self.step))
        captured = self._parameters is not None or not all(one.unplanned for one in self._passes)
        captured = captured or self._told_passes > 0
        self._usual.append(self._grad_passes)
        scalars = {**self._tap.scalars(), **learning_rate(optimizer), **self.logged}
        records += self._tap.deferred(self.step, self.bursts.arrived)
        records += self._pass_records(self._parameters)
        if captured:
            self.captured_steps += 1
            if (norm := gradient_norm(records)) is not None:
                scalars["grad_norm"] = norm
            self._last_captured.append(self.step)
        records += self.bursts.end_step(self.step, scalars, list(self._last_captured))
        passes, stale = self._grad_passes, self._stale.verdict()
        if not self._called and root is not None:
            self._called = True
            why = ROOT_COMPILED if is_called_compiled(root, self._call) else NO_FORWARD
            records.append(Note(severity="warning", text=why.format(type(root).__name__), step=self.step))
        if root is not None:
            self._stale.remember(root)
        hooks = self._protocol.take_seconds()
        self._fine_seconds += hooks
        self._learn_fine_cost(passes)
        self._self_seconds += (
            hooks + self._tap.take_seconds() + (time.perf_counter() - now) - (self._traced_seconds - traced)
        )
        # The clock runs from optimizer step to optimizer step, so the first step has no length.
        step_seconds = now - self._last_step if self._steps_done else None
        records.append(
            StepRecord(
                step=self.step, captured=captured, passes=passes, seconds=now - self._started,
                step_seconds=step_seconds, self_seconds=self._self_seconds + self._traced_seconds, scalars=scalars,
                stale_gradients=stale, epoch=self.epoch, topology=self._topology,
                calls=self._protocol.calls(), backwards=self._protocol.backwards if self._protocol.whole else None,
                skipped=self._protocol.skipped if self._protocol.whole else None,
            )
        )  # fmt: skip
        self.schedule.account(self.step, captured, step_seconds, self._self_seconds, self._traced_seconds)
        told = time.perf_counter()
        self.sink(records)
        self.logged = {}
        # Handing the records over is ours too; it is known too late for this step and counts in the next.
        self._self_seconds, self._traced_seconds = time.perf_counter() - told, 0.0
        self._last_step = now
        done = self.step
        self.step = self.step + 1 if self._next_step is None else self._next_step
        self._next_step = None
        self._steps_done += 1
        self._last_done = done
        self._begin_step()

    def _learn_fine_cost(self, passes: int) -> None:
        """What taps and protocol take in a step: a slow one is forgotten; where they are off, they are tried again."""
        if not self._protocol.whole:
            self._fine_cost *= 0.99
        elif passes:
            taken = self._fine_seconds
            self._fine_cost = min(taken, 0.9 * self._fine_cost + 0.1 * taken) if self._fine_cost else taken

    def _pass_records(self, parameters: ParameterCapture | None = None) -> list[Any]:
        """Records of the captured passes so far and the table of all their rows (of an address the last pass's)."""
        passes, self._passes = self._passes, []
        records: list[Any] = []
        rows: dict[Any, Any] = {}
        for one in passes:
            started = time.perf_counter()
            rows.update(one.capture.activations.rows)
            records += one.records(self._known_graphs, self._numbers)
            if not one.capture.error:
                self._topologies.learn(one.topology, one.graph_id)
            self._account(one, time.perf_counter() - started if one.unplanned else 0.0)
        if parameters is not None:
            rows.update(parameters.rows)
        if rows:
            state = None if parameters is None else parameters.state
            stats = stats_record(self.step, max(0, self._told_passes + len(passes) - 1), rows, self._numbers, state)
            news = self._numbers.news()
            records += [news, stats] if news is not None else [stats]
        return records

    def _account(self, one: Pass, seconds: float = 0.0) -> None:
        """What recording one pass took, gradient hooks after the forward included."""
        seconds += one.capture.take_seconds()
        if one.unplanned:
            self._traced_seconds += seconds
        else:
            self._self_seconds += seconds
