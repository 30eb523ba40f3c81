"""The models whose traces are timed: networks people train, and graphs of many tiny ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.capture.zoo.attention import GptBlock
from tests.capture.zoo.convolutional import BasicBlock


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
    """One op after the other, of about 5 microseconds each."""

    def __init__(self, ops: int = 20_000) -> None:
        super().__init__()
        self.ops = ops

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.ops):
            x = x + 1
        return x


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 4)


class Case(NamedTuple):
    """One row of the table."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    rounds: int
    floor: float
    """Ratio to the plain forward to stay below."""
    aim: float
    ceiling: float
    """Ratio at which the benchmark fails: it only catches what became much worse."""


def tokens() -> Tensor:
    return torch.randint(0, 50, (16, 15))


CASES = (
    Case("MNIST CNN", MnistCnn, lambda: (torch.randn(16, 1, 28, 28),), 21, 1.2, 1.15, 1.6),
    Case("ResNet-18", ResNet18, lambda: (torch.randn(2, 3, 32, 32),), 21, 1.2, 1.15, 1.6),
    Case("Transformer encoder", encoder, lambda: (torch.randn(8, 16, 64),), 41, 1.75, 1.75, 3.0),
    Case("seq2seq loop", Seq2Seq, lambda: (tokens(), tokens()), 41, 2.2, 2.0, 4.0),
    Case("tiny GPT", TinyGpt, lambda: (torch.randint(0, 50, (8, 16)),), 81, 2.6, 2.0, 6.0),
    Case("20,000-op chain", Chain, lambda: (torch.zeros(15_000),), 7, 2.75, 2.0, 6.0),
)
