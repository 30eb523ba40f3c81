"""An image read row by row: the last hidden state of an LSTM or a GRU says the class."""

from __future__ import annotations

from torch import Tensor, nn


class RowLSTM(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]; the sequence is H long, each step sees C * W values."""

    def __init__(self, channels: int, width: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels * width, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(rows(x))
        return self.fc(out[:, -1])


class RowGRU(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]; the sequence is H long, each step sees C * W values."""

    def __init__(self, channels: int, width: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.gru = nn.GRU(channels * width, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.gru(rows(x))
        return self.fc(out[:, -1])


def rows(x: Tensor) -> Tensor:
    """Shapes: [N, C, H, W] -> [N, H, C * W]."""
    return x.transpose(1, 2).flatten(2)
