"""What a user can cause -> one tree of exceptions that say what was called, found and wanted, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GraphscopeError(Exception):
    """Every error that a user of GraphScope can cause; the shell prints it in one line and exits with 2."""


class NotAModule(GraphscopeError):
    """Something else than a ``torch.nn.Module`` was given where a model is wanted."""


class InputMismatch(GraphscopeError):
    """The model's forward or the loss refused what was given; ``__cause__`` is its exception, ``graph`` what ran."""

    graph: object = None


class Uninitialized(GraphscopeError):
    """A model with lazy modules whose parameters have no shape yet, where a forward of ours would give them one."""


class UnknownName(GraphscopeError):
    """A name (statistic, role, data set, network, record kind) that is not one of those that exist."""


class UnknownAddress(GraphscopeError):
    """An address (module path or parameter name) of which the run holds nothing."""


class NoSuchStep(GraphscopeError):
    """A step that the run did not record."""


class RunFileError(GraphscopeError):
    """A path that is no run, cannot be read, or was written by a GraphScope this one does not understand."""


class RunDirectoryError(GraphscopeError):
    """A directory in which a run cannot be written; said at ``watch()``, before the training starts."""


class CannotLookInside(GraphscopeError):
    """A module whose inside cannot be recorded without changing what runs: compiled or scripted."""


class SessionClosed(GraphscopeError):
    """A call that needs a live session, on one that was closed."""


class CommandRefused(GraphscopeError):
    """A message from the page that is not one of the commands, or does not fit its schema."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A wrong name -> `` Did you mean "right"?``, or nothing where no known name is close."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


class TrainerError(GraphscopeError):
    """The built-in trainer cannot train what was asked: a setting, a network that does not fit, a checkpoint."""


class DataError(GraphscopeError):
    """A data set that cannot be had, or whose files are damaged."""
