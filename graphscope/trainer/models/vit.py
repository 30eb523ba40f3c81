"""A tiny vision transformer: 4x4 patches, four pre-norm blocks, mean over the patches.

Source: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; mean pooling instead of a class token as in
Beyer et al., Better plain ViT baselines for ImageNet-1k, 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Self-attention and an MLP, each normalised before and added after. Shapes: [N, T, dim] -> [N, T, dim]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Shapes: [N, C, H, W] -> [N, n_classes]; H and W are multiples of ``patch``."""

    def __init__(
        self, channels: int, height: int, width: int, n_classes: int, patch: int = 4, dim: int = 64, depth: int = 4
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, dim, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(torch.randn(1, (height // patch) * (width // patch), dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads=4) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = self.norm(self.blocks(x))
        return self.head(x.mean(dim=1))
