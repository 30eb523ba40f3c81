"""The processes of one training -> shares of the data and sums over all of them, where there are several.

Started by torchrun or anything else that sets RANK, WORLD_SIZE and MASTER_ADDR. DistributedDataParallel averages the
gradients; the few sums here are the trainer's own, made at the same points by every process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from graphscope.errors import TrainerError

MAX_TEXT = 4096
"""Bytes of a text that is shared."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world_size: int = 1

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    def share(self, order: Tensor) -> Tensor:
        """Every process's part of a shuffled order, all equally long: what is missing is taken from the beginning.

        Source: torch.utils.data.DistributedSampler with drop_last=False. Shapes: int64 [N] -> [ceil(N / world_size)].
        """
        if not self.several:
            return order
        missing = -len(order) % self.world_size
        while missing > 0:
            order = torch.cat([order, order[:missing]])
            missing = -len(order) % self.world_size
        return order[self.rank :: self.world_size]

    def summed(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, in place. Raises: TrainerError if another process is gone."""
        if self.several:
            with others_there():
                dist.all_reduce(numbers)
        return numbers

    def any(self, asked: bool, device: torch.device) -> bool:
        """Whether it is so in any process."""
        return asked if not self.several else bool(self.summed(torch.tensor([float(asked)], device=device)).item())

    def wait(self, device: torch.device) -> None:
        """Until all processes have come here."""
        self.any(False, device)

    def from_first(self, tensor: Tensor) -> None:
        """The first process's values for all, in place. Raises: TrainerError if another process is gone."""
        if self.several:
            with others_there():
                dist.broadcast(tensor, 0)

    def text_from_first(self, text: str, device: torch.device) -> str:
        """The first process's text for all; at most MAX_TEXT bytes of it."""
        encoded = os.fsencode(text)[:MAX_TEXT]
        buffer = torch.zeros(MAX_TEXT, dtype=torch.uint8)
        buffer[: len(encoded)] = torch.tensor(list(encoded), dtype=torch.uint8)
        buffer = buffer.to(device)
        self.from_first(buffer)
        return os.fsdecode(bytes(buffer.tolist()).rstrip(b"\0"))

    def buffers_from_first(self, model: nn.Module) -> None:
        """BatchNorm's running statistics are each process's own until the next forward; these are the first one's."""
        if self.several:
            for buffer in model.buffers():
                self.from_first(buffer)


ALONE = Ranks()


def current_ranks() -> Ranks:
    """Of the process group that is there; a lone process where there is none."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return ALONE


def launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1").isdecimal() and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """A process group with all processes of the launcher, left at the end; a lone process needs none.

    device: as in the settings; NCCL where that is a GPU, else gloo. Raises: TrainerError if they do not meet.
    """
    if not launched() or dist.is_initialized():
        yield current_ranks()
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    try:
        if on_gpu:
            torch.cuda.set_device(local_rank())
        dist.init_process_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainerError(
            f"WORLD_SIZE announces {os.environ['WORLD_SIZE']} processes, which do not meet: {error}. Start them with "
            "torchrun --nproc-per-node=N -m graphscope train ..."
        ) from error
    try:
        yield current_ranks()
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Which process of this machine: the number of its GPU."""
    text = os.environ.get("LOCAL_RANK", "")
    return int(text) if text.isdecimal() else 0


def parallel(model: nn.Module, ranks: Ranks, device: torch.device, *, partly_used: bool) -> nn.Module:
    """The network, or its wrapper whose backward averages gradients over all processes.

    partly_used: a loss may leave some parameters without a gradient (a GAN's two turns).
    """
    if not ranks.several:
        return model
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainerError(f"{type(model).__name__} has no parameter to train, so processes have nothing to share.")
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=ids, find_unused_parameters=partly_used)


@contextmanager
def others_there() -> Iterator[None]:
    """Raises: TrainerError in place of what the backends raise where another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if not others_gone(error):
            raise
        raise TrainerError(f"another process of this training is gone: {str(error).splitlines()[0][:200]}") from error


def others_gone(error: RuntimeError) -> bool:
    """Whether a RuntimeError is the network's news that another process has ended."""
    signs = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "NCCL", "Socket", "gloo")
    return any(sign.lower() in str(error).lower() for sign in signs)
