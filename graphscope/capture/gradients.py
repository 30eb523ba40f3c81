"""Backward -> gradients of activations, the loss and the ops between the root's output and the loss.

Tensor hooks, never ``register_full_backward_hook``: that one wraps the output in a view, and an in-place ReLU behind it
raises in the user's forward. A hook object holds an address and the pass, no tensor: a hook that closes over its tensor
keeps it alive for good, since the cycle runs through C++ where Python's collector does not look.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import unserializable_hook

from graphscope.capture.guard import Guard


class GradientHook:
    """Called with the gradient of one tensor; passes it on until the capture of its pass has ended."""

    def __init__(self, take: Callable[[Any, Tensor], None], key: Any) -> None:
        self.take: Callable[[Any, Tensor], None] | None = take
        self.key = key

    def __call__(self, gradient: Tensor) -> None:
        if self.take is not None:
            self.take(self.key, gradient)

    def release(self) -> None:
        """Does nothing from now on and holds nothing, however long the user keeps the tensor."""
        self.take = self.key = None

    def __deepcopy__(self, memo: Any) -> GradientHook:
        return GradientHook(_nothing, None)  # a copy of the user's tensor is not watched


def _nothing(key: Any, gradient: Tensor) -> None:
    return None


def hook_gradient(tensor: Tensor, take: Callable[[Any, Tensor], None], key: Any) -> tuple[GradientHook, Any] | None:
    """Hooks a tensor that will get a gradient: (hook, its handle); None if it will get none."""
    if not tensor.requires_grad:
        return None
    hook = GradientHook(take, key)
    unserializable_hook(hook)
    return hook, tensor.register_hook(hook)


class BackwardEnd:
    """What autograd calls when a backward is complete, and drops uncalled when something in it raised.

    Dropped means: its finalizer runs while the exception is on its way to the user, who gets it unchanged.
    """

    __slots__ = ("_done", "_failed", "_guard")

    def __init__(self, guard: Guard, done: Callable[[], None], failed: Callable[[], None]) -> None:
        self._guard = guard
        self._done = done
        self._failed: Callable[[], None] | None = failed

    def __call__(self) -> None:
        self._failed = None
        self._done()

    def __del__(self) -> None:
        failed, self._failed = self._failed, None
        if failed is None:
            return
        try:
            failed()
        except Exception as error:  # raising in a finalizer only prints
            self._guard.note(error)


def on_backward_end(end: BackwardEnd) -> None:
    """To be called in a hook of the backward that is meant."""
    torch.autograd.Variable._execution_engine.queue_callback(end)


def in_backward() -> bool:
    """Whether autograd runs this code: a recomputation by activation checkpointing is no new pass."""
    current = getattr(torch._C, "_current_graph_task_id", None)
    return current is not None and current() != -1


def backward_roots() -> tuple[Tensor, ...]:
    """The tensors on which the backward now running was called, found in the frames below; () if none is found."""
    frame = _engine_frame(sys._getframe(1))
    if frame is None:  # on a GPU the hook runs in a thread of the engine, and the call is on another one's stack
        frame = next(filter(None, map(_engine_frame, _frames_of_threads())), None)
    return () if frame is None else tuple(t for t in frame.f_locals["t_outputs"] if isinstance(t, Tensor))


def _engine_frame(frame: FrameType | None, limit: int = 200) -> FrameType | None:
    while frame is not None and limit:
        if frame.f_code.co_name == "_engine_run_backward" and "t_outputs" in frame.f_locals:
            return frame
        frame = frame.f_back
        limit -= 1
    return None


def _frames_of_threads() -> list[FrameType]:
    """The current frame of every thread.

    Without the collector: before CPython 3.12 ``sys._current_frames`` holds the interpreter's lock while it makes its
    objects, and a collection that begins there may wait for that lock for ever (python/cpython#106883).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return list(sys._current_frames().values())
    finally:
        if collects:
            gc.enable()


def loss_of(roots: tuple[Tensor, ...]) -> Tensor | None:
    """The loss among what backward was called on: its scalars' sum, detached; None if none is a scalar."""
    scalars = [t.detach() for t in roots if t.numel() == 1]
    if not scalars:
        return None
    return scalars[0] if len(scalars) == 1 else torch.stack([s.reshape(()).float() for s in scalars]).sum()
