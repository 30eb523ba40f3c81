"""The sidebar in JupyterLab: it lists the kernel's models and sessions while a cell trains, and a click shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.programs import MODEL, WATCHED_CELL

SECONDS = 45


def opened(page: Page) -> Locator:
    """The sidebar, brought to the front by its command."""
    page.evaluate("() => window.jupyterapp.commands.execute('graphscope:open')")
    panel = page.locator("#graphscope-panel")
    expect(panel).to_be_visible()
    return panel


def test_models_and_sessions_are_listed_and_a_click_focuses_or_opens(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook(MODEL + "\nteacher = nn.Linear(64, 10).eval()", WATCHED_CELL.format(seconds=SECONDS), height=1100)
    page = nb.page
    panel = opened(page)
    expect(panel).to_contain_text("No model in this kernel yet", timeout=10_000)
    screenshot(page, "sidebar-empty")

    nb.run(0)
    row = panel.locator("[data-model='model']")
    expect(row).to_contain_text("DigitNet", timeout=5000)
    expect(row).to_contain_text("1,986")
    expect(row).to_contain_text("train")
    expect(panel.locator("[data-model='teacher']")).to_contain_text("eval")

    nb.start(1)
    nb.status("busy")
    session = panel.locator(".gs-side-session")
    expect(session).to_contain_text("DigitNet-1", timeout=10_000)
    expect(session).to_contain_text("Live")
    first = session.inner_text()
    page.wait_for_timeout(2000)
    assert nb.is_busy() and session.inner_text() != first, "it moves on while the cell trains"
    expect(panel.get_by_role("treeitem").filter(has_text="stem")).to_be_visible()

    # The view is in the notebook already: scrolled away, a click in the sidebar brings it back.
    view = nb.cell(1).locator("[data-graphscope='view'][data-gs-session]")
    nb.panel.locator(".jp-WindowedPanel-outer").evaluate("element => element.scrollTo(0, 0)")
    panel.get_by_role("button", name="DigitNet-1, Live").click()
    expect(view).to_be_in_viewport(timeout=5000)
    assert page.locator(".jp-graphscope-view").count() == 0, "no second view is opened"
    expect(view).to_be_focused()

    # A module in the sidebar selects it in that view.
    panel.get_by_role("treeitem").filter(has_text="fc").click()
    expect(view.locator("[data-graphscope='details'] h2")).to_contain_text("fc", timeout=3000)
    screenshot(page, "sidebar-light")
    nb.theme("JupyterLab Dark")
    page.wait_for_timeout(500)
    screenshot(page, "sidebar-dark")
    nb.theme("JupyterLab Light")

    # A model that nobody watches opens in a tab, while the cell still trains.
    panel.locator("[data-model='teacher'] button").click()
    tab = page.locator(".jp-graphscope-view")
    expect(tab).to_contain_text("Linear", timeout=5000)
    expect(session).to_contain_text("Live")
    screenshot(page, "sidebar-tab")
    assert page.errors == [] and page.external == []


def test_a_session_without_a_view_opens_in_a_tab(notebook: Callable[..., Any], screenshot: Callable[..., Path]) -> None:
    nb = notebook(
        MODEL + "\nimport graphscope, threading\nsession = graphscope.watch(model, optimizer, every=2)",
        "for step in range(30):\n    optimizer.zero_grad()\n"
        "    nn.functional.cross_entropy(model(images[:32]), labels[:32]).backward()\n    optimizer.step()",
    )
    page = nb.page
    panel = opened(page)
    nb.run(0)
    nb.run(1)
    panel.get_by_role("button", name="DigitNet-1, Live").click()
    tab = page.locator(".jp-graphscope-view")
    tab.locator("canvas[data-graphscope='graph']").wait_for(timeout=10_000)
    expect(tab).to_contain_text("Step 29", timeout=5000)
    expect(tab.locator("[data-graphscope='view'][data-gs-session]")).to_have_count(1)
    screenshot(page, "sidebar-session-tab")
    panel.get_by_role("button", name="DigitNet-1, Live").click()
    expect(tab).to_have_count(1)
    assert page.errors == [] and page.external == []


def test_a_kernel_without_graphscope_says_so(notebook: Callable[..., Any], screenshot: Callable[..., Path]) -> None:
    # A kernel in another environment: nothing of ours can be imported.
    nb = notebook(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'graphscope':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "for name in [n for n in sys.modules if n.partition('.')[0] == 'graphscope']: del sys.modules[name]"
    )
    nb.run(0)
    panel = opened(nb.page)
    expect(panel).to_contain_text("graphscope is not installed in this kernel", timeout=10_000)
    expect(panel.locator("code")).to_have_text("%pip install torch-graphscope")
    screenshot(nb.page, "sidebar-missing")
    assert nb.page.errors == [] and nb.page.external == []
