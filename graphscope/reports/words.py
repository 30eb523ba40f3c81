"""Texts from outside (names, messages) and numbers -> texts that may stand in a picture or a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from xml.sax.saxutils import escape

LONGEST = 40
"""Characters of a name that a picture shows."""
_WIDE, _NARROW = set("mwMWQO@%—→×−…+"), set("iljtfrI.,:;'|!()[] ")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str, longest: int = LONGEST) -> str:
    """Control characters, lone surrogates and marks of direction become visible; a long text keeps both its ends."""
    if len(text) > longest:
        head = longest * 2 // 3
        text = f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
    text = _DIRECTION.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    # Cn holds the non-characters U+FFFE and U+FFFF, which XML forbids too.
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text)


def xml(text: str, longest: int = LONGEST) -> str:
    """A text as the content of an element or of a quoted attribute."""
    return escape(plain(text, longest), {'"': "&quot;", "'": "&#39;"})


def width_of(text: str, *, strong: bool = False, size: int = 12) -> int:
    """About how many pixels a text takes in the interface's font; too much rather than too little."""
    total = 0.0
    for c in plain(text, 200):
        if c in _NARROW:
            total += 0.36
        elif c in _WIDE or unicodedata.east_asian_width(c) in "WF":
            total += 0.9 if c in _WIDE else 1.1
        elif c.isupper():
            total += 0.72
        else:
            total += 0.6
    return round(total * size * (1.14 if strong else 1.0)) + 1


def shape_text(shape: Sequence[int]) -> str:
    """``(128, 3, 32, 32)`` -> ``128 × 3 × 32 × 32``; a tensor without dimensions is ``scalar``."""
    return " × ".join(f"{size:,}" if size >= 10_000 else str(size) for size in shape) or "scalar"


def count_text(count: int) -> str:
    """2480 -> ``2,480``."""
    return f"{count:,}"
