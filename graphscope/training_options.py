"""Arguments of ``graphscope train`` -> which settings were given, and what is to be recorded, kept and written.

The help is the table below: a setting that has no line there fails a test.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

from graphscope.schema import MAX_RUN_MB
from graphscope.shell_words import megabytes
from graphscope.trainer.settings import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Choice, TrainerSettings

NUMBERS = {"int": int, "float": float, "int | None": int, "float | None": float}


class Option(NamedTuple):
    """One line of the help; ``name`` is a field of TrainerSettings."""

    name: str
    metavar: str
    words: str


GROUPS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "what is trained",
        (
            Option("data", "NAME", "data set, see below"),
            Option("data_dir", "DIR", "your own copy of its files, only read; default a download that is checked"),
            Option("model", "NAME", "network, see below, or package.module:factory for your own"),
            Option("loss", "NAME", "loss function, see below"),
            Option("augment", "", "random crop and flip where the data set usually has it (CIFAR)"),
        ),
    ),
    (
        "for how long",
        (
            Option("epochs", "N", "passes over the training images"),
            Option("steps", "N", "optimizer steps to train for, instead of epochs"),
            Option("patience", "N", "stop after so many epochs without a lower test loss"),
        ),
    ),
    (
        "how",
        (
            Option("optimizer", "NAME", "see below"),
            Option("lr", "X", "learning rate, the highest of the schedule; default what suits network and optimizer"),
            Option("schedule", "NAME", "how the learning rate changes, see below"),
            Option("momentum", "X", "of momentum, and the first beta of adam and adamw"),
            Option("weight_decay", "X", "as the optimizer defines it"),
            Option("batch_size", "N", "images in one forward of one process"),
            Option("accumulate", "N", "batches whose gradients are added up for one optimizer step"),
            Option("clip", "X", "largest L2 norm of all gradients together; default not clipped"),
            Option("label_smoothing", "X", "0 to 1, for cross-entropy"),
            Option("seed", "N", "the same seed gives the same bits on one machine"),
        ),
    ),
    (
        "on what",
        (
            Option("device", "NAME", "auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N"),
            Option("amp", "", "mixed precision"),
            Option("compile", "", "run the network through torch.compile"),
            Option("workers", "N", "DataLoader processes for your own Dataset; the named data sets need none"),
        ),
    ),
)
MENUS: tuple[tuple[str, tuple[Choice, ...]], ...] = (
    ("data sets", DATASETS),
    ("networks", MODELS),
    ("optimizers", OPTIMIZERS),
    ("schedules", SCHEDULES),
    ("losses", LOSSES),
)
EXAMPLES = """\
examples:
  graphscope train --data digits --epochs 5 --report report.html
  graphscope train --data mnist --model cnn-bn --epochs 3 --run-dir runs/mnist --checkpoint-dir runs/mnist/checkpoints
  graphscope train --resume runs/mnist/checkpoints --run-dir runs/mnist
  torchrun --nproc-per-node=2 -m graphscope train --data mnist
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellOptions:
    """What one call of ``graphscope train`` asks for."""

    settings: dict[str, Any] = field(default_factory=dict)
    """Those fields of TrainerSettings that were given."""
    run_dir: str | None = None
    every: str | int = "auto"
    budget: float = 0.01
    max_mb: float = MAX_RUN_MB
    no_watch: bool = False
    report: str | None = None
    resume: str | None = None
    quantize: bool = False
    export: str | None = None


def parsed(arguments: Sequence[str]) -> ShellOptions:
    """Arguments -> options. Wrong usage ends the process with status 2, ``--help`` with 0, as argparse does."""
    given = vars(parser().parse_args(list(arguments)))
    own = {f.name for f in fields(ShellOptions)} - {"settings"}
    settings = {name: value for name, value in given.items() if name not in own}
    return ShellOptions(settings=settings, **{name: value for name, value in given.items() if name in own})


def parser() -> argparse.ArgumentParser:
    """The parser; what is not given is absent from its result."""
    made = argparse.ArgumentParser(
        prog="graphscope train",
        usage="graphscope train [--data NAME] [--model NAME] [--epochs N] [--run-dir DIR] [--report FILE] [...]",
        description="Train a network on a data set, watched: every layer's statistics, gradients and findings.",
        epilog="\n".join((*(_menu(*menu) for menu in MENUS), EXAMPLES)),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=118),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    types = {f.name: (str(f.type), f.default) for f in fields(TrainerSettings)}
    for title, options in GROUPS:
        group = made.add_argument_group(title)
        for option in options:
            _add(group, option, *types[option.name])
    watching = made.add_argument_group("what is recorded")
    watching.add_argument("--run-dir", metavar="DIR", help="where the run file goes; default a new folder in runs/")
    watching.add_argument("--report", metavar="FILE", help="also write the run as one HTML page")
    watching.add_argument(
        "--every", type=_every, metavar="N", help="capture every N-th step; default auto: as the budget allows"
    )
    watching.add_argument(
        "--budget", type=_share, metavar="X", help="share of step time that watching may take; default 0.01"
    )
    watching.add_argument(
        "--max-mb",
        type=megabytes,
        metavar="N",
        help=f"cap of the run file in MB, default {MAX_RUN_MB:g}",
    )
    watching.add_argument("--no-watch", action="store_true", help="train without recording anything")
    kept = made.add_argument_group("what is kept")
    kept.add_argument("--checkpoint-dir", metavar="DIR", help="gets a checkpoint after each epoch; the newest two stay")
    kept.add_argument("--resume", metavar="DIR", help="go on from a checkpoint, or the newest one in a folder")
    kept.add_argument(
        "--quantize", action="store_true", help="afterwards compare accuracy, size and speed of an 8-bit copy"
    )
    kept.add_argument("--export", metavar="FILE", help="afterwards write the network with torch.export (.pt2)")
    return made


def _add(group: Any, option: Option, kind: str, default: Any) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    if isinstance(default, bool):
        words = f"{option.words}; default {'on' if default else 'off'}"
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=words)
        return
    told = default in (None, MISSING) or "default" in option.words
    words = option.words if told else f"{option.words}; default {default}"
    group.add_argument(flag, type=NUMBERS.get(kind, str), metavar=option.metavar, help=words.replace("%", "%%"))


def _menu(title: str, choices: tuple[Choice, ...]) -> str:
    rows = (f"  {choice.name:<15} {choice.description}" for choice in choices)
    return "\n".join((f"{title}:", *rows, ""))


def _every(text: str) -> str | int:
    if text == "auto":
        return text
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'wanted "auto" or a number of steps from 1 up, found {text!r}')
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"wanted a share of step time above 0 and up to 1, found {text!r}")
    return share
