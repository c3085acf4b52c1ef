"""Two streams that look at each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Pair:
    """Two streams, each after it has looked at the other: [B, N, D] and [B, M, D]."""

    first: Tokens
    second: Tokens


class _Side(nn.Module):
    """One stream looks at the other and thinks; pre-normalised."""

    def __init__(self, width: int, heads: int, feed: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads, dropout=dropout)
        self.feed = nn.Sequential(nn.Linear(width, feed), nn.GELU(), nn.Dropout(dropout),
                                  nn.Linear(feed, width), nn.Dropout(dropout))

    def forward(self, x: Tensor, other: Tensor, exists: Tensor | None) -> Tensor:
        x = x + self.attention(self.norms[0](x), self.norms[1](other),
                               None if exists is None else exists[:, None, None])
        return x + self.feed(self.norms[2](x))


class CrossAttention(Part):
    """Bidirectional cross-attention with feed-forward layers and norms, as in LXMERT.

    Tan and Bansal, 2019, https://arxiv.org/abs/1908.07490. The cells of an image are told where
    they are.

    first [B, N, F] ─► [B, N, D] ⇄ [B, M, D] ◄─ second [B, M, G]     `layers` times
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, heads: int, layers: int,
                 feed: int, dropout: float = 0.1) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: Two streams; one with a mask may not be all that is masked.
            width: Of a token inside, D.
            heads: Of attention.
            layers: How many, each in both directions.
            feed: Width of the feed-forward layers.
            dropout: While training.
        """
        super().__init__()
        if len(of) != 2:
            raise ValueError(f'two streams look at each other, not {len(of)}')
        self.maps = nn.ModuleList(nn.Linear(shape.width, width) for shape in of)
        self.places = nn.ParameterDict({
            str(i): torch.randn(shape.grid[0] * shape.grid[1], width) * 0.02
            for i, shape in enumerate(of) if shape.grid})
        self.layers, self.other_layers = (
            nn.ModuleList(_Side(width, heads, feed, dropout) for _ in range(layers))
            for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.gives = {name: Shape(width, shape.tokens, shape.grid, shape.frames)
                      for name, shape in zip(('first', 'second'), of)}

    def forward(self, first: Tokens, second: Tokens) -> Pair:
        """See the class."""
        x, y = (self._placed(i, stream.values) for i, stream in enumerate((first, second)))
        for one, other in zip(self.layers, self.other_layers):
            # Both look at what the other was before this layer.
            x, y = one(x, y, second.mask), other(y, x, first.mask)
        return Pair(Tokens(self.norms[0](x), first.mask), Tokens(self.norms[1](y), second.mask))

    def _placed(self, i: int, tokens: Tensor) -> Tensor:
        x: Tensor = self.maps[i](tokens)
        if str(i) not in self.places:
            return x
        place = self.places[str(i)]
        return (x.unflatten(1, (-1, len(place))) + place).flatten(1, 2)  # the same in each frame
