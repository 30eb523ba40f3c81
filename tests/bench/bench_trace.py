"""What ``graphscope.trace`` costs beside the plain forward: paired ratios in one process, medians of CPU time.

One thread; plain and traced forwards take turns, so that whatever else the machine does hits both. ``aim`` is the
ratio to stay below, ``ceiling`` the one at which this fails: it only catches what became much worse.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphscope
from tests.capture.zoo.attention import GptBlock
from tests.capture.zoo.convolutional import BasicBlock

RESULTS = Path("bench-results") / "trace.json"


class MnistCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.b1, self.b2 = (
            nn.Conv2d(1, 32, 3),
            nn.Conv2d(32, 64, 3),
            nn.BatchNorm2d(32),
            nn.BatchNorm2d(64),
        )
        self.drop, self.f1, self.f2 = nn.Dropout2d(0.25), nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b2(self.c2(F.relu(self.b1(self.c1(x))))))
        x = torch.flatten(self.drop(F.max_pool2d(x, 2)), 1)
        return F.log_softmax(self.f2(F.relu(self.f1(x))), dim=1)


class ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.stem, self.bn = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.layers = nn.Sequential(*(nn.Sequential(BasicBlock(a, b, s), BasicBlock(b, b, 1)) for a, b, s in widths))
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(F.relu(self.bn(self.stem(x)))).mean((2, 3)))


class Seq2Seq(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder, self.cell, self.out = (
            nn.Embedding(50, 64),
            nn.GRU(64, 64, batch_first=True),
            nn.GRUCell(64, 64),
            nn.Linear(64, 50),
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        _, h = self.encoder(self.embed(source))
        state, logits = h[0], []
        for t in range(target.shape[1]):
            state = self.cell(self.embed(target[:, t]), state)
            logits.append(self.out(state))
        return torch.stack(logits, 1)


class TinyGpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.blocks, self.head = (
            nn.Embedding(65, 8),
            nn.Sequential(*(GptBlock() for _ in range(4))),
            nn.Linear(8, 65),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(tokens)))


class Chain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(20_000):
            x = x + 1
        return x


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 4)


CASES = (
    # name, model, inputs, rounds, aim, ceiling
    ("MNIST CNN", MnistCnn, lambda: (torch.randn(16, 1, 28, 28),), 15, 1.2, 1.6),
    ("ResNet-18", ResNet18, lambda: (torch.randn(2, 3, 32, 32),), 15, 1.2, 1.6),
    ("Transformer encoder", encoder, lambda: (torch.randn(8, 16, 64),), 31, 1.75, 3.0),
    ("seq2seq loop", Seq2Seq, lambda: (torch.randint(0, 50, (16, 15)), torch.randint(0, 50, (16, 15))), 31, 2.2, 4.0),
    ("tiny GPT", TinyGpt, lambda: (torch.randint(0, 65, (8, 16)),), 61, 2.6, 6.0),
    ("20,000-op chain", Chain, lambda: (torch.zeros(15_000),), 5, 2.75, 6.0),
)


def cpu_seconds(work: Callable[..., Any], *args: Any) -> float:
    started = time.process_time()
    work(*args)
    return time.process_time() - started


def test_the_price_of_a_trace():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    try:
        for name, make, inputs, rounds, aim, ceiling in CASES:
            torch.manual_seed(0)
            model, args = make(), inputs()
            graph = graphscope.trace(model, *args)
            model(*args)
            pairs = [(cpu_seconds(model, *args), cpu_seconds(graphscope.trace, model, *args)) for _ in range(rounds)]
            ratio = statistics.median(traced / plain for plain, traced in pairs)
            plain = statistics.median(plain for plain, _ in pairs)
            rows.append({"model": name, "ops": len(graph.nodes), "plain_ms": plain * 1e3, "ratio": ratio, "aim": aim,
                         "us_per_op": (ratio - 1) * plain * 1e6 / len(graph.nodes), "ceiling": ceiling})  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    print(f"\n{'model':22}{'ops':>8}{'plain ms':>10}{'trace':>8}{'aim':>7}{'us/op':>8}")
    for row in rows:
        print(
            f"{row['model']:22}{row['ops']:8,}{row['plain_ms']:10.2f}{row['ratio']:7.2f}x{row['aim']:6.2f}x{row['us_per_op']:8.1f}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1))
    worse = [row["model"] for row in rows if row["ratio"] > row["ceiling"]]
    assert not worse, f"much dearer than it was: {worse}"
