"""Every notebook in examples/ runs from top to bottom, says what it promises, and is committed without outputs."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SECONDS = 60


def test_there_are_notebooks_and_their_names_are_numbered() -> None:
    assert NOTEBOOKS
    assert all(re.fullmatch(r"\d\d_[a-z_]+\.ipynb", path.name) for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs_and_widget_state(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def texts(cell: Any) -> str:
    """Everything a cell printed or showed as text."""
    parts = [output.get("text", "") for output in cell.outputs]
    parts += [output.data.get("text/plain", "") for output in cell.outputs if "data" in output]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def run_in(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """run_in(path) -> the notebook after it ran in a folder of its own, the folder, and how long that took."""

    def run(path: Path) -> tuple[Any, Path, float]:
        folder = tmp_path_factory.mktemp(path.stem)
        notebook = nbformat.read(path, as_version=4)
        began = time.monotonic()
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
        return notebook, folder, time.monotonic() - began

    return run


@pytest.mark.notebook
def test_first_look(run_in: Any) -> None:
    notebook, folder, seconds = run_in(EXAMPLES / "01_first_look.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = "\n".join(texts(cell) for cell in code)
    views = [
        output.data
        for cell in code
        for output in cell.outputs
        if "data" in output and "application/vnd.jupyter.widget-view+json" in output.data
    ]
    assert len(views) == 5, "the graph, the watched cell, the session, the loaded run, the training"
    assert sum("image/svg+xml" in view for view in views) >= 3, "the picture for places without JavaScript"
    assert "evaluated in train mode" in said.lower()
    assert "What to do:" in said
    (accuracy,) = map(float, re.findall(r"test accuracy with model\.eval\(\): ([\d.]+)%", said))
    assert accuracy > 85
    (dropped,) = map(float, re.findall(r"Dropout drops ([\d.]+)% of the values; it was asked for 40%", said))
    assert 35 < dropped < 45
    assert (folder / "report.html").stat().st_size > 100_000
    assert list(folder.glob("runs/*/*.gscope"))
    assert re.search(r"\d\d\.\d\d% of the test images are right", said)
    assert "Warning" not in said and "Error" not in said
    assert seconds < SECONDS or sys.gettrace() is not None, f"{seconds:.0f} s; a first look takes less than a minute"
