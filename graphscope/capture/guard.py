"""Our own failure -> recording off with one warning, training untouched; with GRAPHSCOPE_STRICT=1 it is raised.

Only ``Exception`` is caught: KeyboardInterrupt and SystemExit pass through our code as through any other.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any


def strict_by_default() -> bool:
    """Whether GRAPHSCOPE_STRICT asks for our errors to be raised (all of our tests do)."""
    return os.environ.get("GRAPHSCOPE_STRICT", "") not in ("", "0")


class Guard:
    """Runs our code beside the user's; after the first failure it runs nothing any more."""

    def __init__(self, strict: bool | None = None, on_failure: Callable[[str], None] | None = None) -> None:
        self.strict = strict_by_default() if strict is None else strict
        self.on_failure = on_failure
        self.failure: str | None = None
        self._noted: Exception | None = None

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """``work(*args)``, or None where it failed or something failed before."""
        if self.failure is not None:
            return None
        try:
            return work(*args)
        except Exception as error:
            self.caught(error)
            return None

    def caught(self, error: Exception) -> None:
        """What ``run`` does with a failure, for code too hot to be called through it; to be called in ``except``."""
        if self.strict:
            raise error
        if self.failure is None:
            self._stop(error)

    def undo(self, work: Callable[..., Any], *args: Any) -> None:
        """``work(*args)`` that takes our own things off: it also runs after a failure."""
        try:
            work(*args)
        except Exception as error:
            self.caught(error)

    def note(self, error: Exception) -> None:
        """A failure on a thread of ours: recording stops; in strict mode ``raise_noted`` raises it where users are."""
        if self._noted is None:
            self._noted = error
        if not self.strict and self.failure is None:
            self._stop(error)

    def raise_noted(self) -> None:
        """In strict mode, raises what a thread of ours noted."""
        if self.strict and self._noted is not None:
            error, self._noted = self._noted, None
            raise error

    def _stop(self, error: Exception) -> None:
        self.failure = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        text = f"GraphScope stopped recording after an error of its own ({type(error).__name__}: {error})"
        warnings.warn(f"{text}; your training is not affected. The details are in session.failure.", stacklevel=5)
        if self.on_failure is not None:
            self.on_failure(text)
