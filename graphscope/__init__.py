"""GraphScope: the live graph of a PyTorch training, with what flows through it, in Jupyter.

Importing it is cheap: torch, IPython and matplotlib come with the first name that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from graphscope import plot
    from graphscope.capture.trace import trace, trace_with
    from graphscope.checking import check
    from graphscope.errors import GraphscopeError
    from graphscope.graph import Graph
    from graphscope.reports import report
    from graphscope.run import Run, load
    from graphscope.session import Session, watch
    from graphscope.training import Training, train

# Public name -> where it lives. The modules are called reports and training so that no module hides a function.
_PUBLIC = {
    "Graph": "graphscope.graph",
    "GraphscopeError": "graphscope.errors",
    "Run": "graphscope.run",
    "Session": "graphscope.session",
    "Training": "graphscope.training",
    "check": "graphscope.checking",
    "load": "graphscope.run",
    "plot": "graphscope.plot",
    "report": "graphscope.reports",
    "trace": "graphscope.capture.trace",
    "trace_with": "graphscope.capture.trace",
    "train": "graphscope.training",
    "watch": "graphscope.session",
}

__all__ = [
    "Graph",
    "GraphscopeError",
    "Run",
    "Session",
    "Training",
    "check",
    "load",
    "plot",
    "report",
    "trace",
    "trace_with",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    place = _PUBLIC.get(name)
    if place is None:
        raise AttributeError(f"module 'graphscope' has no attribute {name!r}")
    module = importlib.import_module(place)
    value = module if place == f"graphscope.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


def load_ipython_extension(ip: Any) -> None:
    """``%load_ext graphscope``: the magics and what the sidebar talks to."""
    from graphscope.jupyter import load_ipython_extension as load_extension

    load_extension(ip)


def unload_ipython_extension(ip: Any) -> None:
    """``%unload_ext graphscope``."""
    from graphscope.jupyter import unload_ipython_extension as unload_extension

    unload_extension(ip)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "graphscope"}]
