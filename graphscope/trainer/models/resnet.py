"""Residual networks for small images: ResNet-18 with a 3x3 stem, and the nine-layer network of the speed records.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (stem for 32x32: section 4.2);
D. Page, How to Train Your ResNet, 2018 (resnet9).
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. Shapes: [N, inputs, H, W] -> [N, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + self.downsample(x))


class ResNet18(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]."""

    def __init__(self, channels: int, n_classes: int, width: int = 64) -> None:
        super().__init__()
        self.stem = conv_bn(channels, width)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, stride=2), BasicBlock(2 * width, 2 * width))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, stride=2), BasicBlock(4 * width, 4 * width))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, stride=2), BasicBlock(8 * width, 8 * width))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(8 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.pool(x)))


class Residual(nn.Module):
    """Two conv_bn with the input added. Shapes: unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv_bn(channels, channels)
        self.conv2 = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class ResNet9(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]. A quarter of the published width (64): two CPU cores train it."""

    def __init__(self, channels: int, n_classes: int, width: int = 16) -> None:
        super().__init__()
        self.prep = conv_bn(channels, width)
        self.conv1 = conv_bn(width, 2 * width)
        self.pool1 = nn.MaxPool2d(2)
        self.res1 = Residual(2 * width)
        self.conv2 = conv_bn(2 * width, 4 * width)
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = conv_bn(4 * width, 8 * width)
        self.pool3 = nn.MaxPool2d(2)
        self.res3 = Residual(8 * width)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(8 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prep(x)
        x = self.res1(self.pool1(self.conv1(x)))
        x = self.pool2(self.conv2(x))
        x = self.res3(self.pool3(self.conv3(x)))
        return self.fc(self.flatten(self.pool(x)))
