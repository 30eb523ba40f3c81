"""The Tab key after ``%graphscope`` -> names of models and sessions, and the options."""

from __future__ import annotations

from typing import Any

from graphscope.jupyter.namespace import models_in

MAGICS = ("%graphscope", "%%graphscope")
LINE_OPTIONS = ("--input",)
CELL_OPTIONS = ("--every", "--budget", "--run-dir")


def completions(line: str, symbol: str, namespace: dict[str, Any]) -> list[str]:
    """The line up to the cursor and the word under it -> words that fit."""
    options = CELL_OPTIONS if line.lstrip().startswith("%%") else LINE_OPTIONS
    names = [found.name for found in models_in(namespace)]
    names += [
        name
        for name, value in list(namespace.items())
        if not name.startswith("_") and not isinstance(value, type) and hasattr(type(value), "subscribe")
    ]
    return [word for word in (*names, *options) if word.startswith(symbol)]


def register(shell: Any) -> None:
    """Asks for completions in this IPython from now on."""
    for magic in MAGICS:
        shell.set_hook("complete_command", _complete, str_key=magic)


def unregister(shell: Any) -> None:
    """And no more."""
    hooks = shell.strdispatchers.get("complete_command")
    for magic in MAGICS:
        if hooks is not None:
            hooks.strs.pop(magic, None)


def _complete(shell: Any, event: Any) -> list[str]:
    return completions(event.line, event.symbol, shell.user_ns)
