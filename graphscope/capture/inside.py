"""One call of one module, asked for -> the aten ops that ran in it: AtenOps.

On the captured step a ``TorchDispatchMode`` is on exactly while that call runs: it is entered inside the module's tap,
around the module's own call, and left on every way out. What GraphScope itself computes meanwhile, for nested modules
and for the ops of the graph, is not recorded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from graphscope.capture.compiled import calls_compiled_globals, compiled_functions, is_compiled
from graphscope.capture.forward import ForwardCapture, error_text
from graphscope.capture.gradients import in_backward
from graphscope.capture.guard import Guard
from graphscope.capture.modules import walk_modules
from graphscope.capture.ops import OpRecorder
from graphscope.capture.taps import Tap
from graphscope.capture.values import ValueTable, dtype_of, shape_of, tensors_in
from graphscope.errors import CannotLookInside, UnknownAddress, did_you_mean
from graphscope.schema import AtenOps, Note

MOST_OPS = 10_000
MOST_ASKED = 16
"""Calls that can wait to be looked into; each takes a captured step."""
MOST_NAME = 120
Described = list[tuple[str, tuple[int, ...]]]
"""(dtype, shape) of tensors."""


class AtenRecorder(TorchDispatchMode):
    """Records the aten ops that run while it is entered and not paused."""

    supports_higher_order_operators = True  # without it PyTorch refuses those that the user's code calls

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.guard = guard
        self.recording = self.paused = False
        self.error: str | None = None
        self.count = 0
        self.self_seconds = 0.0
        self._names: dict[str, int] = {}
        self._rows: list[tuple[int, float, int, int]] = []
        self.nodes: list[int] = []
        self._tensors: Described = []

    def __enter__(self) -> AtenRecorder:
        self.recording = True
        super().__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.recording = False
        if error is not None:
            self.error = error_text(error)
        if _get_current_dispatch_mode() is self:  # else a mode of the user's was left on top: ours passes ops on
            super().__exit__(kind, error, trace)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused or not self.recording:
            return func(*args, **kwargs)
        entered = time.perf_counter()
        read = self.guard.run(_described, (args, kwargs))  # before an op that changes a shape in place
        started = time.perf_counter()
        try:
            result = func(*args, **kwargs)
        except BaseException:
            self.guard.run(self._take, func, read, None, time.perf_counter() - started)
            raise
        seconds = time.perf_counter() - started
        self.guard.run(self._take, func, read, result, seconds)
        self.self_seconds += time.perf_counter() - entered - seconds
        return result

    def _take(self, func: Any, read: Described | None, result: Any, seconds: float) -> None:
        self.count += 1
        if self.count > MOST_OPS or read is None:
            return
        made = _described(result)
        name = self._names.setdefault(str(func)[:MOST_NAME], len(self._names))
        self._rows.append((name, seconds, len(read), len(made)))
        self.nodes.append(-1)
        self._tensors += read + made

    def record(self, step: int, pass_index: int, fqn: str, call: int, graph_id: str) -> AtenOps:
        """What was recorded, as one record."""
        name, seconds, inputs, outputs = zip(*self._rows, strict=True) if self._rows else ((), (), (), ())
        dtypes = {dtype: i for i, dtype in enumerate(dict.fromkeys(dtype for dtype, _ in self._tensors))}
        return AtenOps(
            step=step,
            pass_index=pass_index,
            fqn=fqn,
            call=call,
            graph_id=graph_id,
            names=list(self._names),
            name=np.array(name, np.uint32),
            node=np.array(self.nodes, np.int32),
            seconds=np.array(seconds, np.float64),
            inputs=np.array(inputs, np.uint32),
            outputs=np.array(outputs, np.uint32),
            dtype=np.array([dtypes[dtype] for dtype, _ in self._tensors], np.uint8),
            ndim=np.array([len(shape) for _, shape in self._tensors], np.uint8),
            sizes=np.array([size for _, shape in self._tensors for size in shape], np.int64),
            dtypes=list(dtypes),
            left_out=self.count - len(self._rows),
            error=self.error,
        )


def _described(thing: Any) -> Described:
    return [(dtype_of(tensor), shape_of(tensor)) for tensor in tensors_in(thing)]


class MarkingRecorder(OpRecorder):
    """An OpRecorder that also tells aten ops the node of the op in which they ran."""

    def __init__(self, values: ValueTable, guard: Guard, aten: AtenRecorder) -> None:
        super().__init__(values, guard)
        self.aten = aten

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        nodes, ops, first = self.aten.nodes, len(self.tape), len(self.aten.nodes)
        try:
            return super().__torch_function__(func, types, args, kwargs)
        finally:
            if len(self.tape) > ops:
                nodes[first:] = [len(self.tape) - 1] * (len(nodes) - first)

    def _record(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, result: Any
    ) -> None:
        self.aten.paused = True
        try:
            super()._record(func, args, kwargs, result)
        finally:
            self.aten.paused = False


class InsideCapture(ForwardCapture):
    """A ForwardCapture that looks into one call of one module as well."""

    def __init__(self, fqn: str, call: int, *args: Any) -> None:
        super().__init__(*args)
        self._fqn = fqn
        self._call = call
        self._calls = 0
        self._ran = False

    def _recorder(self) -> OpRecorder:
        self._aten = AtenRecorder(self.guard)
        return MarkingRecorder(self.values, self.guard, self._aten)

    def _around(self, tap: Tap, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        if threading.get_ident() != self._elsewhere.home or in_backward():
            return super()._around(tap, module, call, args, kwargs)
        if self._aten.recording:
            return self._nested(tap, module, call, args, kwargs)
        if tap.fqn == self._fqn and module is not None:
            self._calls += 1
            if self._calls == self._call + 1:
                return super()._around(tap, module, self._looked_into(call), args, kwargs)
        return super()._around(tap, module, call, args, kwargs)

    def _looked_into(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked_into(*args: Any, **kwargs: Any) -> Any:
            self._ran = True
            with self._aten:
                return call(*args, **kwargs)

        return looked_into

    def _nested(self, tap: Tap, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        """A call inside the one that is looked into: what we measure of it is not recorded, its own ops are."""
        aten = self._aten

        def unpaused(*args: Any, **kwargs: Any) -> Any:
            aten.paused = False
            try:
                return call(*args, **kwargs)
            finally:
                aten.paused = True

        aten.paused = True
        try:
            return super()._around(tap, module, unpaused, args, kwargs)
        finally:
            aten.paused = False

    def take_seconds(self) -> float:
        seconds, self._aten.self_seconds = self._aten.self_seconds, 0.0
        return seconds + super().take_seconds()

    def more_records(self, pass_index: int, graph_id: str) -> list[Any]:
        """AtenOps, or a Note that the call did not come."""
        if self._ran:
            return [self._aten.record(self.step, pass_index, self._fqn, self._call, graph_id)]
        times = f"ran {self._calls} times" if self._calls else "did not run"
        text = (
            f"look_inside({self._fqn!r}, call={self._call}): this module {times} in the thread of the forward at step "
            f"{self.step}, so there is nothing to show. Ask again, or for another call."
        )
        return [Note(severity="warning", text=text, step=self.step)]


class Looks:
    """What was asked to be looked into and waits for a captured step. Any thread may ask."""

    def __init__(self) -> None:
        self._asked: deque[tuple[str, int]] = deque()

    def ask(self, root: nn.Module, fqn: str, call: int) -> int:
        """Notes a request; how many wait. Raises UnknownAddress, CannotLookInside."""
        if len(self._asked) >= MOST_ASKED:
            raise CannotLookInside(
                f"look_inside({fqn!r:.80}): {MOST_ASKED} requests wait already, and each takes a captured step. "
                "Train on, then ask again."
            )
        found = checked_target(root, fqn)
        if not isinstance(call, int) or isinstance(call, bool) or call < 0:
            raise UnknownAddress(f"look_inside({fqn!r:.80}, call={call!r:.20}): wanted 0 for its first call, 1 ...")
        if (found, call) not in self._asked:
            self._asked.append((found, call))
        return len(self._asked)

    def capture(self, due: bool, *args: Any) -> ForwardCapture:
        """The capture of a forward: one that looks inside, if that was asked for and the pass is ``due``."""
        if due and self._asked:
            return InsideCapture(*self._asked.popleft(), *args)
        return ForwardCapture(*args)


def checked_target(root: nn.Module, fqn: str) -> str:
    """The path of a module whose call can be looked into, as this run names it.

    Raises UnknownAddress where there is none, CannotLookInside where the mode would change what runs.
    """
    if not isinstance(fqn, str):
        raise UnknownAddress(f"look_inside({type(fqn).__name__}): wanted the path of a module, such as 'layer1.conv'.")
    walked = list(walk_modules(root))
    modules = {path: module for path, module, _ in walked}
    if fqn not in modules:  # a second name of a shared module
        same = dict(root.named_modules(remove_duplicate=False)).get(fqn)
        first = next((path for path, module in modules.items() if module is same), None)
        if first is None:
            some = ", ".join(list(modules)[1:6]) or "none but the root, ''"
            raise UnknownAddress(
                f"look_inside({fqn!r:.80}): {type(root).__name__} has no module of that path. It has {some}"
                f"{' ...' if len(modules) > 6 else ''}.{did_you_mean(str(fqn)[:200], modules)}"
            )
        fqn = first
    parents = {path: parent for path, _, parent in walked}
    above: list[str] = []
    path: str | None = fqn
    while path is not None:
        above.append(path)
        path = parents[path]
    if calls_compiled_globals(root):
        raise CannotLookInside(f"look_inside({fqn!r:.80}): its forward calls functions made by torch.compile. {WHY}")
    for path, module in modules.items():
        inside = path == fqn or not fqn or path.startswith(f"{fqn}.")
        if not inside and path not in above:
            continue
        how = "compiled by torch.compile" if is_compiled(module) or any(compiled_functions(module)) else ""
        how = "scripted or traced" if isinstance(module, torch.jit.ScriptModule) else how
        if how and (inside or how.startswith("script") or is_compiled(module)):
            who = "it" if path == fqn else f"{path or type(root).__name__}"
            where = "" if path == fqn else ", which is part of it," if inside else ", which it is part of,"
            raise CannotLookInside(f"look_inside({fqn!r:.80}): {who}{where} is {how}. {WHY}")
    return fqn


WHY = (
    "A dispatch mode would change what runs there, so it is not looked into. Look at a module beside it, or watch the "
    "model as it was before."
)
