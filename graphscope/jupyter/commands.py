"""What a page sent -> one Command, checked field by field; anything else is refused in one sentence.

A page is a browser tab: a notebook opened from elsewhere, an extension or a bug can send anything. A command can carry
only numbers, short texts and a flat dictionary of those, and names nothing that is looked up in Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from graphscope.errors import CommandRefused, did_you_mean
from graphscope.messages import Command

MAX_TEXT = 512
"""Longest text of a command, in characters."""
MAX_ENTRIES = 64
"""Most entries of a command's dictionary."""
MAX_INTEGER = 2**53
"""Largest magnitude of a whole number: what JSON carries exactly."""

KINDS: dict[str, Any] = {command.kind: command for command in get_args(Command)}


def command_of(content: object) -> Command:
    """JSON content of one message -> the Command it is.

    Raises: CommandRefused, naming the kind, what was found and what was wanted.
    """
    if not isinstance(content, Mapping):
        raise CommandRefused(f"command: found {_shown(content)}, wanted an object with a kind.")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        hint = did_you_mean(kind[:80], KINDS) if isinstance(kind, str) else ""
        raise CommandRefused(f"command: no kind is called {_shown(kind)}. There are: {known}.{hint}")
    wanted = KINDS[kind]
    types = get_type_hints(wanted)
    given = {name: value for name, value in content.items() if name != "kind"}
    known_fields = {field.name: field for field in fields(wanted)}
    for name in given:
        if name not in known_fields:
            has = ", ".join(known_fields) or "none"
            raise CommandRefused(f"{kind}: no field is called {_shown(name)}. It has: {has}.")
    for name, field in known_fields.items():
        if name in given:
            given[name] = _checked(kind, name, given[name], types[name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise CommandRefused(f"{kind}: the field {name} is missing.")
    command: Command = wanted(**given)
    return command


def _checked(kind: str, name: str, value: object, wanted: Any) -> object:
    """A field's value, if it is of the wanted type and of a reasonable size."""
    if wanted is int:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER:
            return value
        raise _wrong(kind, name, value, "a whole number")
    if wanted is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value):
            return float(value)
        raise _wrong(kind, name, value, "a finite number")
    if wanted is str:
        if isinstance(value, str) and len(value) <= MAX_TEXT:
            return value
        raise _wrong(kind, name, value, f"a text of at most {MAX_TEXT} characters")
    if not isinstance(value, Mapping) or len(value) > MAX_ENTRIES:
        raise _wrong(kind, name, value, f"an object of at most {MAX_ENTRIES} entries")
    for key, item in value.items():
        text = isinstance(item, str) and len(item) <= MAX_TEXT
        number = isinstance(item, (int, float)) and _finite(item)
        if not isinstance(key, str) or len(key) > MAX_TEXT or not (item is None or text or number):
            raise _wrong(kind, f"{name}[{_shown(key)}]", item, "a number, a short text, true, false or null")
    return dict(value)


def _finite(value: float) -> bool:
    return abs(value) <= MAX_INTEGER if isinstance(value, int) else math.isfinite(value)


def _wrong(kind: str, name: str, value: object, wanted: str) -> CommandRefused:
    return CommandRefused(f"{kind}: {name} is {_shown(value)}, wanted {wanted}.")


def _shown(value: object) -> str:
    if isinstance(value, (str, int, float, bool)) or value is None:
        text = repr(value[:80]) if isinstance(value, str) else repr(value) if _short(value) else "a huge number"
        return text if len(text) <= 100 else text[:97] + "..."
    return f"a {type(value).__name__}"


def _short(value: object) -> bool:
    return not isinstance(value, int) or abs(value) < 10**40
