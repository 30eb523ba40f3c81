"""An image squeezed through a code of 32 numbers and rebuilt from it."""

from __future__ import annotations

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Shapes: [N, C, H, W] -> the same, values 0 to 1; H and W are multiples of 4."""

    def __init__(self, channels: int, height: int, width: int, code: int = 32) -> None:
        super().__init__()
        maps = (32, height // 4, width // 4)
        flat = maps[0] * maps[1] * maps[2]
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, flat),
            nn.ReLU(),
            nn.Unflatten(1, maps),
            nn.ConvTranspose2d(32, 16, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, channels, kernel_size=4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))
