"""Attention and Transformers; each docstring is the graph read off the code below it or off torch.nn's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """
    -- batch first: torch.nn.MultiheadAttention transposes in and out, once for all three as they are one tensor
    t = x -> attention:transpose
    y, w = t -> attention:multi_head_attention_forward?
    back = y -> attention:transpose
    back -> add(x) -> norm:layer_norm -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.attention(x, x, x)
        return self.norm(y + x)


ENCODER_LAYER = """
    q{i} = {x} -> encoder.layers.{i}.self_attn:transpose
    y{i}, w{i} = q{i} -> encoder.layers.{i}.self_attn:multi_head_attention_forward?
    b{i} = y{i} -> encoder.layers.{i}.self_attn:transpose -> encoder.layers.{i}.dropout1:dropout
    n{i} = {x} -> encoder.layers.{i}:add(b{i}) -> encoder.layers.{i}.norm1:layer_norm
    f{i} = n{i} -> encoder.layers.{i}.linear1:linear -> encoder.layers.{i}:relu -> encoder.layers.{i}.dropout:dropout
    g{i} = f{i} -> encoder.layers.{i}.linear2:linear -> encoder.layers.{i}.dropout2:dropout
    x{i} = n{i} -> encoder.layers.{i}:add(g{i}) -> encoder.layers.{i}.norm2:layer_norm
"""


class Encoder(nn.Module):
    """Two layers of torch.nn, post-norm, in train mode."""

    DRAWING = f"""
    {ENCODER_LAYER.format(i=0, x="x")}
    {ENCODER_LAYER.format(i=1, x="x0")}
    x1 -> mean -> out
    """

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x).mean(dim=1)


class Decoder(nn.Module):
    """
    -- one layer of torch.nn, sequence first (no transposes), pre-norm: each part reads the norm of what came before
    n1 = x -> layer.norm1:layer_norm
    a, w = n1 -> layer.self_attn:multi_head_attention_forward?
    r1 = a -> layer.dropout1:dropout
    s1 = x -> layer:add(r1)
    n2 = s1 -> layer.norm2:layer_norm
    c, v = n2 -> layer.multihead_attn:multi_head_attention_forward?(memory)
    r2 = c -> layer.dropout2:dropout
    s2 = s1 -> layer:add(r2)
    f = s2 -> layer.norm3:layer_norm -> layer.linear1:linear -> layer:relu -> layer.dropout:dropout
    g = f -> layer.linear2:linear -> layer.dropout3:dropout
    s2 -> layer:add(g) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(8, 2, 12, dropout=0.1, norm_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.layer(x, memory)


class GptBlock(nn.Module):
    """Drawn as part of Gpt."""

    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (z.view(b, t, 2, 4).transpose(1, 2) for z in self.qkv(self.ln1(x)).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).contiguous().view(b, t, c))
        return x + self.mlp(self.ln2(x))


GPT_BLOCK = """
    a{i}, b{i}, c{i} = {x} -> h.{i}.ln1:layer_norm -> h.{i}.qkv:linear -> h.{i}:split
    q{i} = a{i} -> h.{i}:view -> h.{i}:transpose
    k{i} = b{i} -> h.{i}:view -> h.{i}:transpose
    v{i} = c{i} -> h.{i}:view -> h.{i}:transpose
    s{i} = q{i} -> h.{i}:scaled_dot_product_attention?(k{i}, v{i}) -> h.{i}:transpose
    -- the kernel lays its output out so that contiguous() finds nothing to do, and returns what it was given
    y{i} = s{i} -> h.{i}:view -> h.{i}.proj:linear
    r{i} = {x} -> h.{i}:add(y{i})
    m{i} = r{i} -> h.{i}.ln2:layer_norm -> h.{i}.mlp.0:linear -> h.{i}.mlp.1:gelu -> h.{i}.mlp.2:linear
    x{i} = r{i} -> h.{i}:add(m{i})
"""


class Gpt(nn.Module):
    """Two blocks, the head tied to the token table."""

    DRAWING = f"""
    te = tokens -> wte:embedding(*wte.weight)
    positions = -> arange
    pe = positions -> wpe:embedding
    e = te -> add(pe) -> drop:dropout
    {GPT_BLOCK.format(i=0, x="e")}
    {GPT_BLOCK.format(i=1, x="x0")}
    x1 -> ln:layer_norm -> head:linear(*wte.weight) -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe, self.drop = nn.Embedding(11, 8), nn.Embedding(6, 8), nn.Dropout(0.1)
        self.h = nn.ModuleList(GptBlock() for _ in range(2))
        self.ln, self.head = nn.LayerNorm(8), nn.Linear(8, 11, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.drop(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))
        for block in self.h:
            x = block(x)
        return self.head(self.ln(x))
