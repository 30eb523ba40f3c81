"""An error's text as Python calls name things -> the same in the shell's words: options for arguments."""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import fields

from graphscope.trainer.settings import TrainerSettings

FLAGS = frozenset({"augment", "amp", "compile"})
"""Options without a value: ``--compile``, ``--no-compile``."""
NAMES = frozenset({f.name for f in fields(TrainerSettings)} | {"run_dir", "every", "budget", "max_mb"})
_VALUE = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;:()'\"]*[^\s,;:.()'\"]"
_NAME = "|".join(sorted(NAMES, key=len, reverse=True))
# TrainerSettings(lr=-1): wanted ...; graphscope.load('/nope'): there is no ...; report(Run Net-1, 'x/y.html'): ...
_CALL = re.compile(rf"\b(?:TrainerSettings|Trainer|watch|train)\((?P<name>{_NAME})=(?P<value>{_VALUE})\)")
_PATH = re.compile(
    rf"\b(?:graphscope\.load|report|export)\((?:[^()'\"]*, )?(?:\w*Path\((?P<path>{_VALUE})\)|(?P<value>{_VALUE}))\)"
)
# Give steps=, or use schedule='constant'. Not a part of a path that holds such a text.
_ARGUMENT = re.compile(rf"(?<![\w/\\.'\"=-])(?P<name>{_NAME})=(?P<value>{_VALUE})?")
_WORD = re.compile(rf"(?<![\w/\\.'\"=-])(?P<name>{'|'.join(name for name in NAMES if '_' in name)})(?![\w/=]|\.\w)")


def megabytes(text: str) -> float:
    """An argument -> a size in MB. Raises argparse's error, which ends the command with the words."""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise argparse.ArgumentTypeError(f"wanted a size in MB above 0, found {text!r}")
    return size


def in_shell_words(text: str) -> str:
    """``TrainerSettings(batch_size=0): wanted ...`` -> ``--batch-size 0: wanted ...``; what is no option stays."""
    text = _CALL.sub(_option, text)
    text = _PATH.sub(lambda found: _unquoted(found["value"] or found["path"]), text)
    text = _ARGUMENT.sub(_option, text)
    text = _WORD.sub(lambda found: _flag(found["name"]), text)
    return text.replace(", or None.", ".")


def _option(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    if name in FLAGS and value in ("True", "False"):
        return _flag(name) if value == "True" else f"--no-{name}"
    return f"{_flag(name)} {shlex.quote(_unquoted(value))}" if value and value != "..." else _flag(name)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _unquoted(value: str) -> str:
    return value[1:-1] if value[:1] in ("'", '"') else value
