"""Python frames -> the user's line that called a torch function: the innermost frame outside torch and GraphScope.

While ops are recorded only a place is kept, a code object and an offset into it, and a module's call keeps the place it
was made from: a frame below it need not be walked up further, however deep modules are nested. Lines come afterwards.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

import torch

_OURS = str(Path(__file__).resolve().parent.parent)
_TORCH = str(Path(torch.__file__).resolve().parent)

Place: TypeAlias = "tuple[CodeType | None, int]"
"""A code object and the offset of the instruction that runs; (None, 0) where no frame is the user's."""
NOWHERE: Place = (None, 0)
OTHERS, USERS, CALL = 0, 1, 2
"""Whose code a frame runs: torch's or ours, the user's, or the function of ours that stands around a module's call."""
VERDICTS: dict[int, int] = {}
"""By identity: hashing a code object reads all its instructions. ``_held`` keeps the numbers their own."""
MOST_VERDICTS = 16_384
_held: list[CodeType] = []
_calls: list[CodeType] = []


def around_calls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: frames of this function stand for one module call under way, the innermost for the innermost."""
    _calls.append(function.__code__)
    return function


def whose(code: CodeType) -> int:
    """OTHERS, USERS or CALL. The built-in trainer's networks count as the user's: they are what is looked at."""
    verdict = VERDICTS.get(id(code))
    if verdict is None:
        if len(VERDICTS) >= MOST_VERDICTS:
            VERDICTS.clear()
            _held.clear()
        verdict = VERDICTS[id(code)] = _judged(code)
        _held.append(code)
    return verdict


def _judged(code: CodeType) -> int:
    if any(code is call for call in _calls):
        return CALL
    name = code.co_filename
    if name.startswith(("<frozen", _TORCH)):
        return OTHERS
    return USERS if not name.startswith(_OURS) or f"{_OURS}/trainer" in name else OTHERS


def place_of(frame: FrameType | None, stack: Sequence[int], calls: Sequence[Any]) -> Place:
    """The innermost place of the user's code at or above a frame.

    ``stack`` holds the numbers of the module calls under way, innermost last; what is found is kept as their
    ``place`` in ``calls``, and one that is there already ends the walk.
    """
    depth = len(stack)
    found: Place | None = None
    while frame is not None:
        code = frame.f_code
        verdict = VERDICTS.get(id(code))
        if verdict is None:
            verdict = whose(code)
        if verdict == USERS:
            found = code, frame.f_lasti
            break
        if verdict == CALL and depth:
            depth -= 1
            found = calls[stack[depth]].place
            if found is not None:
                break
        frame = frame.f_back
    place = found or NOWHERE
    for number in stack[depth:]:
        calls[number].place = place
    return place


class Lines:
    """Places -> files and lines, each looked up once."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, int], tuple[str, int] | None] = {}
        self._tables: dict[int, tuple[CodeType, list[int], list[int | None]]] = {}

    def __call__(self, code: CodeType | None, offset: int) -> tuple[str, int] | None:
        """The line; None for no place."""
        if code is None:
            return None
        key = id(code), offset
        if key not in self._lines:
            self._lines[key] = self._line(code, offset)
        return self._lines[key]

    def _line(self, code: CodeType, offset: int) -> tuple[str, int] | None:
        table = self._tables.get(id(code))
        if table is None:
            rows = list(code.co_lines())
            # With the code object itself, so that its number stays its own.
            table = self._tables[id(code)] = code, [start for start, _, _ in rows], [line for _, _, line in rows]
        _, starts, lines = table
        at = bisect_right(starts, offset) - 1
        line = lines[at] if at >= 0 else None
        return (code.co_filename, code.co_firstlineno if line is None else line)


def user_line(depth: int = 2, limit: int = 60, frame: FrameType | None = None) -> tuple[str, int] | None:
    """File and line of the innermost user frame, at least ``depth`` frames up (or from ``frame`` on).

    None if ``limit`` frames hold none.
    """
    if frame is None:
        try:
            frame = sys._getframe(depth)
        except ValueError:
            return None
    while frame is not None and limit:
        if whose(frame.f_code) == USERS:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
        limit -= 1
    return None
