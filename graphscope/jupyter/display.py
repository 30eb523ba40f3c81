"""How a Graph, a Run, a Session and a Training display themselves: the view, and a drawing for where it cannot run.

These are the doors through which the other packages reach Jupyter, so that only this one imports ipywidgets.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from graphscope.graph import Graph
    from graphscope.jupyter.widget import View
    from graphscope.run import Run
    from graphscope.session import Session
    from graphscope.training import Training

MimeBundle: TypeAlias = "tuple[dict[str, Any], dict[str, Any]]"


def view(source: Session | Training | Run | Graph) -> View:
    """A new view. Raises: ViewerNotBuilt."""
    from graphscope.jupyter.widget import View

    return View(source)


def mimebundle(source: Session | Training | Run | Graph, **kwargs: Any) -> MimeBundle:
    """Data and metadata by MIME type, as IPython's display asks for it; outside a kernel the text alone."""
    if not in_kernel():
        return {"text/plain": repr(source)}, {}
    return view(source)._repr_mimebundle_(**kwargs)


graph_mimebundle = run_mimebundle = session_mimebundle = training_mimebundle = mimebundle


def in_kernel() -> bool:
    """Whether a Jupyter kernel runs in this process; without importing one."""
    kernelbase = sys.modules.get("ipykernel.kernelbase")
    return kernelbase is not None and bool(kernelbase.Kernel.initialized())
