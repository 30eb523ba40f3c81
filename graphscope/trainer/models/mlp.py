"""The network of most introductions: an image flattened, one hidden layer, one score per class."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]."""

    def __init__(self, inputs: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(inputs, hidden)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(x)
        x = self.relu(self.fc1(x))
        return self.fc2(x)


class MLPLogSoftmax(MLP):
    """Ends in log-probabilities: right for NLLLoss; before CrossEntropyLoss log_softmax runs twice, harmlessly."""

    def __init__(self, inputs: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__(inputs, n_classes, hidden)
        self.log_softmax = nn.LogSoftmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.log_softmax(super().forward(x))


class MLPSoftmax(MLP):
    """Ends in probabilities, as introductions often pair with CrossEntropyLoss: the loss then cannot get near zero."""

    def __init__(self, inputs: int, n_classes: int, hidden: int = 128) -> None:
        super().__init__(inputs, n_classes, hidden)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.softmax(super().forward(x))
