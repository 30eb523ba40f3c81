"""Lists and steps -> the short words of an error message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shown(address: Any) -> str:
    """What a caller passed, as code, cut where it is long."""
    return repr(address) if len(repr(address)) <= 80 else repr(address)[:77] + "..."


def listed(names: Sequence[Any]) -> str:
    """Some names or numbers of many: the first five, and how many more."""
    shown = ", ".join(str(name)[:60] or "(root)" for name in names[:5])
    return shown + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def nearest(step: int, steps: Sequence[int]) -> str:
    """The step among ``steps`` that is closest."""
    return f"; nearest: {min(steps, key=lambda s: abs(s - step))}" if steps else ""
