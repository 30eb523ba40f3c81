"""Networks of convolutions; each docstring is the graph read off the code below it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet(nn.Module):
    """
    h = x -> c1:conv2d -> relu -> max_pool2d -> c2:conv2d -> relu -> max_pool2d -> view -> f1:linear -> tanh
    h -> f2:linear -> log_softmax -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3)
        self.f1, self.f2 = nn.Linear(4 * 2 * 2, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), (2, 2))
        x = torch.tanh(self.f1(x.view(x.size(0), -1)))
        return F.log_softmax(self.f2(x), dim=1)


class BasicBlock(nn.Module):
    """Drawn as part of ResNet."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU(inplace=True)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    """
    a = x -> stem:conv2d -> bn:batch_norm -> relu!
    b = a -> b1.conv1:conv2d -> b1.bn1:batch_norm -> b1.relu:relu! -> b1.conv2:conv2d -> b1.bn2:batch_norm
    c = b -> b1:add!(a) -> b1.relu#1:relu!
    d = c -> b2.conv1:conv2d -> b2.bn1:batch_norm -> b2.relu:relu! -> b2.conv2:conv2d -> b2.bn2:batch_norm
    skip = c -> b2.down.0:conv2d -> b2.down.1:batch_norm
    d -> b2:add!(skip) -> b2.relu#1:relu! -> pool:adaptive_avg_pool2d -> flatten -> fc:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.b1, self.b2 = BasicBlock(4, 4, 1), BasicBlock(4, 6, 2)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn(self.stem(x)))
        return self.fc(torch.flatten(self.pool(self.b2(self.b1(x))), 1))


class Bottleneck(nn.Module):
    """
    a = x -> conv1:conv2d -> bn1:batch_norm -> relu:relu! -> conv2:conv2d -> bn2:batch_norm -> relu#1:relu!
    a -> conv3:conv2d -> bn3:batch_norm -> add!(x) -> relu#2:relu! -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 2, 1, bias=False), nn.BatchNorm2d(2)
        self.conv2, self.bn2 = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.conv3, self.bn3 = nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x
        return self.relu(y)


class UNet(nn.Module):
    """
    a = x -> enc1.0:conv2d -> enc1.1:relu!
    b = a -> max_pool2d -> enc2.0:conv2d -> enc2.1:relu!
    mid = b -> max_pool2d -> mid.0:conv2d -> mid.1:relu! -> drop:dropout2d
    u2 = mid -> up2:conv_transpose2d -> cat(b) -> dec2.0:conv2d -> dec2.1:relu!
    u2 -> interpolate -> cat(a) -> dec1.0:conv2d -> dec1.1:relu! -> head:conv2d -> out
    """

    def __init__(self) -> None:
        super().__init__()

        def block(cin: int, cout: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(inplace=True))

        self.enc1, self.enc2, self.mid = block(1, 2), block(2, 4), block(4, 4)
        self.drop = nn.Dropout2d(0.3)
        self.up2 = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.dec2, self.dec1 = block(8, 2), block(4, 2)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.enc1(x)
        b = self.enc2(F.max_pool2d(a, 2))
        m = self.drop(self.mid(F.max_pool2d(b, 2)))
        y = self.dec2(torch.cat([self.up2(m), b], 1))
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(self.dec1(torch.cat([y, a], dim=1)))


class DenseNet(nn.Module):
    """
    a = x -> layers.0.0:batch_norm -> layers.0.1:relu -> layers.0.2:conv2d
    b = x -> cat(a) -> layers.1.0:batch_norm -> layers.1.1:relu -> layers.1.2:conv2d
    c = x -> cat(a, b) -> layers.2.0:batch_norm -> layers.2.1:relu -> layers.2.2:conv2d
    x -> cat(a, b, c) -> mean -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(2 + 3 * i), nn.ReLU(), nn.Conv2d(2 + 3 * i, 3, 3, padding=1)) for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1) if len(features) > 1 else x))
        return torch.cat(features, 1).mean(dim=(2, 3))
