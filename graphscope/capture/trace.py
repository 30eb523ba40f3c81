"""One forward of ours -> its Graph; the model, its modes and all random states are as before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graphscope.capture.forward import ForwardCapture, error_text
from graphscope.capture.guard import Guard
from graphscope.capture.modules import Walked, first_lazy, read_modules, walk_modules
from graphscope.capture.plan import STRUCTURE_ONLY, Selection
from graphscope.capture.restore import restored
from graphscope.capture.values import dtype_of, shape_of, tensors_in
from graphscope.errors import InputMismatch, NotAModule, Uninitialized, UnknownName
from graphscope.graph import Graph


def checked_model(call: str, model: object) -> nn.Module:
    """The model itself. Raises NotAModule, saying what was given, for anything else."""
    if isinstance(model, nn.Module):
        return model
    hint = ""
    if isinstance(model, type) and issubclass(model, nn.Module):
        hint = f" Did you mean an instance, {model.__name__}(...)?"
    elif isinstance(model, dict):
        hint = " This looks like a state_dict; load it into its model first."
    raise NotAModule(
        f"{call}: found {type(model).__name__ if not isinstance(model, type) else 'the class ' + model.__name__}, "
        f"wanted a torch.nn.Module.{hint}"
    )


def captured_forward(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], selection: Selection,
    after: Callable[[Any], Any] | None = None, call: str = "trace",
    begun: Callable[[ForwardCapture], None] | None = None,
) -> ForwardCapture:  # fmt: skip
    """Runs the forward (and ``after``, a loss, on its output, in the root's scope) and restores the model.

    Raises Uninitialized before anything ran where a parameter is lazy still, which could not be undone; InputMismatch,
    which also is of the type of the forward's own exception, with the partial graph.
    """
    walked = list(walk_modules(model))
    _refuse_lazy(call, model, walked)
    tree = read_modules(model, walked)
    capture = ForwardCapture(model, tree, 0, selection, Guard(strict=True), walked=walked)
    if begun is not None:
        begun(capture)
    raising = "its forward"
    try:
        with restored(model, [module for _, module, _ in walked]), capture:
            capture.take_inputs(model, args, kwargs)
            output = capture.run(model, args, dict(kwargs))
            if after is not None:
                raising = "loss_fn, on its output,"
                capture.ops.stack.append(0)
                after(output)
    except Exception as error:
        raise _mismatch(call, raising, model, args, kwargs, capture, error) from error
    finally:
        capture.finish()
    return capture


def _refuse_lazy(call: str, model: nn.Module, walked: list[Walked]) -> None:
    name = first_lazy(walked)
    if name is not None:
        raise Uninitialized(
            f"{call}({type(model).__name__}): {name} has no shape yet (a lazy module). A forward gives it one and "
            "draws its values, for good, and looking must not change the model: run it once on your data first, "
            "such as model(x), then call this again."
        )


def _mismatch(
    call: str, raising: str, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any],
    capture: ForwardCapture, error: Exception,
) -> InputMismatch:  # fmt: skip
    given = ", ".join([f"{dtype_of(t)}{list(shape_of(t))}" for t in tensors_in((args, dict(kwargs)))] or ["no tensor"])
    graph = capture.graph()
    last = graph.nodes[-1] if graph.nodes and graph.nodes[-1].failed else None
    where = ""
    if last is not None:
        where = f" in {last.fqn or type(model).__name__} ({last.op}"
        where += f", {Path(last.source[0]).name}:{last.source[1]})" if last.source else ")"
    wanted = (
        "inputs as the model takes them in training."
        if raising == "its forward"
        else "target and loss_fn as the training uses them, loss_fn(output, target)."
    )
    text = (
        f"{call}({type(model).__name__}, {given}): {raising} raised{where}: {error_text(error)}. "
        f"Wanted: {wanted} The graph up to there is in the error's .graph."
    )
    kind: type[InputMismatch] = InputMismatch
    try:  # also an instance of what the forward raised, so that `except RuntimeError` still catches it
        kind = type("InputMismatch", (InputMismatch, type(error)), {"__module__": "graphscope.errors"})
        mismatch = kind(text)
    except TypeError:  # exceptions whose layout or arguments are their own
        mismatch = InputMismatch(text)
    mismatch.graph = graph
    return mismatch


def trace(model: nn.Module, *args: Any, **kwargs: Any) -> Graph:
    """One forward with the given inputs -> Graph, in the mode the model is in, with gradients as they are enabled.

    Buffers, training mode and the random states of torch, Python and numpy are restored, also when it raises; other
    Python state that the forward changes is the model's own.

    Raises NotAModule for anything but a module; Uninitialized where lazy parameters have no shape yet; InputMismatch
    where the forward raises, with the part that ran as ``.graph``, and also an instance of what the forward raised.
    """
    checked_model("trace(model, ...)", model)
    return captured_forward(model, args, kwargs, STRUCTURE_ONLY).graph()


def trace_with(
    model: nn.Module, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None, *, backward: bool = True
) -> Graph:
    """``trace(model, *args, **kwargs)`` with more looked at: the arguments of the forward come as a tuple and a dict.

    backward   the autograd graph behind the outputs is walked, too, and is the Graph's ``autograd``. No backward runs.

    Raises as :func:`trace`, and UnknownName where the arguments are neither a tuple or list nor a dict.
    """
    checked_model("trace_with(model, ...)", model)
    if not isinstance(args, tuple | list) or not isinstance(kwargs, Mapping | None):
        wrong, name = (args, "args") if not isinstance(args, tuple | list) else (kwargs, "kwargs")
        raise UnknownName(
            f"trace_with({type(model).__name__}, ...): found {type(wrong).__name__} as {name}, wanted the forward's "
            "arguments as a tuple and a dict: trace_with(model, (x,), {'mask': m})."
        )
    after = None
    captures: list[ForwardCapture] = []

    def look(output: Any) -> None:
        with torch._C.DisableTorchFunction():
            captures[0].look_behind(tensors_in(output))

    if backward:
        after = look
    capture = captured_forward(model, args, kwargs or {}, STRUCTURE_ONLY, after, "trace_with", begun=captures.append)
    return capture.graph()
