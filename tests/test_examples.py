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

import graphscope

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SECONDS = 60
LOOPS = {
    "perceptron": set(),
    "probabilities": {"softmax-before-cross-entropy"},
    "net": {"dropout2d-on-2d-input", "evaluated-in-train-mode"},
    "lenet": set(),
}
"""The rules that find something in each of the classic loops."""


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


@pytest.mark.notebook
def test_the_classic_loops(run_in: Any) -> None:
    notebook, folder, _ = run_in(EXAMPLES / "07_the_classic_loops.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = {name: {f.rule for f in graphscope.load(folder / "runs" / name).findings} for name in LOOPS}
    assert found == LOOPS, "each loop's finding that the text speaks of, and no other"
    said = {cell.source.split("\n")[0].strip(): texts(cell) for cell in code}
    for name, rules in LOOPS.items():
        assert ("What to do:" in said[f'findings("runs/{name}")']) == bool(rules)
    both = re.search(r"in train mode ([\d.]+)%, with net.eval\(\) ([\d.]+)%", said["in_train_mode = share_right()"])
    assert both and float(both[2]) > float(both[1]) + 1, "dropout goes on while the network is tested"
    runs = {name: graphscope.load(folder / "runs" / name) for name in ("probabilities", "scores", "lenet")}
    losses = {name: run.scalars("loss")[1] for name, run in runs.items()}
    assert losses["probabilities"].min() > 1.4612 > 10 * losses["scores"][-1], "the loss that softmax cannot get below"
    assert runs["scores"].scalars("grad_norm")[1][0] > 5 * runs["probabilities"].scalars("grad_norm")[1][0]
    steps, norms = runs["lenet"].series("fc1.weight", "l2", role="parameter_gradient")
    assert norms[(steps > 50) & (steps <= 100)].max() > 2 * norms[0], "small gradients at first"
    views = [
        o for cell in code for o in cell.outputs if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]
    assert len(views) == 4, "one above each watched cell"
    assert all(cell.source.startswith("%%graphscope") for cell in code if "widget-view" in str(cell.outputs))
