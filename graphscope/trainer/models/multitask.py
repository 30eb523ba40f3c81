"""One trunk and two heads: what an image shows, and how bright its four quarters are."""

from __future__ import annotations

from torch import Tensor, nn


class MultiTask(nn.Module):
    """Shapes: [N, C, H, W] -> scores [N, n_classes], brightness [N, 4]."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.label_head = nn.Sequential(nn.Linear(64 * 16, 128), nn.ReLU(), nn.Linear(128, n_classes))
        self.brightness_head = nn.Sequential(nn.Linear(64 * 16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.label_head(features), self.brightness_head(features)
