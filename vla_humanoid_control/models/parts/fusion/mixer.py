"""Tokens of the rows of a chunk that mix with each other, in view of the situation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Mixed:
    """A chunk, and the situation that it is for.

    Attributes:
        tokens: [B, H, D], one for each row of the actions.
        situation: [B, 1, C].
    """

    tokens: Tokens
    situation: Tokens


class _Block(nn.Module):
    """Rows mix, then channels (MLP-Mixer), both under AdaLN-Zero: starts as the identity."""

    def __init__(self, rows: int, width: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False)
                                   for _ in range(2))
        self.over_rows, self.over_channels = (
            nn.Sequential(nn.Linear(n, 2 * n), nn.GELU(), nn.Linear(2 * n, n))
            for n in (rows, width))
        self.modulation = nn.Linear(condition, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Rows [B, H, D] and condition [B, C] to [B, H, D]."""
        modulation = self.modulation(condition)[:, None].chunk(6, dim=-1)  # [B, 1, D] each
        scale, shift, gate = modulation[:3]
        seen = self.norms[0](x) * (1 + scale) + shift
        x = x + gate * self.over_rows(seen.transpose(1, 2)).transpose(1, 2)
        scale, shift, gate = modulation[3:]
        return x + gate * self.over_channels(self.norms[1](x) * (1 + scale) + shift)


class Mixer(Part):
    """Streams to a token for each row of the actions.

    MLP-Mixer (Tolstikhin et al., 2021, https://arxiv.org/abs/2105.01601) on learned rows, with
    the situation by AdaLN-Zero (Peebles and Xie, 2022, https://arxiv.org/abs/2212.09748).

    streams -> situation [B, C] ─┐ shift, scale and gate
    learned rows [H, D] ─────────┴─► (mix rows, mix channels) x n ─► [B, H, D]
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, condition: int
                 ) -> None:
        """Build it.

        Args:
            space: Its horizon, H, is how many rows there are.
            of: Streams; all tokens of each, or their mean where there may be any number.
            width: Of a row, D.
            layers: How many.
            condition: Width of the situation, C.
        """
        super().__init__()
        self.whole = [shape.tokens is not None for shape in of]
        self.situation = nn.Sequential(
            nn.Linear(sum(shape.width * (shape.tokens or 1) for shape in of), condition),
            nn.SiLU())
        self.rows = nn.Parameter(torch.randn(space.horizon, width) * 0.5)
        self.blocks = nn.ModuleList(_Block(space.horizon, width, condition)
                                    for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.gives = {'tokens': Shape(width, space.horizon), 'situation': Shape(condition)}

    def forward(self, *streams: Tokens) -> Mixed:
        """See the class."""
        situation = self.situation(torch.cat(
            [s.values.flatten(1) if whole else s.vector
             for s, whole in zip(streams, self.whole)], dim=1))
        x = self.rows.expand(len(situation), -1, -1)
        for block in self.blocks:
            x = block(x, situation)
        return Mixed(Tokens(self.norm(x)), Tokens.of(situation))
