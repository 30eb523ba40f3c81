"""The view as an ipywidget: what it shows where, what it links, and what is said when it was not built."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import traitlets

import graphscope.jupyter.widget as widget_module
from graphscope.jupyter.display import mimebundle
from graphscope.jupyter.widget import WIDGET_MIME, View, ViewerNotBuilt, _bundle
from tests.jupyter.fakes import FakeSession


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A viewer of one line: these tests need no JavaScript."""
    bundle = tmp_path / "widget.js"
    bundle.write_text("export default { render() {} };")
    monkeypatch.setattr(widget_module, "BUNDLE", bundle)
    _bundle.cache_clear()
    return bundle


def test_it_is_a_widget_with_four_public_traits(session: FakeSession) -> None:
    view = View(session)  # type: ignore[arg-type]
    assert isinstance(view, ipywidgets.DOMWidget)
    state = view.get_state()
    assert {name: state[name] for name in ("step", "selection", "color_by", "compare_step")} == {
        "step": 0, "selection": "", "color_by": "update", "compare_step": None,
    }  # fmt: skip
    assert state["_esm"].startswith("export default")
    slider = ipywidgets.IntSlider(max=10)
    link = ipywidgets.link((slider, "value"), (view, "step"))
    slider.value = 7
    assert view.step == 7
    link.unlink()
    with pytest.raises(traitlets.TraitError):
        view.step = "seven"  # type: ignore[assignment]
    view.close()


def test_the_bundle_has_the_view_a_drawing_and_a_text(session: FakeSession) -> None:
    view = View(session)  # type: ignore[arg-type]
    data, _ = view._repr_mimebundle_()
    assert data[WIDGET_MIME]["model_id"] == view.model_id
    assert data["image/svg+xml"].startswith("<svg") and "conv" in data["image/svg+xml"]
    assert data["text/plain"] == repr(session)
    view.close()


def test_a_graph_shows_itself(session: FakeSession) -> None:
    data, _ = View(session.graph)._repr_mimebundle_()
    assert set(data) == {WIDGET_MIME, "image/svg+xml", "text/plain"}
    assert data["text/plain"] == repr(session.graph)


def test_outside_a_kernel_a_graph_is_its_text(session: FakeSession) -> None:
    assert mimebundle(session.graph) == ({"text/plain": repr(session.graph)}, {})


def test_messages_of_the_page_reach_the_link_and_closing_ends_it(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(session)  # type: ignore[arg-type]
    sent: list[Any] = []
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append((content, buffers)))
    view._handle_custom_msg({"kind": "ping", "request": 3}, [])
    assert sent[0][0] == {"type": "frames"} and len(sent[0][1]) == 1
    view._handle_custom_msg({"kind": "anywidget-command", "name": "x"}, [])
    assert len(sent) == 1
    view._handle_custom_msg({"kind": "hello"}, [])
    assert len(session.subscribers) == 1
    view.close()
    assert session.subscribers == []


def test_a_viewer_that_was_not_built_says_how(session: FakeSession, built: Path) -> None:
    built.unlink()
    with pytest.raises(ViewerNotBuilt, match=r"make install"):
        View(session)  # type: ignore[arg-type]


def test_nothing_of_jupyter_is_imported_by_the_door_alone() -> None:
    import subprocess

    code = "import sys, graphscope.jupyter.display as d; print(d.in_kernel(), 'ipywidgets' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["False", "False"]


def test_nbconvert_without_widget_state_shows_the_drawing(session: FakeSession) -> None:
    """What docs, GitHub and nbviewer do: no kernel, no widget manager, no request."""
    import nbformat
    from nbconvert import HTMLExporter

    data, metadata = View(session)._repr_mimebundle_()  # type: ignore[arg-type]
    output = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell("session", outputs=[output], execution_count=1)
    html, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert base64.b64encode(data["image/svg+xml"].encode()).decode() in html.replace("\n", "")
    assert 'type="application/vnd.jupyter.widget-view+json"' not in html
