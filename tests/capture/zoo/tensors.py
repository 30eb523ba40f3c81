"""Ops that write, view and move; each docstring is the graph read off the code below it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """A layer to train in front of what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)


class InPlace(Linear):
    """
    h = x -> lin:linear
    y = h -> mul -> add! -> sub! -> mul! -> add!(h) -> relu!
    y -> out
    """

    def forward(self, x: Tensor) -> Tensor:
        h = self.lin(x)
        y = h * 2
        y += 1
        y.sub_(0.5)
        y *= 3
        y += h
        F.relu(y, inplace=True)
        return y


class Slices(Linear):
    """
    h = x -> lin:linear
    y = -> zeros
    y1 = y -> setitem!(h)
    first = h -> getitem
    y2 = y1 -> setitem!(first)
    row = y2 -> getitem
    row1, y3 = row -> add!
    -- y is read after the row was written: it is the second value that the add made
    y3 -> cumsum -> out
    """

    def forward(self, x: Tensor) -> Tensor:
        h = self.lin(x)
        y = torch.zeros(3, 4)
        y[:2] = h
        y[2, :] = h[0]
        row = y[1]
        row.add_(5)
        return y.cumsum(0)


class Views(Linear):
    """
    h = x -> lin:linear
    t = h -> t
    v = t -> reshape
    a, b = v -> split
    n = b -> narrow
    w = h -> view -> unsqueeze -> expand
    q = a -> mul(n) -> sum
    w -> mul(q) -> flatten -> out
    """

    def forward(self, x: Tensor) -> Tensor:
        h = self.lin(x)
        a, b = h.T.reshape(-1).split(4)
        n = b.narrow(0, 0, 4)
        w = h.view(2, 2, 2).unsqueeze(0).expand(3, -1, -1, -1)
        return (w * (a * n).sum()).flatten()


class Out(nn.Module):
    """
    b = -> empty
    s = x -> add!(b)
    s -> mul(*scale) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        buffer = torch.empty(3, 4)
        torch.add(x, 1.0, out=buffer)
        return buffer * self.scale


class Indexing(Linear):
    """
    h = x -> lin:linear
    e = h -> einsum(x)
    ends = -> tensor
    base = -> zeros
    sc = base -> scatter_add(ends, h)
    i = -> tensor
    picked = sc -> index_select(i)
    z = e -> clone
    p = z -> index_put!(i, picked)
    m = p -> gt
    zero = -> tensor
    w = m -> where(p, zero)
    w -> stack(e) -> cumsum -> pad -> flatten -> unflatten -> masked_fill(mask) -> gather(index) -> out
    """

    def forward(self, x: Tensor, mask: Tensor, index: Tensor) -> Tensor:
        h = self.lin(x)
        e = torch.einsum("ij,kj->ik", h, x)
        ends = torch.tensor([[0, 1, 2, 0], [1, 1, 0, 0]])
        sc = torch.zeros(2, 4).scatter_add(1, ends, h)
        i = torch.tensor([0, 1])
        picked = sc.index_select(1, i)
        p = e.clone()
        p.index_put_((i,), picked)
        w = torch.where(p > 0, p, torch.tensor(0.0))
        c = F.pad(torch.stack([w, e]).cumsum(dim=0), (0, 1)).flatten().unflatten(0, (3, 4))
        return c.masked_fill(mask, 0.0).gather(1, index)
