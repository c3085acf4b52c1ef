"""Transformer layers that are told at each layer where their tokens are.

Queries and keys carry positions, values do not, as in DETR (Carion et al., 2020,
https://arxiv.org/abs/2005.12872); normalised after each step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention


class PlacedAttention(Attention):
    """Attention of tokens with positions."""

    def forward(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None,
                place: Tensor | float = 0.0, memory_place: Tensor | float | None = None
                ) -> Tensor:
        """Look; see `Attention`. Positions are of the tokens and, by default the same, memory."""
        seen, there = (x, place) if memory is None or memory_place is None \
            else (memory, memory_place)
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (
            self.query(x + place), self.key(seen + there), self.value(seen)))
        return self.out(self._read(query, key, value, mask).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Tokens look at each other, and think."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = PlacedAttention(width, heads, dropout=dropout)
        self.feed = feed_forward(width, hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, place: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens [B, N, D], positions [N, D], which exist, bool [B, 1, 1, N]; [B, N, D]."""
        x = self.norms[0](x + self.drop(self.attention(x, mask=mask, place=place)))
        made: Tensor = self.norms[1](x + self.drop(self.feed(x)))
        return made


class DecoderLayer(nn.Module):
    """Queries look at each other, then at a memory, and think."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.cross = (PlacedAttention(width, heads, dropout=dropout)
                                      for _ in range(2))
        self.feed = feed_forward(width, hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, place: Tensor, memory: Tensor, memory_place: Tensor,
                mask: Tensor | None) -> Tensor:
        """Queries [B, Q, D] and a memory [B, N, D], with their positions; [B, Q, D]."""
        x = self.norms[0](x + self.drop(self.attention(x, place=place)))
        read = self.cross(x, memory, mask, place, memory_place)
        x = self.norms[1](x + self.drop(read))
        made: Tensor = self.norms[2](x + self.drop(self.feed(x)))
        return made


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two linear layers with ReLU between them."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(hidden, width))


def line_places(count: int, width: int) -> Tensor:
    """Sinusoids that tell places in a line apart, [count, width] (Vaswani et al., 2017)."""
    return _waves(torch.arange(count, dtype=torch.float32), width)


def grid_places(grid: tuple[int, int], width: int) -> Tensor:
    """Sinusoids that tell cells of an image apart, [rows * columns, width]: row, then column.

    As in DETR, the last row and the last column are a full turn from the edge.
    """
    row, column = (_waves(2 * torch.pi * torch.arange(1, n + 1) / (n + 1e-6), width // 2)
                   for n in grid)
    return torch.cat([row[:, None].expand(-1, grid[1], -1),
                      column.expand(grid[0], -1, -1)], dim=2).flatten(0, 1)


def _waves(place: Tensor, width: int) -> Tensor:
    """Places [N] to sine and cosine in turn, [N, width], of waves up to 10,000 times as long."""
    wave = 10000 ** (torch.arange(0, width, 2) / width)
    angle = place[:, None] / wave
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]
