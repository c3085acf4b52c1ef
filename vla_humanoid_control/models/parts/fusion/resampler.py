"""The Perceiver resampler of Flamingo (Alayrac et al., 2022, https://arxiv.org/abs/2204.14198).

    latents [K, D] ─► queries ─┐
    cells and latents ─► keys, values ─► attention ─► + ─► feed-forward ─► + ─► ... ─► norm [K, D]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class PerceiverResampler(Part):
    """The cells of every image, however many, to K latents: [B, I * N, D] -> [B, I * K, D].

    Images are told apart by the grid of the stream: those of several frames and cameras one after
    the other. Without a grid the tokens of a frame are one image.
    """

    def __init__(self, space: Space, of: Shapes, *, latents: int = 64, depth: int = 6,
                 heads: int = 8, head_width: int = 64) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: Tokens of images.
            latents: How many an image has, K.
            depth: Layers.
            heads: Of attention.
            head_width: Of a head.
        """
        super().__init__()
        shape = of[0]
        if shape.tokens is None:
            raise ValueError('a resampler needs a fixed number of tokens')
        self.images = shape.frames if shape.grid is None else \
            shape.tokens // (shape.grid[0] * shape.grid[1])
        self.latents = nn.Parameter(torch.randn(latents, shape.width))
        self.layers = nn.ModuleList(
            Layer(shape.width, heads, head_width) for _ in range(depth))
        self.norm = nn.LayerNorm(shape.width)
        self.gives = Shape(shape.width, self.images * latents, frames=shape.frames)

    def forward(self, cells: Tokens) -> Tokens:
        """See the class."""
        rows = len(cells.values)
        media = cells.values.unflatten(1, (self.images, -1)).flatten(0, 1)  # [B * I, N, D]
        x = self.latents.expand(len(media), -1, -1)
        for layer in self.layers:
            x = layer(x, media)
        return Tokens(self.norm(x).unflatten(0, (rows, self.images)).flatten(1, 2))


class Layer(nn.Module):
    """Latents look at the cells and at each other, and think."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.media_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, key=head_width, bias=False)
        self.feed = feed_forward(width)

    def forward(self, x: Tensor, media: Tensor) -> Tensor:
        """Latents [N, K, D] and cells [N, M, D] to latents."""
        own = self.norm(x)
        x = x + self.attention(own, torch.cat([self.media_norm(media), own], dim=1))
        return x + self.feed(x)


def feed_forward(width: int) -> nn.Sequential:
    """Norm, four times as wide, GELU, and back; no layer has a bias."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width, bias=False), nn.GELU(),
                         nn.Linear(4 * width, width, bias=False))
