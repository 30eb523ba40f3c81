"""The built-in trainer from the page: start, pause, one batch, another learning rate, stop; and a failure in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.programs import eventually

CELL = """
import torch
torch.set_num_threads(1)
import graphscope
training = graphscope.train("digits", "lenet", schedule="constant", epochs=40, start=False, run_dir="trained")
training
"""


def step_of(panel: Locator) -> int:
    """The step the panel shows."""
    found = re.search(r"step ([\d,]+) of", panel.inner_text())
    return int(found[1].replace(",", "")) if found else -1


def test_a_training_is_started_paused_stepped_and_stopped_from_the_page(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook(CELL, "training.session.run.scalars('lr')[1][[0, -1]].tolist(), training.state", height=1000)
    page = nb.page
    view = nb.run(0).locator("[data-graphscope='view']")
    panel = view.locator("[data-graphscope='trainer']")
    expect(panel).to_have_attribute("data-state", "idle", timeout=15_000)
    view.evaluate("element => element.scrollIntoView({ block: 'start' })")
    screenshot(page, "trainer-idle")

    panel.get_by_label("Epochs").fill("30")
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_have_attribute("data-state", "training", timeout=30_000)
    expect(panel).to_contain_text("1,442 training and 355 test images", timeout=5000)
    assert eventually(lambda: step_of(panel) > 3, 20), "it trains"
    assert not nb.is_busy(), "the kernel stays free"
    expect(panel.get_by_label("Seed")).to_be_disabled()
    view.locator("canvas[data-graphscope='graph']").wait_for(timeout=10_000)
    screenshot(page, "trainer-light")

    rate = panel.get_by_label("Learning rate")
    rate.fill("0.02")
    rate.press("Enter")
    expect(panel).to_contain_text("was 0.016")
    expect(rate).to_have_value("0.02", timeout=5000)

    panel.get_by_role("button", name="Pause").click()
    expect(panel).to_have_attribute("data-state", "paused", timeout=10_000)
    page.wait_for_timeout(1200)
    paused = step_of(panel)
    page.wait_for_timeout(1200)
    assert step_of(panel) == paused
    panel.get_by_role("button", name="Batch").click()
    assert eventually(lambda: step_of(panel) == paused + 1), f"{step_of(panel)} after one batch from {paused}"
    expect(panel).to_have_attribute("data-state", "paused", timeout=5000)
    page.wait_for_timeout(1200)
    nb.theme("JupyterLab Dark")
    view.evaluate("element => element.scrollIntoView({ block: 'start' })")
    screenshot(page, "trainer-dark")
    nb.theme("JupyterLab Light")

    panel.get_by_role("button", name="Resume").click()
    assert eventually(lambda: step_of(panel) > paused + 2, 20), "it goes on"
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-state", "stopped", timeout=15_000)
    expect(panel.get_by_role("button", name="Start")).to_be_enabled()
    assert "[0.016, 0.02]" in nb.run(1).inner_text(), "the rate was changed in the training itself"

    # Again, with another network: the same view shows the new run.
    panel.get_by_label("Network").select_option("mlp")
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_have_attribute("data-state", "training", timeout=30_000)
    expect(view.get_by_role("tab", name="Modules")).to_be_visible()
    view.get_by_role("tab", name="Modules").click()
    expect(view.get_by_role("tree")).to_contain_text("MLP", timeout=15_000)
    view.get_by_role("tab", name="Trainer").click()
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-state", "stopped", timeout=15_000)
    assert page.errors == [] and page.external == []


def test_what_cannot_be_trained_is_said_in_the_panel(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook(
        "import torch, graphscope\nfrom torch import nn\n"
        "graphscope.train(data='digits', model=nn.Linear(3, 10), epochs=1, start=False)",
        height=1000,
    )
    panel = nb.run(0).locator("[data-graphscope='trainer']")
    expect(panel).to_have_attribute("data-state", "idle", timeout=15_000)
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_have_attribute("data-state", "failed", timeout=30_000)
    assert len(panel.get_by_role("alert").inner_text()) > 20
    screenshot(nb.page, "trainer-failed")
    assert nb.page.errors == [] and nb.page.external == []
