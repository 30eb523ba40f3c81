"""A labelled set of small images held as tensors, and the batched transforms its batches pass through.

Kept as bytes: MNIST is then 55 MB instead of 220, and the whole set fits beside the network on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Images and labels of one data set, split into training and test.

    Shapes: images uint8 [N, C, H, W], labels int64 [N].
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    """What label 0, 1, ... stands for."""
    mean: tuple[float, ...]
    """Per channel, of the training images scaled to 0..1."""
    std: tuple[float, ...]
    """Per channel, population, of the training images scaled to 0..1."""
    augmented: bool = False
    """Whether training on it usually takes random crops and flips."""
    provenance: str = "bundled"
    """Where the bytes come from and whether their checksum is the official one, for people to read."""

    @property
    def check(self) -> str:
        """Whether its files are the official ones, as short words; empty where it has none."""
        short = self.provenance.partition(" (")[0]
        return short if short.startswith(("sha256", "unverified")) else ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation per channel, of bytes scaled to 0..1.

    Shapes: images uint8 [N, C, H, W] -> C numbers, C numbers.
    """
    # Sums of bytes and of their squares are exact in int64, so the result does not depend on the order of addition.
    values = images.to(torch.int64)
    count = values.shape[0] * values.shape[2] * values.shape[3]
    total, squares = values.sum(dim=(0, 2, 3)).double(), values.square().sum(dim=(0, 2, 3)).double()
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bytes -> floats with mean 0 and standard deviation 1 over the training set.

    Shapes: images uint8 [N, C, H, W], mean and std [C] of values scaled to 0..1 -> float32 [N, C, H, W].
    """
    return scaled(images, *scale_and_shift(mean, std))


def scale_and_shift(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """What bytes are multiplied by and what is added to normalise them. Shapes: [C], [C] -> [1, C, 1, 1] twice."""
    return (1 / (255 * std)).view(1, -1, 1, 1), (-mean / std).view(1, -1, 1, 1)


def scaled(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Bytes -> floats. Shapes: uint8 [N, C, H, W], [1, C, 1, 1] twice -> float32 [N, C, H, W]."""
    return torch.addcmul(shift, images.float(), scale)


def cropped_and_flipped(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Each image moved by up to ``padding`` pixels over black and mirrored with probability one half.

    Shapes: images [N, C, H, W] -> the same.
    Source: He et al. 2015, section 4.2 (CIFAR-10): 4 pixels padded on each side, a random crop, horizontal flip.
    """
    count, channels, height, width = images.shape
    dy, dx = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip, width - 1 - columns, columns) + dx
    rows = torch.arange(height) + dy
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows, columns = rows.to(images.device), columns.to(images.device)
    index = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[index, channel, rows.view(count, 1, height, 1), columns.view(count, 1, 1, width)]
