"""Five ordinary trainings, one optimizer step at a time: what the price of watching is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.capture.zoo.convolutional import BasicBlock


class MnistCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout2d(0.25)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.fc2(F.relu(self.fc1(torch.flatten(self.drop(self.pool(x)), 1))))


class ResNet18(nn.Module):
    """As for CIFAR: a stem of 3 x 3 without pooling."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.stem, self.bn = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.layers = nn.Sequential(*(nn.Sequential(BasicBlock(a, b, s), BasicBlock(b, b, 1)) for a, b, s in widths))
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(F.relu(self.bn(self.stem(x)))).mean((2, 3)))


class Gpt(nn.Module):
    """Six layers of width 384 over 65 characters, as nanoGPT's smallest."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(65, 384), nn.Embedding(128, 384)
        self.blocks = nn.Sequential(*(Block() for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(384), nn.Linear(384, 65, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(384), nn.LayerNorm(384)
        self.qkv, self.out = nn.Linear(384, 1152), nn.Linear(384, 384)
        self.mlp = nn.Sequential(nn.Linear(384, 1536), nn.GELU(), nn.Linear(1536, 384))

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (z.view(b, t, 6, 64).transpose(1, 2) for z in self.qkv(self.norm1(x)).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.norm2(x))


class RowLstm(nn.Module):
    """An image read row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, 256, 2, batch_first=True), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


@dataclass(frozen=True)
class Case:
    """One model with its batch, and how many steps are worth their time."""

    name: str
    make: Callable[[], nn.Module]
    batch: Callable[[], tuple[Tensor, Tensor]]
    rounds: int
    """Of the paired comparison: each takes one step of every candidate."""
    long: int
    """Steps of the runs whose share is measured from our own clock."""
    every_tenth_aim: float
    """Share of step time."""


CASES = (
    Case("MLP 784-128-10", perceptron, lambda: (torch.randn(64, 784), torch.randint(10, (64,))), 100, 800, 0.05),
    Case("MNIST CNN", MnistCnn, lambda: (torch.randn(64, 1, 28, 28), torch.randint(10, (64,))), 7, 40, 0.01),
    Case("LSTM", RowLstm, lambda: (torch.randn(64, 28, 28), torch.randint(10, (64,))), 9, 60, 0.01),
    Case("GPT, 6 layers", Gpt, lambda: (torch.randint(65, (8, 128)), torch.randint(65, (8, 128))), 2, 24, 0.01),
    Case("ResNet-18", ResNet18, lambda: (torch.randn(64, 3, 32, 32), torch.randint(10, (64,))), 2, 16, 0.01),
)


class Loop:
    """One model in training; every loop of a case starts from the same weights."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.model = case.make()
        self.x, self.y = case.batch()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9)

    def step(self) -> None:
        self.optimizer.zero_grad()
        output = self.model(self.x)
        F.cross_entropy(output.flatten(0, -2), self.y.flatten()).backward()
        self.optimizer.step()
