"""Where the gradients of parameters are read -> what they are: one of ``schema.GRADIENT_STATES``.

At an optimizer's step they are what it uses; only a GradScaler leaves the unscaling to optimizers that can do it
themselves, and tells them so by an attribute. Where no optimizer updates the model there is no such moment: they are
read when autograd is done, as a loop that updates by hand finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import Optimizer

from graphscope.capture.modules import walk_modules

SHARDED = frozenset({"FSDPModule", "FullyShardedDataParallel"})
"""Wrappers that reduce gradients when and how their own settings say."""


def state_at_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """At the step pre-hook, which torch calls with the arguments of ``Optimizer.step``, the optimizer first.

    None with a closure: the gradients that the optimizer will use are made inside the step. None for an optimizer
    that takes the scaler itself (deprecated): it alone knows whether it unscales.
    Source: torch.amp.GradScaler.step, ``_step_supports_amp_scaling``.
    """
    if "grad_scaler" in kwargs or any(callable(argument) for argument in (*args[1:], *kwargs.values())):
        return None
    return "final" if getattr(optimizer, "grad_scale", None) is None else "scaled"


def gradient_state(root: nn.Module) -> str | None:
    """While a forward of ``root`` is under way: what its gradients will be at the end of the backward.

    None where a part of the model has a wrapper of its own, or one that shards.
    """
    around = root if isinstance(root, DistributedDataParallel) else DistributedDataParallel._active_ddp_module
    if around is not None:
        # As the forward finds it: under no_sync the hooks of that pass reduce nothing.
        return "reduced" if around.require_backward_grad_sync else "local"
    for _, module, _ in walk_modules(root):
        if isinstance(module, DistributedDataParallel) or SHARDED & {cls.__name__ for cls in type(module).__mro__}:
            return None
    return "local"


def when_all_is_done(work: Callable[[], None]) -> None:
    """To be called in a backward: runs ``work`` when it is complete, behind the reducer's own callback.

    That one is queued while the backward runs; what a callback queues comes behind all that were there.
    """
    queue = torch.autograd.Variable._execution_engine.queue_callback
    queue(partial(queue, work))
