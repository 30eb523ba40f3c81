"""One training step told layer by layer: what each layer gave in the forward, and what came back to it.

For the stops inside a step. The hooks are there for that one step alone and change nothing: a forward hook on each
module, and on what it gives a tensor hook, which runs when the gradient of that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from graphscope.capture.values import tensors_in
from graphscope.errors import CommandRefused, did_you_mean

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")


class Arrival(NamedTuple):
    """A layer that was just reached."""

    fqn: str
    direction: Direction
    leaf: bool
    """Whether it has no modules in it."""
    tensor: Tensor
    """Its first output, or the gradient of that; to be looked at before the step goes on, never to be kept."""


class Stop(NamedTuple):
    """Where a step is to stop."""

    fqn: str = ""
    """Module path; empty: the next layer without modules in it, whichever it is."""
    direction: str = ""
    """One of DIRECTIONS; empty: whichever comes first."""

    def is_at(self, arrival: Arrival) -> bool:
        """Whether it is here."""
        where = arrival.fqn == self.fqn if self.fqn else arrival.leaf
        return where and self.direction in ("", arrival.direction)

    def __str__(self) -> str:
        return f"{self.fqn or 'a layer'}'s {self.direction or 'forward or backward'}"


def checked_stop(layer: str, direction: str, model: nn.Module | None) -> Stop:
    """The Stop that was asked for; ``model`` None: not built yet, so any layer may be meant.

    Raises: CommandRefused for a direction or a layer that there is not.
    """
    if direction not in ("", *DIRECTIONS):
        raise CommandRefused(f"step_to({layer!r:.60}, {direction!r:.60}): wanted forward, backward, or neither.")
    names = [] if model is None else [name for name, _ in model.named_modules() if name]
    if model is not None and layer and layer not in names:
        there = f"There are: {', '.join(names)[:400]}." if names else "It has none."
        hint = did_you_mean(layer[:80], names)
        raise CommandRefused(f"step_to({layer!r:.60}): the network has no layer of that name. {there}{hint}")
    return Stop(layer, direction)


@contextmanager
def told_by_layers(model: nn.Module, arrive: Callable[[Arrival], None]) -> Iterator[None]:
    """Calls ``arrive`` at each layer of the training steps in here, on the thread that trains; leaves no hook behind.

    A layer that gives no tensor is passed over; one whose output needs no gradient has no backward.
    """
    tensor_hooks: list[torch.utils.hooks.RemovableHandle] = []

    def reached(fqn: str, leaf: bool, output: object) -> None:
        if not torch.is_grad_enabled():
            return  # an evaluation
        # What is asked of tensors in here is no op of the network's: a mode that records those must not see it.
        with torch._C.DisableTorchFunction():
            tensor = next((found for found in tensors_in(output) if found.is_floating_point()), None)
            if tensor is None:
                return
            if tensor.requires_grad:
                handle = tensor.register_hook(lambda gradient: told(Arrival(fqn, "backward", leaf, gradient)))
                tensor_hooks.append(handle)
            told(Arrival(fqn, "forward", leaf, tensor))

    def told(arrival: Arrival) -> None:
        with torch.no_grad():
            arrive(arrival)

    handles = []
    try:
        for fqn, module in model.named_modules():
            leaf = next(module.children(), None) is None
            handles.append(
                module.register_forward_hook(lambda _m, _args, out, fqn=fqn, leaf=leaf: reached(fqn, leaf, out))
            )
        yield
    finally:
        for handle in (*handles, *tensor_hooks):
            handle.remove()


def in_words(arrival: Arrival) -> str:
    """``64 × 128, mean 0.0312, std 0.455, 48 % zeros``, of the tensor as it is now."""
    values = arrival.tensor.detach()
    shape = " × ".join(str(side) for side in values.shape) or "one number"
    if not values.numel():
        return f"{shape}, empty"
    values = values.double()
    bad = int((~values.isfinite()).sum())
    if bad:
        return f"{shape}, {bad:,} of {values.numel():,} values NaN or infinite"
    zeros = int((values == 0).sum()) / values.numel()
    mean, std = float(values.mean()), float(values.std(unbiased=False))
    return f"{shape}, mean {mean:.3g}, std {std:.3g}, {100 * zeros:.0f} % zeros"
