"""Names that want to be code: shown letter by letter in the view, the sidebar and the picture, and never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

# Each calls window.hit() if anything takes it for more than text. Module names may hold anything but dots.
CORPUS = [
    "<img src=x onerror=hit()>",
    "<svg onload=hit()>",
    "<script>hit()</script>",
    "\"><iframe srcdoc='<script>parent&#46;hit()</script>'>",
    "' onmouseover='hit()' x='",
    "javascript:hit()",
    "{{constructor&#46;constructor('hit()')()}}",
    "${hit()}",
    "</style><img src=x onerror=hit()>",
    "]]><img src=x onerror=hit()>",
    "<math><mtext><table><mglyph><style><img src=x onerror=hit()>",
    "\u202egnp\u2066exe",
    "__proto__",
    "constructor",
    "toString",
    "a\x00b",
    "line\nbreak",
    "x" * 400,
]

CELL = f"""
%load_ext graphscope
import torch
from torch import nn
torch.set_num_threads(1)
NAMES = {CORPUS!r}

class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        for name in NAMES:
            self.add_module(name, nn.Linear(4, 4))

    def extra_repr(self):
        return NAMES[0]

    def forward(self, x):
        for layer in self.children():
            x = torch.tanh(layer(x))
        return x

Hostile.__name__ = Hostile.__qualname__ = NAMES[0]
model = Hostile()
globals()[NAMES[1]] = nn.Linear(1, 1)
"""

WATCHED = """%%graphscope model --every 1
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for step in range(5):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
"""


def test_hostile_names_are_text_everywhere(notebook: Callable[..., Any]) -> None:
    nb = notebook(
        CELL,
        WATCHED,
        "%graphscope model(torch.randn(2, 4))",
        "%graphscope nothing['<img src=x onerror=hit()>']",
        width=1900,
    )
    page = nb.page
    page.evaluate("() => { window.hits = 0; window.hit = () => { window.hits += 1; }; }")
    page.evaluate("() => window.jupyterapp.commands.execute('graphscope:open')")
    nb.run(0)
    nb.run(1)
    view = nb.cell(1).locator("[data-graphscope='view']")
    tree = view.get_by_role("tree")
    expect(tree).to_contain_text(CORPUS[0], timeout=15_000)
    expect(view).to_contain_text("Step 4", timeout=10_000)
    panel = page.locator("#graphscope-panel")
    expect(panel).to_contain_text(CORPUS[0], timeout=10_000)
    expect(panel.locator("[data-model]")).to_have_count(2)
    rows = tree.get_by_role("treeitem")
    for row in range(rows.count()):
        rows.nth(row).click()
        page.wait_for_timeout(40)
    for name in CORPUS[:4]:
        view.get_by_label("Find modules and ops").fill(name)
        page.wait_for_timeout(100)
    for item in panel.get_by_role("treeitem").all()[:6]:
        item.hover()
        item.click()
    panel.locator("[data-model] button").nth(1).click()
    expect(page.locator(".jp-graphscope-view")).to_contain_text("Linear", timeout=5000)
    page.evaluate("() => window.jupyterapp.commands.execute('application:activate-previous-tab')")
    nb.run(2)
    expect(nb.cell(2).locator("[data-graphscope='view']")).to_contain_text(CORPUS[0], timeout=10_000)
    nb.start(3)
    page.wait_for_timeout(1500)
    assert page.evaluate("() => window.hits") == 0
    ours = page.locator("[data-graphscope='view'], #graphscope-panel")
    assert ours.locator("img, iframe, script").count() == 0
    assert page.evaluate("() => ({}).polluted === undefined && Object.keys(Object.prototype).length === 0")
    assert page.errors == [] and page.external == []
