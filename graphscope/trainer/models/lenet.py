"""LeNet-5 as the CIFAR introductions write it: ReLU and max pooling in place of tanh and subsampling.

Source: LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998; PyTorch's
tutorial "Training a Classifier".
"""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]; for 32x32 the flattened maps are 400 wide."""

    def __init__(self, channels: int, height: int, width: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.flatten(x)
        x = self.relu3(self.fc1(x))
        x = self.relu4(self.fc2(x))
        return self.fc3(x)
