"""Python frames -> the user's line that called a torch function: the innermost frame outside torch and GraphScope."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType

import torch

_OURS = str(Path(__file__).resolve().parent.parent)
_TORCH = str(Path(torch.__file__).resolve().parent)


_VERDICTS: dict[int, tuple[CodeType, bool]] = {}
"""By identity, with the code object held so that the number stays its own: hashing one reads all its instructions."""
MOST_VERDICTS = 16_384


def _is_users(code: CodeType) -> bool:
    """Whether code is the user's. The built-in trainer's networks count as the user's: they are what is looked at."""
    known = _VERDICTS.get(id(code))
    if known is not None:
        return known[1]
    if len(_VERDICTS) >= MOST_VERDICTS:
        _VERDICTS.clear()
    verdict = _looks_like_users(code)
    _VERDICTS[id(code)] = code, verdict
    return verdict


def _looks_like_users(code: CodeType) -> bool:
    name = code.co_filename
    if name.startswith("<frozen"):
        return False
    return not name.startswith(_TORCH) and (not name.startswith(_OURS) or f"{_OURS}/trainer" in name)


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
        if _is_users(frame.f_code):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
        limit -= 1
    return None
