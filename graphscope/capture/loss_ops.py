"""grad_fn chain from the loss down to the root's outputs -> OpNodes for what ran after the forward.

No mode is on across the user's own code outside the root's forward, so these ops are read from what autograd kept:
names of backward nodes (a literal table names the composites) and their ``_saved_*`` arguments. Ops that autograd does
not see (under no_grad, on integers) are not there; a loss that does not depend on the root's output is a gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

COMPOSITES = {
    ("nll_loss", "log_softmax"): "cross_entropy",
    ("nll_loss2d", "log_softmax"): "cross_entropy",
    ("nll_loss_nd", "log_softmax"): "cross_entropy",
}
"""(backward node, the one below it) -> the public function that makes both."""
RENAMED = {
    "nll_loss2d": "nll_loss", "addmm": "linear", "mm": "matmul", "bmm": "matmul", "t": "t", "select": "getitem",
    "slice": "getitem", "index": "getitem", "_log_softmax": "log_softmax", "_softmax": "softmax",
}  # fmt: skip
SAVED = {"dim": "_saved_dim", "reduction": "_saved_reduction", "ignore_index": "_saved_ignore_index"}
REDUCTIONS = ("none", "mean", "sum")
LIMIT = 2_000
"""Backward nodes looked at; what is behind is cut off, with an opaque node that says so."""


def backward_name(grad_fn: Any) -> str:
    """``NllLossBackward0`` -> ``nll_loss``."""
    name = re.sub(r"Backward\d*$", "", type(grad_fn).__name__)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return RENAMED.get(name, name)


def saved_attrs(grad_fn: Any) -> dict[str, Any]:
    """Arguments that a backward node kept, as JSON-able values."""
    attrs: dict[str, Any] = {}
    for name, attribute in SAVED.items():
        value = getattr(grad_fn, attribute, None)
        if isinstance(value, int):
            # Dimensions are kept unsigned: -1 comes back as 2**64 - 1.
            attrs[name] = value - 2**64 if value >= 2**63 else value
    if isinstance(attrs.get("reduction"), int) and 0 <= attrs["reduction"] < len(REDUCTIONS):
        attrs["reduction"] = REDUCTIONS[attrs["reduction"]]
    return attrs


class LossOp:
    """One op behind the root's output: its name, arguments, what it reads (LossOps or output values) and its node."""

    def __init__(self, op: str, fn: Any) -> None:
        self.op = op
        self.attrs = saved_attrs(fn)
        self.grad_fn = type(fn).__name__
        self.sequence: int = fn._sequence_nr()
        # What a node's gradient must look like is what its forward made.
        metadata = getattr(fn, "_input_metadata", None)
        self.shape: tuple[int, ...] = tuple(metadata[0].shape) if metadata else ()
        self.dtype = str(metadata[0].dtype).removeprefix("torch.") if metadata else ""
        self.device = str(metadata[0].device) if metadata else ""
        self.reads: list[Any] = []
        self.opaque: str | None = None


def _below(fn: Any) -> list[Any]:
    return [f for f, _ in fn.next_functions if f is not None]


def _composite(fn: Any, ends: Mapping[int, int]) -> tuple[str, list[Any]]:
    """Public name of the op that made a backward node, and the nodes of what that op read."""
    name, below = backward_name(fn), _below(fn)
    if len(below) == 1 and below[0]._sequence_nr() not in ends:
        public = COMPOSITES.get((name, backward_name(below[0])))
        if public is not None:
            return public, _below(below[0])
    return name, below


def loss_chain(losses: tuple[Tensor, ...], ends: Mapping[int, int]) -> list[LossOp]:
    """Ops from the root's outputs to the losses, in an order in which each comes after what it reads.

    ``ends`` maps sequence numbers of the grad_fn nodes of the root's outputs to value ids (numbers, not nodes: a hook
    that held the nodes would keep the step's whole graph alive); ``LossOp.reads`` holds LossOps and such ids.
    Walked with a stack: a chain of 100,000 ops needs no recursion.
    """
    made: dict[Any, LossOp] = {}
    order: list[LossOp] = []
    stack = [(t.grad_fn, False) for t in losses if t.grad_fn is not None]
    while stack:
        fn, done = stack.pop()
        if fn in made or fn._sequence_nr() in ends:
            continue
        name, sources = _composite(fn, ends)
        if not done:
            stack.append((fn, True))
            if len(made) + len(stack) < LIMIT:
                stack.extend((f, False) for f in sources)
            continue
        op = made[fn] = LossOp(name, fn)
        found = (ends.get(f._sequence_nr(), made.get(f)) for f in sources)
        op.reads = [read for read in found if read is not None]
        if len(made) >= LIMIT:
            op.opaque = f"more than {LIMIT:,} backward nodes between the model's output and the loss"
        if name != "accumulate_grad":
            order.append(op)
    reached: set[int] = set()
    for op in order:  # a weight penalty does not read the model's output: it is not drawn behind it
        if any(isinstance(read, int) or id(read) in reached for read in op.reads):
            reached.add(id(op))
    return [op for op in order if id(op) in reached]
