"""JupyterLab starts, runs a cell and has the sidebar's plugin: what every other browser test stands on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_cell_runs_and_nothing_leaves_the_machine(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook("import graphscope\nprint(graphscope.__name__, 6 * 7)")
    assert "graphscope 42" in nb.run(0).inner_text()
    assert screenshot(nb.page, "lab-smoke").stat().st_size > 10_000
    assert nb.page.external == []
    assert nb.page.errors == []


def test_the_sidebar_plugin_is_loaded(notebook: Callable[..., Any]) -> None:
    nb = notebook("")
    assert nb.page.evaluate("() => window.jupyterapp.hasPlugin('graphscope:plugin')")
    nb.page.wait_for_function("() => window.jupyterapp.isPluginActivated('graphscope:plugin')", timeout=10_000)
    assert nb.page.errors == []


def test_the_labextension_is_listed_as_enabled(lab: Any) -> None:
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    listing = subprocess.run(command, env=lab.env, cwd=lab.root, capture_output=True, text=True, timeout=60, check=True)
    text = re.sub(r"\x1b\[\d+m", "", listing.stdout + listing.stderr)
    assert re.search(r"graphscope v\S+ enabled OK", text), text
