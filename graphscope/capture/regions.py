"""Ops that ran inside an autograd.Function or under torch.func -> one opaque node named after it.

Decided: a custom autograd.Function is one node. Its forward runs without autograd, its gradient is its own backward, so
its inner ops are no steps of the computation that is differentiated; their names are kept as the attribute ``inside``.
Modules that run inside one (checkpointing, reversible blocks) are shown as ever: the innermost of Function and module
call decides. Under ``torch.func`` tensors have values only when the transform ends, so the transform is one node too.
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

TRANSFORMS = {
    "vmap_impl": "vmap", "grad_impl": "grad", "grad_and_value_impl": "grad", "_vjp_with_argnums": "vjp",
    "_jvp_with_argnums": "jvp", "jacrev": "jacrev", "jacfwd": "jacfwd", "hessian": "hessian", "linearize": "linearize",
    "functionalize": "functionalize",
}  # fmt: skip
"""Functions in torch/_functorch whose frame says which transform runs."""
MOST_NAMES = 16
_APPLY = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]
_CALL = nn.Module._call_impl.__code__


def function_frame(depth: int) -> FrameType | None:
    """The frame of the ``Function.apply`` in which the op runs; None if a module call is nearer, or there is none."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_code is not _CALL:
        if frame.f_code is _APPLY:
            # Checkpointing only runs the user's function a second time: that function is what is looked at.
            return None if frame.f_locals["cls"].__module__ == "torch.utils.checkpoint" else frame
        frame = frame.f_back
    return None


def transform_frame(depth: int) -> tuple[FrameType, str] | None:
    """The frame of the outermost torch.func transform under way and its name."""
    frame: FrameType | None = sys._getframe(depth)
    found = None
    while frame is not None:
        name = TRANSFORMS.get(frame.f_code.co_name)
        if name is not None and "_functorch" in frame.f_code.co_filename:
            found = frame, name
        frame = frame.f_back
    return found


def unwrapped(tensor: Tensor) -> Tensor:
    """The plain tensor inside the wrappers of torch.func."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


class Region:
    """One stretch of ops that is one node."""

    def __init__(self, frame: FrameType, name: str, row: Any) -> None:
        self.frame: FrameType | None = frame
        self.row = row
        self.transform = frame.f_code is not _APPLY
        self.function: Any = None if self.transform else frame.f_locals["cls"]
        """The autograd.Function class, or None."""
        self.first = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        self.last = self.first
        self.names: list[str] = []
        self.made: list[tuple[weakref.ref[Tensor], int]] = []
        """Tensors made inside and their values."""

    def note(self, op: str) -> None:
        """One more op ran inside."""
        if len(self.names) < MOST_NAMES:
            self.names.append(op)
        elif len(self.names) == MOST_NAMES:
            self.names.append("...")
        self.row.attrs = {"inside": ", ".join(self.names)}
        self.last = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
