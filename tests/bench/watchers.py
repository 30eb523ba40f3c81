"""Other programs that look into a training, each at every step, installed into an environment of their own.

The environment lies in ``bench-results/watchers-env`` and shares this one's torch. What cannot be installed or
does not run is reported so, never left out silently.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tests.bench.loops import Loop

ENVIRONMENT = Path("bench-results") / "watchers-env"
PACKAGES = ("wandb", "torchexplorer", "tensorboard")


def install() -> str:
    """Makes the environment and lets this process import from it; what went wrong, or the empty text."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = ENVIRONMENT / "lib" / version / "site-packages"
    if not site.is_dir():
        venv.create(ENVIRONMENT, with_pip=True)
        (site / "shared.pth").write_text(sysconfig.get_path("purelib"))
    if not (site / "wandb").is_dir():
        pip = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES]
        made = subprocess.run(pip, capture_output=True, text=True, timeout=900)
        if made.returncode:
            return made.stderr.strip().splitlines()[-1][:200]
    if str(site.resolve()) not in sys.path:
        sys.path.append(str(site.resolve()))
    return ""


class Peer:
    """One loop with another program watching."""

    def __init__(self, loop: Loop, end: Callable[[], Any], after: Callable[[], Any] = lambda: None) -> None:
        self.loop = loop
        self.end = end
        self._after = after

    def step(self) -> None:
        self.loop.step()
        self._after()


def fastai_hooks(loop: Loop) -> Peer:
    """Mean, std and share near zero of each leaf's output and a histogram, as fastai's ActivationStats keeps them."""
    kept: list[Any] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        x = (output if isinstance(output, Tensor) else output[0]).detach().float()
        near_zero = (x <= 0.05).long().sum().item() / x.numel()
        kept.append((x.mean().item(), x.std().item(), near_zero, x.cpu().histc(40, 0, 10)))

    handles = [m.register_forward_hook(hook) for m in loop.model.modules() if not list(m.children())]
    return Peer(loop, lambda: [handle.remove() for handle in handles])


def wandb_watch(loop: Loop) -> Peer:
    """``wandb.watch(log="all", log_freq=1)``, offline: gradients and parameters, no activation."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import wandb

    run = wandb.init(project="bench", dir=tempfile.mkdtemp(), settings=wandb.Settings(console="off"))
    run.watch(loop.model, log="all", log_freq=1)
    return Peer(loop, run.finish, lambda: run.log({}))


def torchexplorer_watch(loop: Loop) -> Peer:
    """``torchexplorer.watch(log_freq=1, backend="none")``: 1,000 values each of inputs, outputs, gradients, weights."""
    import torchexplorer

    logging.getLogger("torchexplorer").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchexplorer.watch(loop.model, log_freq=1, backend="none", disable_inplace=True)
    return Peer(loop, lambda: None)


def tensorboard_histograms(loop: Loop) -> Peer:
    """``add_histogram`` of each leaf's output, each parameter and each gradient."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(tempfile.mkdtemp())
    steps = 0

    def hook(name: str) -> Callable[..., None]:
        def add(module: nn.Module, args: Any, output: Any) -> None:
            writer.add_histogram(name or "root", output if isinstance(output, Tensor) else output[0], steps)

        return add

    for name, module in loop.model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(hook(name))

    def after() -> None:
        nonlocal steps
        for name, parameter in loop.model.named_parameters():
            writer.add_histogram(name, parameter, steps)
            writer.add_histogram(f"{name}.grad", parameter.grad, steps)
        steps += 1

    return Peer(loop, writer.close, after)


WATCHERS: tuple[tuple[str, Callable[[Loop], Peer]], ...] = (
    ("fastai-style hooks", fastai_hooks),
    ('wandb.watch(log="all")', wandb_watch),
    ("torchexplorer", torchexplorer_watch),
    ("TensorBoard histograms", tensorboard_histograms),
)
