"""Forwards that depend on data, and modules used in unusual ways; each docstring is the graph read off the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MixtureOfExperts(nn.Module):
    """
    -- the router sends every token to the expert of its sign: of three experts the last is never chosen
    gate = x -> router:linear -> softmax
    score, choice = gate -> max
    y = x -> zeros_like
    m0 = choice -> eq
    -> any(m0)
    x0 = x -> getitem(m0)
    e0 = x0 -> experts.0:linear
    y0 = y -> setitem!(m0, e0)
    m1 = choice -> eq
    -> any(m1)
    x1 = x -> getitem(m1)
    e1 = x1 -> experts.1:linear
    y1 = y0 -> setitem!(m1, e1)
    m2 = choice -> eq
    -> any(m2)
    column = score -> unsqueeze
    y1 -> mul(column) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(4, 3)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        with torch.no_grad():
            self.router.weight.zero_()
            self.router.weight[0, 0], self.router.weight[1, 0] = 1.0, -1.0
            self.router.bias.copy_(torch.tensor([0.0, 0.0, -9.0]))

    def forward(self, x: Tensor) -> Tensor:
        gate = F.softmax(self.router(x), dim=-1)
        score, choice = gate.max(dim=-1)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            mask = choice == i
            if mask.any():
                y[mask] = expert(x[mask])
        return y * score.unsqueeze(-1)


class IfWhile(nn.Module):
    """
    -- x is all ones: the sum is positive, then it is halved until it is below one: from 4 that takes three times
    h = x -> sum
    -> gt(h)
    y = x -> lin:linear -> relu
    s = x -> sum
    -> ge(s)
    s1 = s -> div
    -> ge(s1)
    s2 = s1 -> div
    -> ge(s2)
    s3 = s2 -> div
    -> ge(s3)
    y -> mul(s3) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            y = self.lin(x).relu()
        else:
            y = self.lin(x).tanh()
        s = x.sum()
        while s >= 1:
            s = s / 2
        return y * s


class Tied(nn.Module):
    """
    tokens -> table:embedding(*table.weight) -> tanh -> head:linear(*table.weight, *head.bias) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(tokens)))


@dataclass
class Boxes:
    centre: Tensor
    size: Tensor


class Scores(NamedTuple):
    good: Tensor
    bad: Tensor


class Containers(nn.Module):
    """
    p = batch[0] -> mul(batch[1])
    c = p -> a:linear
    s = p -> b:linear -> exp
    good = c -> add(s)
    bad = c -> sub(s)
    d = good -> mul
    out = c, s, good, bad, d
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

    def boxes(self, p: Tensor) -> Boxes:
        return Boxes(centre=self.a(p), size=self.b(p).exp())

    def forward(self, batch: dict[str, Tensor], *, factor: float = 1.0) -> dict[str, object]:
        box = self.boxes(batch["x"] * batch["weight"])
        scores = Scores(good=box.centre + box.size, bad=box.centre - box.size)
        return {"box": box, "scores": scores, "list": [scores.good * factor, "a text", None]}


class Block(nn.Module):
    """Part of Nested: a block that is returned as a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))])
        self.gate = {"f": F.gelu}  # an op held in a plain dict

    def forward(self, x: Tensor) -> Boxes:
        return Boxes(self.gate["f"](x * self.scales[0]), x * self.scales[1])


class Nested(nn.Module):
    """
    a = x -> trunk.left.0.inner:mul(*trunk.left.0.inner.scales.0) -> trunk.left.0.inner:gelu
    b = x -> trunk.left.0.inner:mul(*trunk.left.0.inner.scales.1)
    s = a -> add(b)
    c = s -> trunk.left.1.inner:mul(*trunk.left.1.inner.scales.0) -> trunk.left.1.inner:gelu
    d = s -> trunk.left.1.inner:mul(*trunk.left.1.inner.scales.1)
    e = c -> add(d)
    e -> trunk.right:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        left = nn.ModuleList(nn.ModuleDict({"inner": Block()}) for _ in range(2))
        self.trunk = nn.ModuleDict({"left": left, "right": nn.Linear(3, 2)})

    def forward(self, x: Tensor) -> Tensor:
        for entry in self.trunk["left"]:
            boxes = entry["inner"](x)
            x = boxes.centre + boxes.size
        return self.trunk["right"](x)
