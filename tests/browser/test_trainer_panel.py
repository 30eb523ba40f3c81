"""The built-in trainer from the page: start, pause, one batch, other numbers meanwhile, breaks, stop, failures."""

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
    panel.get_by_role("button", name="Start", exact=True).click()
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
    expect(panel).not_to_contain_text("Taken at the next batch", timeout=10_000)

    panel.get_by_role("button", name="Pause").click()
    expect(panel).to_have_attribute("data-state", "paused", timeout=10_000)
    page.wait_for_timeout(1200)
    paused = step_of(panel)
    page.wait_for_timeout(1200)
    assert step_of(panel) == paused
    panel.get_by_role("button", name="Batch").click()
    assert eventually(lambda: step_of(panel) == paused + 1), f"{step_of(panel)} after one batch from {paused}"
    expect(panel).to_have_attribute("data-state", "paused", timeout=5000)
    expect(view.get_by_role("region", name="Time")).to_contain_text("Paused", timeout=5000)
    expect(view.get_by_role("region", name="Time")).not_to_contain_text("Live")
    samples = view.locator("[data-graphscope='samples']")
    expect(samples).to_contain_text("of 96", timeout=5000)
    wrong = samples.locator(".gs-wrong").count()
    assert samples.locator("li").evaluate_all("all => all.map(li => li.classList.contains('gs-wrong'))") == (
        [True] * wrong + [False] * (16 - wrong)
    ), "the wrong ones come first"
    assert samples.locator("canvas").first.evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 2"
    ), "a digit is drawn"
    nb.theme("JupyterLab Dark")
    view.evaluate("element => element.scrollIntoView({ block: 'start' })")
    screenshot(page, "trainer-dark")
    nb.theme("JupyterLab Light")

    panel.get_by_role("button", name="Resume").click()
    assert eventually(lambda: step_of(panel) > paused + 2, 20), "it goes on"
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-state", "stopped", timeout=15_000)
    expect(panel.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    assert "[0.016, 0.02]" in nb.run(1).inner_text(), "the rate was changed in the training itself"

    # Again, with another network: the same view shows the new run.
    panel.get_by_label("Network").select_option("mlp")
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel).to_have_attribute("data-state", "training", timeout=30_000)
    expect(view.get_by_role("tab", name="Modules")).to_be_visible()
    view.get_by_role("tab", name="Modules").click()
    expect(view.get_by_role("tree")).to_contain_text("MLP", timeout=15_000)
    view.get_by_role("tab", name="Trainer").click()
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-state", "stopped", timeout=15_000)
    assert page.errors == [] and page.external == []


BREAKING = """
import torch
torch.set_num_threads(1)
import graphscope
training = graphscope.train("digits", "cnn", epochs=40, start=False, run_dir="broken")
training
"""


def test_it_breaks_where_a_condition_holds_and_numbers_change_while_it_runs(
    notebook: Callable[..., Any], screenshot: Callable[..., Path]
) -> None:
    nb = notebook(
        BREAKING,
        "made = training.trainer\n"
        "momentum = made.optimizer.param_groups[0]['momentum']\n"
        "[made.dropout_layers()['drop2'].p, momentum, training.break_when, training.state]",
        height=1100,
    )
    page = nb.page
    view = nb.run(0).locator("[data-graphscope='view']")
    panel = view.locator("[data-graphscope='trainer']")
    expect(panel).to_have_attribute("data-state", "idle", timeout=15_000)
    condition = panel.get_by_label("Break when")
    condition.fill("grad_norm('fc1') > 0.000001")
    condition.press("Enter")
    expect(panel).to_contain_text("Pauses behind the batch", timeout=5000)
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel).to_have_attribute("data-state", "paused", timeout=30_000)
    expect(panel).to_contain_text("Met: the training is paused", timeout=5000)
    expect(panel).to_contain_text("grad_norm('fc1')")
    expect(view.locator("[data-graphscope='details'] h2")).to_have_text("fc1", timeout=5000)
    view.evaluate("element => element.scrollIntoView({ block: 'start' })")
    screenshot(page, "trainer-broke")

    condition.fill("grad_norm('fc9') > 1")
    condition.press("Enter")
    expect(panel.locator("[data-graphscope='break']")).to_contain_text("fc9", timeout=5000)
    expect(condition).to_have_attribute("aria-invalid", "true")
    panel.get_by_role("button", name="No condition").click()
    expect(condition).to_have_value("", timeout=5000)

    panel.get_by_label("Dropout p of drop2").fill("0.1")
    panel.get_by_label("Dropout p of drop2").press("Enter")
    panel.get_by_label("Momentum").fill("0.5")
    panel.get_by_label("Momentum").press("Enter")
    expect(panel).to_contain_text("Taken at the next batch")
    screenshot(page, "trainer-asked")
    panel.get_by_role("button", name="Batch").click()
    expect(panel).not_to_contain_text("Taken at the next batch", timeout=10_000)
    assert "[0.1, 0.5, '', 'paused']" in nb.run(1).inner_text()

    panel.get_by_role("button", name="Restart").click()
    expect(panel).to_have_attribute("data-state", "training", timeout=30_000)
    expect(panel).to_contain_text("step 1", timeout=15_000)
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-state", "stopped", timeout=30_000)
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
    expect(panel.get_by_label("Network")).to_have_value("Linear")
    expect(panel.get_by_label("Network")).to_be_disabled()
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel).to_have_attribute("data-state", "failed", timeout=30_000)
    assert len(panel.get_by_role("alert").inner_text()) > 20
    screenshot(nb.page, "trainer-failed")
    assert nb.page.errors == [] and nb.page.external == []
