"""Recurrent networks and loops; each docstring is the graph read off the code below it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gru(nn.Module):
    """
    e = tokens -> embed:embedding
    -- the state of zeros is made by nn.GRU itself
    h0 = -> gru:zeros
    y, h = e -> gru:gru?(h0)
    last = y -> getitem
    last -> head:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.head = nn.Embedding(9, 4), nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        y, _ = self.gru(self.embed(tokens))
        return self.head(y[:, -1])


class Rnn(nn.Module):
    """
    h0 = -> rnn:zeros
    y, h = x -> rnn:rnn_tanh?(h0)
    s = h -> squeeze
    s -> head:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, h = self.rnn(x)
        return self.head(h.squeeze(0))


class BiLstm(nn.Module):
    """
    h0 = -> lstm:zeros
    c0 = -> lstm:zeros
    y, h, c = x -> lstm:lstm?(h0, c0)
    forward = h -> getitem
    backward = h -> getitem
    forward -> cat(backward) -> head:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, bidirectional=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x)
        return self.head(torch.cat([h[-2], h[-1]], dim=1))


class Seq2Seq(nn.Module):
    """
    -- two steps of decoding: the first token is given, the second is the target's (teacher) in train mode
    source = source -> embed:embedding
    h0 = -> encoder:zeros
    y, h = source -> encoder:gru?(h0)
    state = h -> getitem
    t0 = target -> getitem
    s1 = t0 -> embed#1:embedding -> cell:gru_cell?(state)
    l1 = s1 -> head:linear
    t1 = target -> getitem
    s2 = t1 -> embed#2:embedding -> cell#1:gru_cell?(s1)
    l2 = s2 -> head#1:linear
    l1 -> stack(l2) -> out
    """

    def __init__(self, teacher: bool = True) -> None:
        super().__init__()
        self.teacher = teacher
        self.embed, self.encoder = nn.Embedding(7, 4), nn.GRU(4, 5, batch_first=True)
        self.cell, self.head = nn.GRUCell(4, 5), nn.Linear(5, 7)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        _, h = self.encoder(self.embed(source))
        state, token, logits = h[0], target[:, 0], []
        for t in range(2):
            state = self.cell(self.embed(token), state)
            logits.append(self.head(state))
            if t == 0:
                token = target[:, 1] if self.teacher else logits[-1].argmax(dim=1)
        return torch.stack(logits, dim=1)


class FreeRunning(Seq2Seq):
    """
    -- the same without a teacher: the second token is the model's own
    source = source -> embed:embedding
    h0 = -> encoder:zeros
    y, h = source -> encoder:gru?(h0)
    state = h -> getitem
    t0 = target -> getitem
    s1 = t0 -> embed#1:embedding -> cell:gru_cell?(state)
    l1 = s1 -> head:linear
    t1 = l1 -> argmax
    s2 = t1 -> embed#2:embedding -> cell#1:gru_cell?(s1)
    l2 = s2 -> head#1:linear
    l1 -> stack(l2) -> out
    """

    def __init__(self) -> None:
        super().__init__(teacher=False)
