"""A seed -> ImageSet of drawn shapes: ten kinds, 32x32 RGB, for machines without a network.

Made to need learning: position, size, rotation and both colours vary, contrast can be low, a line crosses some images
and all of them carry noise. A linear model stays far from what a small convolutional network reaches.
"""

from __future__ import annotations

import numpy as np
import torch

from graphscope.trainer.data.images import ImageSet, channel_statistics

CLASSES = ("disc", "ring", "square", "triangle", "pentagon", "star", "cross", "crescent", "bars", "heart")
SIZE = 32
_SAMPLES = 2  # per pixel and axis, so that edges are soft

Array = np.ndarray


def shapes(seed: int = 0, train: int = 8000, test: int = 2000) -> ImageSet:
    """The set, the same to the bit for the same numbers; classes equally frequent, in random order."""
    rng = np.random.default_rng([0x5A9E5, seed])
    labels = rng.permutation(np.arange(train + test) % len(CLASSES))
    chunks = [_drawn(part, rng) for part in np.array_split(labels, max(1, len(labels) // 500))]
    images = torch.from_numpy(np.concatenate(chunks))
    target = torch.from_numpy(labels.astype(np.int64))
    mean, std = channel_statistics(images[:train])
    return ImageSet(
        name="shapes",
        train_images=images[:train],
        train_labels=target[:train],
        test_images=images[train:],
        test_labels=target[train:],
        classes=CLASSES,
        mean=mean,
        std=std,
        provenance=f"generated, seed {seed}",
    )


def _drawn(labels: Array, rng: np.random.Generator) -> Array:
    """Labels [N] -> uint8 [N, 3, SIZE, SIZE]."""
    count = len(labels)
    radius = rng.uniform(6.0, 12.5, (count, 1, 1))
    centre_x, centre_y = SIZE / 2 + rng.uniform(-1, 1, (2, count, 1, 1)) * (SIZE / 2 - radius) * 0.9
    angle = rng.uniform(-np.pi, np.pi, (count, 1, 1))
    axis = (np.arange(SIZE * _SAMPLES) + 0.5) / _SAMPLES
    dx, dy = (axis[None, None, :] - centre_x) / radius, (axis[None, :, None] - centre_y) / radius
    x = np.cos(angle) * dx + np.sin(angle) * dy  # in units of the radius, turned by the angle
    y = np.cos(angle) * dy - np.sin(angle) * dx
    inside = np.zeros(x.shape, dtype=bool)
    for label, outline in enumerate(_OUTLINES):
        of_kind = labels == label
        inside[of_kind] = outline(x[of_kind], y[of_kind])
    cover = inside.reshape(count, SIZE, _SAMPLES, SIZE, _SAMPLES).mean(axis=(2, 4))[:, None]

    ground, ink = _colours(count, rng)
    slope = rng.uniform(-0.15, 0.15, (2, count, 1, 1, 1))
    ramp = np.linspace(-1, 1, SIZE)
    ground = ground + slope[0] * ramp[None, None, None, :] + slope[1] * ramp[None, None, :, None]
    picture = ground + cover * (ink - ground)

    # A line across half of the pictures: a blob of ink is not enough to tell the shape.
    pixel = np.arange(SIZE) + 0.5
    turn, offset = rng.uniform(0, np.pi, (count, 1, 1)), rng.uniform(4, SIZE - 4, (2, count, 1, 1))
    along, across = np.cos(turn) * (pixel[None, :, None] - offset[0]), np.sin(turn) * (pixel[None, None, :] - offset[1])
    distance = np.abs(along + across)
    line = (np.clip(1.2 - distance, 0, 1) * (rng.random((count, 1, 1)) < 0.5))[:, None]
    picture = picture + line * (rng.uniform(0, 1, (count, 3, 1, 1)) - picture)
    picture = picture + rng.normal(0, 1, picture.shape) * rng.uniform(0.02, 0.12, (count, 1, 1, 1))
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _colours(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Ground and ink [N, 3, 1, 1], at least 0.25 apart in one channel."""
    ground = rng.uniform(0.05, 0.95, (count, 3, 1, 1))
    step = rng.uniform(0.25, 0.6, (count, 3, 1, 1)) * np.where(ground > 0.5, -1, 1)
    strength = rng.uniform(0.3, 1, (count, 3, 1, 1))
    strength[np.arange(count), rng.integers(0, 3, count)] = 1
    return ground, ground + step * strength


# Each outline: x and y in units of the radius -> inside or not.


def _disc(x: Array, y: Array) -> Array:
    return x**2 + y**2 < 0.8


def _ring(x: Array, y: Array) -> Array:
    r = np.hypot(x, y)
    return (r < 0.95) & (r > 0.5)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) < 0.75


def _polygon(x: Array, y: Array, corners: int) -> Array:
    inner = np.cos(np.pi / corners)
    turns = [2 * np.pi * k / corners for k in range(corners)]
    return np.max([np.cos(t) * x + np.sin(t) * y for t in turns], axis=0) < inner


def _triangle(x: Array, y: Array) -> Array:
    return _polygon(x, y, 3)


def _pentagon(x: Array, y: Array) -> Array:
    return _polygon(x, y, 5)


def _star(x: Array, y: Array) -> Array:
    sector = 2 * np.pi / 5
    phase = np.abs((np.arctan2(y, x) + sector / 2) % sector - sector / 2)
    r, tip, notch = np.hypot(x, y), 1.0, 0.42
    # The edge from the tip (angle 0) to the notch (angle sector / 2), as a straight line.
    ax, ay = tip, 0.0
    bx, by = notch * np.cos(sector / 2), notch * np.sin(sector / 2)
    px, py = r * np.cos(phase), r * np.sin(phase)
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax) > 0


def _cross(x: Array, y: Array) -> Array:
    return (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (np.maximum(np.abs(x), np.abs(y)) < 0.9)


def _crescent(x: Array, y: Array) -> Array:
    return (x**2 + y**2 < 0.9) & ((x - 0.45) ** 2 + y**2 > 0.5)


def _bars(x: Array, y: Array) -> Array:
    return (np.abs(x) < 0.85) & ((np.abs(y - 0.5) < 0.22) | (np.abs(y + 0.5) < 0.22))


def _heart(x: Array, y: Array) -> Array:
    u, v = 1.2 * x, 0.15 - 1.15 * y
    return (u**2 + v**2 - 0.8) ** 3 < u**2 * v**3 * 1.6


_OUTLINES = (_disc, _ring, _square, _triangle, _pentagon, _star, _cross, _crescent, _bars, _heart)
