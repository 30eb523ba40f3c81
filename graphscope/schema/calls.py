"""The order of calls of one step, in few letters: ``zero_grad (forward backward)*4 optimizer_step``.

Items are words of ``CALLS``, ``word*n`` and ``(item item ...)*n``, one level deep. A trailing ``...`` stands for calls
that were not kept because the step had too many different ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LONGEST_PERIOD = 8
"""Calls that a repeated stretch may have."""
_ITEM = re.compile(r"\(([^()]*)\)\*(\d{1,9})|([^\s()*]+)(?:\*(\d{1,9}))?")


def folded(runs: Sequence[tuple[str, int]]) -> str:
    """(word, how often in a row), in order -> the text."""
    items = [word if count == 1 else f"{word}*{count}" for word, count in runs]
    out: list[str] = []
    at = 0
    while at < len(items):
        period, times = 1, 1
        for length in range(2, min(LONGEST_PERIOD, (len(items) - at) // 2) + 1):
            unit = items[at : at + length]
            n = 1
            while items[at + n * length : at + (n + 1) * length] == unit:
                n += 1
            if n > 1 and n * length > period * times:
                period, times = length, n
        unit = items[at : at + period]
        out.append(unit[0] if times == 1 else f"({' '.join(unit)})*{times}")
        at += period * times
    return " ".join(out)


def unfolded(text: str, most: int = 100_000) -> Iterator[str]:
    """The text -> its words, one by one; of a text that stands for more than ``most`` words, the first of them."""
    left = most
    for match in _ITEM.finditer(text):
        group, times, word, count = match.groups()
        for _ in range(int(times) if group is not None else 1):
            for one in unfolded(group, left) if group is not None else [word] * min(int(count or 1), left):
                if left <= 0:
                    return
                left -= 1
                yield one
            if left <= 0:
                return
            if group is not None and not group.strip():
                break
