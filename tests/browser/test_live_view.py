"""A click on a node is answered while the cell that trains is still running: in JupyterLab, with this ipykernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.programs import MODEL, WATCHED_CELL, Answers, click_a_node, selected

SECONDS = 40


def test_a_click_is_answered_while_the_cell_trains(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook(MODEL, WATCHED_CELL.format(seconds=SECONDS), height=1100)
    page = nb.page
    answers = Answers(page)
    page.reload()
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
    nb.status("idle")
    nb.run(0)
    nb.start(1)
    nb.status("busy")
    view = nb.cell(1).locator("[data-graphscope='view']")
    view.locator("canvas[data-graphscope='graph']").wait_for(timeout=35_000)
    expect(view).to_contain_text("Live", timeout=10_000)
    page.wait_for_timeout(2500)
    before = dict(answers.counts)

    name = click_a_node(view)
    page.wait_for_timeout(1000)
    assert nb.is_busy(), "the cell must still be training"
    assert answers.counts["series"] > before["series"], "the click was answered during the cell"
    assert answers.counts["pong"] > before["pong"]
    assert name

    row = view.get_by_role("treeitem").filter(has_text="fc").first
    row.click()
    expect(view.locator("[data-graphscope='details'] h2")).to_contain_text("fc", timeout=2000)
    series = answers.counts["series"]
    page.wait_for_timeout(1000)
    assert nb.is_busy() and answers.counts["series"] > series, "and the click in the tree as well"
    assert "answers when the cell ends" not in view.inner_text()
    screenshot(page, "live-view-light")

    nb.theme("JupyterLab Dark")
    page.wait_for_timeout(500)
    screenshot(page, "live-view-dark")
    assert nb.is_busy()
    nb.finished(1, timeout=(SECONDS + 30) * 1000)
    expect(view).to_contain_text("Finished", timeout=10_000)
    assert selected(view) == "fc", "the view stays on the finished run"
    assert page.errors == [] and page.external == []
    assert answers.counts["command_error"] == 0


def test_shift_enter_runs_the_cell_from_within_its_view(notebook: Callable[..., Any]) -> None:
    nb = notebook("import torch, graphscope\ngraphscope.trace(torch.nn.Linear(2, 3), torch.ones(1, 2))", "1 + 1")
    view = nb.run(0).locator("[data-graphscope='view']")
    view.locator("canvas[data-graphscope='graph']").focus(timeout=20_000)
    nb.page.keyboard.press("Shift+Enter")
    expect(nb.cell(0).locator(".jp-InputArea-prompt")).to_have_text("[2]:", timeout=15_000)
    assert nb.page.errors == []
