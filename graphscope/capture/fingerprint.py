"""A forward that is not recorded -> one number, which changes when the graph did; 1 to 2 microseconds a module call.

While the root's forward runs, each of its modules has a tap (see taps.py for the slot, and why it is no hook) that
notes, when the call returns: which module, its mode, how many autograd nodes this thread made so far, and the output's
dtype and number of dimensions. Nothing is called for an op. The numbers of a pass, hashed together with the modes and
kinds of the root's inputs, are its fingerprint; passes with equal fingerprints are taken to have the same graph.

What a fingerprint does not see, so that a change stays unnoticed until the next recorded pass:

- an op in place of another with as many autograd nodes, dtype and dimensions (``sin`` for ``cos``), other edges between
  the same ops, other arguments (a stride, an index);
- without gradients (no_grad, frozen inputs) everything between two module calls: no autograd node counts it;
- ops after the root's output (the loss), ops and module calls in other threads, and the inside of compiled or scripted
  parts. In a model with a compiled part no module is tapped, since a tap would be compiled with it: there, and where
  the price of taps does not fit the budget, the fingerprint is that of the root's call alone: autograd nodes, modes,
  dtypes and dimensions of what goes in and comes out.

So every captured step is recorded anew, and without one a pass now and then, at doubling distances.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from graphscope.capture.compiled import compiled_functions, is_compiled, is_ours
from graphscope.capture.guard import Guard
from graphscope.capture.modules import walk_modules
from graphscope.capture.taps import SLOT

_nodes: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
_thread = threading.get_ident
_compiling = torch.compiler.is_dynamo_compiling
_frame = sys._getframe
_Logs = dict[int, "Sight"]
"""Thread -> its pass under way."""
_DEEP = 60
"""Levels of modules from which on the recursion limit is raised: a tap is one more Python frame a level."""


class _Tap:
    """What is called in place of one module while a forward is under way."""

    __slots__ = ("bound", "children", "guard", "logs", "module", "number", "size")

    def __init__(self, number: int, module: nn.Module, logs: _Logs, guard: Guard) -> None:
        self.number = number
        self.guard = guard
        self.module = weakref.ref(module)
        self.logs = logs
        self.children = _children(module)
        self.size = len(module.__dict__)
        self.bound = self.call

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What ``nn.Module.__call__`` runs instead of ``_call_impl``."""
        if _compiling():  # what Dynamo sees is this alone
            return self.module()._call_impl(*args, **kwargs)  # type: ignore[union-attr]
        # The caller's self, not ours: copies of a module's attributes (DataParallel, MAML) are called with their own.
        module = _frame(1).f_locals["self"]
        output = module._call_impl(*args, **kwargs)
        try:  # ``_note``, written out: this is the one place that every module call of a training pays for
            sight = self.logs.get(_thread())
            if sight is not None:
                if type(output) is Tensor:
                    sight.log.append((self.number, module.training, _nodes() - sight.began, output.dtype, output.ndim))
                else:
                    sight.log.append((self.number, module.training, _nodes() - sight.began))
        except Exception as error:
            self.guard.caught(error)
        return output

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call on behalf of a tap that took this one's place for a captured forward."""
        output = module._call_impl(*args, **kwargs)
        self._note(module, output)
        return output

    def _note(self, module: Any, output: Any) -> None:
        try:
            sight = self.logs.get(_thread())
            if sight is not None:
                if type(output) is Tensor:
                    sight.log.append((self.number, module.training, _nodes() - sight.began, output.dtype, output.ndim))
                else:
                    sight.log.append((self.number, module.training, _nodes() - sight.began))
        except Exception as error:  # inside the user's forward what is raised would be the user's
            self.guard.caught(error)


class _FusedTap(_Tap):
    """Of a module whose autograd nodes follow the length of a sequence (LSTM) or the run (scripted): not counted."""

    __slots__ = ()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        if _compiling():
            return self.module()._call_impl(*args, **kwargs)  # type: ignore[union-attr]
        return self.run(_frame(1).f_locals["self"], args, kwargs)

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = _nodes()
        output = module._call_impl(*args, **kwargs)
        sight = self.logs.get(_thread())
        if sight is not None:
            sight.began += _nodes() - before
        self._note(module, output)
        return output


class Sight:
    """One pass that is looked at."""

    __slots__ = ("active", "began", "cost", "fine", "fused", "key", "limit", "log", "nodes", "seconds")

    def __init__(self, key: tuple[Any, ...], fine: bool) -> None:
        self.key = key
        """Modes and kinds of the inputs: what is known before the pass."""
        self.fine = fine
        """Whether modules are tapped."""
        self.fused = False
        """Whether modules are there whose autograd nodes only a tap can leave out."""
        self.log: list[Any] = []
        self.began = 0
        """Autograd nodes made before it, and in it by fused ops."""
        self.nodes = 0
        """Autograd nodes made while it ran."""
        self.active = False
        self.limit = 0
        self.cost = 0.0
        """Seconds that looking took in all, before the pass, in it and after it."""
        self.seconds = 0.0
        """Those of them in it and after it."""


class Fingerprints:
    """Takes the fingerprints of one root's passes; taps are on while a pass runs and at no other time."""

    def __init__(self, root: nn.Module, guard: Guard) -> None:
        self._root = weakref.ref(root)
        self._guard = guard
        self._lock = threading.Lock()
        self._logs: _Logs = {}
        self._taps: list[_Tap] = []
        self._attached: list[_Tap] = []
        self._children: tuple[int, ...] | None = ()
        self._depth = 0
        self._fused = False
        self.read()
        tap_seconds()  # measured now, not in the first pass

    def read(self) -> None:
        """Looks at the modules anew."""
        root = self._root()
        self._taps, self._depth, self._fused = [], 0, False
        if root is None:
            return
        self._children = _children(root)
        taps: list[_Tap] = []
        closed: set[str] = set()
        depth: dict[str, int] = {}
        for number, (fqn, module, parent) in enumerate(walk_modules(root)):
            depth[fqn] = depth[parent] + 1 if parent is not None else 0
            if is_compiled(module) or next(compiled_functions(module), None) is not None:
                return
            scripted = isinstance(module, torch.jit.ScriptModule)
            if scripted or parent in closed:
                closed.add(fqn)
            if parent is not None and parent not in closed and _is_called(module):
                kind = _FusedTap if isinstance(module, nn.RNNBase | torch.jit.ScriptModule) else _Tap
                taps.append(kind(number, module, self._logs, self._guard))
        self._taps, self._depth = taps, max(depth.values())
        self._fused = any(isinstance(tap, _FusedTap) for tap in taps)

    @property
    def modules(self) -> int:
        """How many modules are tapped in a pass."""
        return len(self._taps)

    def begin(self, key: tuple[Any, ...], fine: bool) -> Sight:
        """Starts looking at a pass of this thread. ``finish`` ends it, whatever happens in between."""
        started = time.perf_counter()
        sight = Sight(key, fine)
        if fine:
            with self._lock:
                sight.fine = sight.active = bool(self._logs) or self._attach() or self._attach_anew()
                if sight.active:
                    self._logs[_thread()] = sight
            if sight.active and self._depth > _DEEP:
                sight.limit = sys.getrecursionlimit() + self._depth + 10
                sys.setrecursionlimit(sight.limit)
        sight.fused = self._fused
        sight.began = _nodes()
        sight.cost = time.perf_counter() - started
        return sight

    def finish(self, sight: Sight) -> None:
        """The pass is over: takes the taps off, if no other thread needs them."""
        started = time.perf_counter()
        sight.nodes = _nodes() - sight.began
        if sight.active:
            sight.active = False
            if sight.limit and sys.getrecursionlimit() == sight.limit:
                sys.setrecursionlimit(sight.limit - self._depth - 10)
            with self._lock:
                self._logs.pop(_thread(), None)
                if not self._logs:
                    self._detach()
        sight.seconds = time.perf_counter() - started + len(sight.log) * tap_seconds()
        sight.cost += sight.seconds

    def close(self) -> None:
        """Takes every tap off, whoever is under way."""
        with self._lock:
            self._logs.clear()
            self._detach()
            self._taps = []

    def _attach(self) -> bool:
        """Sets the taps; False if the model is not made of the same modules any more."""
        root = self._root()
        if root is None or _children(root) != self._children:
            return False
        attached = self._attached
        for tap in self._taps:
            module = tap.module()
            if module is None:
                return False
            attributes = module.__dict__
            if len(attributes) != tap.size or (attributes.get("_modules") and _children(module) != tap.children):
                return False
            if attributes.get(SLOT) is None:
                attributes[SLOT] = tap.bound
                attached.append(tap)
            elif not is_ours(attributes[SLOT]):
                return False  # compiled in place meanwhile
        return True

    def _attach_anew(self) -> bool:
        self._detach()
        self.read()
        if self._attach():
            return True
        self._detach()
        return False

    def _detach(self) -> None:
        behind: list[_Tap] = []
        for tap in self._attached:
            module = tap.module()
            if module is None:
                continue
            if module.__dict__.get(SLOT) is tap.bound:
                del module.__dict__[SLOT]
            elif SLOT in module.__dict__:
                behind.append(tap)  # a captured forward's tap is in front of it, until that forward ends
        self._attached[:] = behind


def fingerprint(sight: Sight, output: Any) -> tuple[int, int | None]:
    """A finished pass -> the root's fingerprint, and that with all its modules' (None where they were not tapped)."""
    # The root's own is the same with and without taps: fused ops' nodes are left out only with them, so none count.
    coarse = hash((sight.key, None if sight.fused else sight.nodes, _kind(output)))
    return coarse, hash((coarse, sight.nodes, *sight.log)) if sight.fine else None


def kinds_of(root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Modes and kinds of what a pass is given: all that is known of it before it runs."""
    modes = root.training, torch.is_grad_enabled(), torch._C._is_any_autocast_enabled()
    given = tuple(map(_kind, args))
    return (*modes, given, *[(name, _kind(kwargs[name])) for name in kwargs]) if kwargs else (*modes, given)


def _kind(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        return thing.dtype, thing.ndim, thing.requires_grad
    return thing if thing is None or type(thing) is bool else type(thing)


def _children(module: nn.Module) -> tuple[int, ...] | None:
    """Identities of a module's own modules; None where they are not asked for: the children of a scripted one."""
    return None if isinstance(module, torch.jit.ScriptModule) else tuple(map(id, module._modules.values()))


def _is_called(module: nn.Module) -> bool:
    """Whether a module has a forward: a ModuleList has none."""
    return "forward" in module.__dict__ or getattr(type(module), "forward", None) is not nn.Module.forward


@cache
def tap_seconds() -> float:
    """What one tap takes on this machine, measured once."""
    module, sight, rounds = nn.Identity(), Sight((), True), 200
    tap = _Tap(0, module, {_thread(): sight}, Guard())
    took = [0.0, 0.0]
    for tapped in (0, 1):
        if tapped:
            module.__dict__[SLOT] = tap.bound
        started = time.perf_counter()
        for _ in range(rounds):
            module(None)
        took[tapped] = time.perf_counter() - started
    return max(0.0, took[1] - took[0]) / rounds
