"""PyTorch's own MNIST example (two convolutions, dropout, two linear layers), without and with BatchNorm.

Source: pytorch/examples, mnist/main.py.
"""

from __future__ import annotations

from torch import Tensor, nn


class CNN(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]; for H = W = 28 the flattened maps are 9,216 wide."""

    def __init__(self, channels: int, height: int, width: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, kernel_size=3)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.drop1 = nn.Dropout2d(0.25)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(flat_width(height, width), 128)
        self.relu3 = nn.ReLU()
        self.drop2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        x = self.drop1(self.pool(x))
        x = self.flatten(x)
        x = self.drop2(self.relu3(self.fc1(x)))
        return self.fc2(x)


class CNNBatchNorm(nn.Module):
    """CNN with BatchNorm after each convolution. Shapes: [N, C, H, W] -> [N, n_classes]."""

    def __init__(self, channels: int, height: int, width: int, n_classes: int) -> None:
        super().__init__()
        # No bias: BatchNorm subtracts the mean, so it would have no effect.
        self.conv1 = nn.Conv2d(channels, 32, kernel_size=3, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.drop1 = nn.Dropout2d(0.25)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(flat_width(height, width), 128)
        self.relu3 = nn.ReLU()
        self.drop2 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.drop1(self.pool(x))
        x = self.flatten(x)
        x = self.drop2(self.relu3(self.fc1(x)))
        return self.fc2(x)


def flat_width(height: int, width: int) -> int:
    """Width of the flattened maps: two 3x3 convolutions take 4 pixels off each side, the pool halves, 64 channels."""
    return 64 * ((height - 4) // 2) * ((width - 4) // 2)
