"""Two networks against each other: one draws images from noise, the other tells them from real ones.

Source: Goodfellow et al., Generative Adversarial Nets, 2014; layers after Radford et al., DCGAN, 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

NOISE = 64


class Generator(nn.Module):
    """Shapes: noise [N, NOISE] -> images [N, C, H, W], values -1 to 1; H and W are multiples of 4."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        maps = (64, height // 4, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(NOISE, maps[0] * maps[1] * maps[2], bias=False),
            nn.Unflatten(1, maps),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, kernel_size=4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


class Discriminator(nn.Module):
    """Shapes: images [N, C, H, W] -> scores [N, 1], above 0 for "real"."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class GAN(nn.Module):
    """Both networks, trained in turns."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.generator = Generator(channels, height, width)
        self.discriminator = Discriminator(channels, height, width)

    def forward(self, noise: Tensor, images: Tensor | None = None) -> tuple[Tensor | None, Tensor]:
        """Scores of real and of generated images.

        With images it is the discriminator's turn, and no gradient reaches the generator; without, the generator's.
        """
        made = self.generator(noise)
        if images is None:
            return None, self.discriminator(made)
        return self.discriminator(images), self.discriminator(made.detach())
