"""Cells that the browser tests run, and what a person does in them: a small CNN on real digits and a plain loop."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Locator, Page

MODEL = """
%load_ext graphscope
import time, torch
from torch import nn
torch.set_num_threads(1)
torch.manual_seed(0)

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)) + x)

class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = Block(8)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = self.pool(self.block(self.stem(x)))
        return self.fc(self.drop(x.flatten(1)))

from sklearn.datasets import load_digits
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
model = DigitNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
"""

LOOP = """
def train(seconds=1e9, steps=10**9, rest=0.02):
    began = time.time()
    for step in range(steps):
        if time.time() - began > seconds:
            break
        pick = torch.randint(0, len(images), (32,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[pick]), labels[pick])
        loss.backward()
        optimizer.step()
        time.sleep(rest)
"""

# The loop as a user writes it, in the cell itself.
WATCHED_CELL = """%%graphscope model optimizer --every 5
began = time.time()
while time.time() - began < {seconds}:
    pick = torch.randint(0, len(images), (32,))
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images[pick]), labels[pick])
    loss.backward()
    optimizer.step()
    time.sleep(0.02)
"""


class Answers:
    """What the kernel sends to the page over its websockets, by kind of record."""

    def __init__(self, page: Page) -> None:
        self.counts: dict[str, int] = {}
        for kind in ("series", "pong", "step_stats", "command_error"):
            self.counts[kind] = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._take))

    def _take(self, payload: Any) -> None:
        data = payload if isinstance(payload, bytes) else str(payload).encode()
        for kind in self.counts:
            # The record's metadata in its safetensors header.
            self.counts[kind] += data.count(b'"kind":"%s"' % kind.encode())


def click_a_node(view: Locator, wanted: str = "") -> str:
    """Clicks down the middle of the canvas until the details name a module or op (holding ``wanted``) -> its name."""
    canvas = view.locator("canvas[data-graphscope='graph']")
    view.evaluate("element => element.scrollIntoView({ block: 'start' })")
    nothing = selected(view)
    box = canvas.bounding_box()
    assert box is not None
    for share in range(8, 96, 4):
        canvas.click(position={"x": box["width"] / 2, "y": box["height"] * share / 100})
        view.page.wait_for_timeout(60)
        name = selected(view)
        if name != nothing and wanted in name:
            return name
    raise AssertionError(f"no node {wanted!r} under 22 clicks; the details show {selected(view)!r}")


def selected(view: Locator) -> str:
    """What the details pane is about: with nothing selected, the model."""
    heading = view.locator("[data-graphscope='details'] h2 bdi")
    return heading.first.inner_text() if heading.count() else ""


def eventually(check: Any, seconds: float = 5.0) -> Any:
    """Waits until ``check()`` is true -> its value; what it was last if it never is."""
    deadline = time.monotonic() + seconds
    while not (value := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value
