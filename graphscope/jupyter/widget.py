"""Session, Training, Run or Graph -> an ipywidget with the interactive view; a drawing where no JavaScript runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.jupyter.comms import free_comm
from graphscope.jupyter.link import Link
from graphscope.run import Run

if TYPE_CHECKING:
    from graphscope.session import Session
    from graphscope.training import Training

BUNDLE = Path(__file__).parent.parent / "static" / "widget.js"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


class ViewerNotBuilt(GraphscopeError):
    """The viewer's JavaScript is missing: a checkout whose ``js/`` was not built."""


@cache
def _bundle() -> str:
    try:
        return BUNDLE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ViewerNotBuilt(
            f"View: {BUNDLE.name} is not there ({BUNDLE}). In a checkout run `make install`; "
            "an installed torch-graphscope always has it, so install it again."
        ) from None


class View(anywidget.AnyWidget):
    """The interactive view; composes with other ipywidgets (``VBox``, ``link``, ``observe``).

    source: what is shown. Raises: ViewerNotBuilt.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(0, help="Step the view looks at; 0 while nothing is recorded.").tag(sync=True)
    selection = traitlets.Unicode("", help="Selected node: a module path, path#call, or op:N.").tag(sync=True)
    color_by = traitlets.Unicode("update", help="update, activation, gradient, zeros or none.").tag(sync=True)
    compare_step = traitlets.Int(None, allow_none=True, help="Step to compare with; None: none.").tag(sync=True)

    def __init__(self, source: Session | Training | Run | Graph, **traits: Any) -> None:
        # First: ipywidgets closes also a widget that could not be made.
        self._source = source
        self._link = Link(source, self._send_message)
        super().__init__(_esm=_bundle(), **traits)
        self.on_msg(self._on_message)
        free_comm(self.comm)
        self._link.widget_id = self.model_id
        if self.comm is not None:
            self.comm.on_close(lambda _: self._link.close())

    @property
    def source(self) -> Session | Training | Run | Graph:
        """What it shows."""
        return self._source

    def _send_message(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers)

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        # anywidget's own calls have their own handler.
        if not (isinstance(content, dict) and content.get("kind") == "anywidget-command"):
            self._link.handle(content)

    def close(self) -> None:
        """Removes it from the page; the session goes on."""
        self._link.close()
        super().close()

    def __repr__(self) -> str:
        return f"View({self._source!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        # ipywidgets sets this to None on closing, which IPython takes as "no such method".
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), **fallback(self._source)}, metadata or {}


def fallback(source: Session | Training | Run | Graph) -> dict[str, str]:
    """What places without JavaScript (nbconvert, GitHub, nbviewer) show: a drawing and one line of text."""
    data = {"text/plain": repr(source)}
    graph = source if isinstance(source, Graph) else graph_of(source)
    if graph is not None:
        data["image/svg+xml"] = graph.to_svg()
    return data


def graph_of(source: Any) -> Graph | None:
    """The newest graph of a session, a training or a run."""
    source = source if hasattr(source, "graph") else getattr(source, "session", None)
    graph = getattr(source, "graph", None)
    return graph if isinstance(graph, Graph) else None
