"""Comms of ipykernel, made answerable while a cell trains."""

from __future__ import annotations

from typing import Any


def free_comm(comm: Any) -> bool:
    """Lets the front end choose the (sub)shell for this comm's messages; True if that had to be asked for.

    ipykernel 7.4 hands a comm's incoming messages to whichever shell last published on it: a view updated from a
    training cell would be answered only when that cell ends. Earlier kernels do not, and lack the method.
    """
    if comm is not None and hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default  # the default is what the front end chose
        return True
    return False
