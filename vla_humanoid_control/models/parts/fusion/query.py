"""Learned queries that read everything: one for each row of the actions, and two more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.attention_maps import noted
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Readouts:
    """What the queries have read.

    Attributes:
        all: [B, H + 2, D], the others one after the other.
        action: [B, H, D]. progress, confidence: [B, 1, D].
    """

    all: Tokens
    action: Tokens
    progress: Tokens
    confidence: Tokens


class CrossAttentionLayer(nn.Module):
    """Queries look at the memory, at each other, and think; pre-normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.cross_query = nn.Linear(width, width)
        self.cross_key_value = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.self_qkv = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(),
                                  nn.Linear(3 * width, width))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Queries [B, Q, D], memory [B, M, D], additive mask [B, 1, 1, M] to [B, Q, D]."""
        key, value = self.cross_key_value(memory).chunk(2, dim=-1)
        read = self._attend(self.cross_query(self.norms[0](x)), key, value, bias)
        x = x + self.cross_out(read)
        query, key, value = self.self_qkv(self.norms[1](x)).chunk(3, dim=-1)
        x = x + self.self_out(self._attend(query, key, value, None))
        return x + self.feed(self.norms[2](x))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        split = [t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                 for t in (query, key, value)]  # [B, heads, *, D / heads]
        # Written out: with so few queries the fused kernel is several times slower on a CPU.
        scores = split[0] @ split[1].transpose(-1, -2) * split[0].shape[-1] ** -0.5
        weights = noted((scores if bias is None else scores + bias).softmax(dim=-1))
        return (weights @ split[2]).transpose(1, 2).flatten(2)  # [B, Q, D]


class QueryFusion(Part):
    """Learned queries, started from the situation, read image, words, body and target."""

    def __init__(self, space: Space, of: Shapes, *, heads: int, layers: int) -> None:
        """Build it on image tokens, words, body (two tokens), target and instruction (one)."""
        super().__init__()
        self.horizon, width = space.horizon, of[0].width
        queries = self.horizon + 2
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.5)
        self.situation = nn.Sequential(nn.Linear(4 * width, 2 * width), nn.GELU(),
                                       nn.Linear(2 * width, width))
        self.kinds = nn.Parameter(torch.randn(4, width) * 0.1)
        self.layers = nn.ModuleList(CrossAttentionLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.gives = {'all': Shape(width, queries), 'action': Shape(width, self.horizon),
                      'progress': Shape(width), 'confidence': Shape(width)}

    def forward(self, image: Tokens, words: Tokens, body: Tokens, target: Tokens,
                instruction: Tokens) -> Readouts:
        """Everything to what the queries read of it."""
        parts = [image.values, words.values, body.values, target.values]
        memory = torch.cat([p + self.kinds[i].to(p.dtype) for i, p in enumerate(parts)], dim=1)
        bias = torch.zeros(memory.shape[:2], dtype=memory.dtype, device=memory.device)
        first = parts[0].shape[1]
        bias[:, first:first + parts[1].shape[1]].masked_fill_(~words.exists, -1e4)
        situation = self.situation(torch.cat([instruction.vector, body.values.flatten(1),
                                              target.vector], dim=1))
        x = self.queries.to(situation.dtype) + situation[:, None]
        for layer in self.layers:
            x = layer(x, memory, bias[:, None, None])
        read, rows = self.norm(x), self.horizon  # [B, H + 2, D]
        return Readouts(Tokens(read), Tokens(read[:, :rows]), Tokens(read[:, rows:rows + 1]),
                        Tokens(read[:, rows + 1:]))
