"""The small convolutional network of the default policy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


@dataclass(frozen=True)
class ImageFeatures:
    """An image seen with an instruction in mind.

    Attributes:
        tokens: [B, h * w, D], row by row.
        pooled: [B, 1, 2 D], mean and maximum over the plain image, before any instruction.
    """

    tokens: Tokens
    pooled: Tokens


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, h, w], kept in channels-last memory."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; the second is modulated by the instruction where one is given.

    FiLM as in RT-1 (https://arxiv.org/abs/2212.06817): starts as the identity.
    """

    def __init__(self, channels: int, condition: int | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = ChannelNorm(channels)
        self.film = None if condition is None else nn.Linear(condition, 2 * channels)
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Image features [B, C, h, w], instruction [B, condition] to [B, C, h, w]."""
        y = self.norm(self.second(functional.relu(self.first(x))))
        if self.film is not None and condition is not None:
            scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        return x + functional.relu(y)


class FilmConvEncoder(Part):
    """A small convolutional network with FiLM, and a fine grid of tokens.

    image [F, 3, 96, 128] -> unshuffle [F, 12, 48, 64] -> conv [F, 32, 48, 64]
      -> conv /2, residual [F, 48, 24, 32] -> conv /2, residual blocks [F, D, 12, 16]
                                                                          once for each frame
      -> FiLM residual blocks [B, D, 12, 16], FiLM -> tokens [B, 192, D]  once for each instruction
    """

    cells: Tensor

    def __init__(self, space: Space, of: Shapes, *, width: int, stem: tuple[int, int],
                 plain_blocks: int, film_blocks: int) -> None:
        """Build it.

        Args:
            space: The first camera's images must have sides that are multiples of 8.
            of: An image, and the instruction as one token.
            width: Of a token, D.
            stem: Channels at half and at quarter resolution.
            plain_blocks: Residual blocks at an eighth of the resolution, once for each frame.
            film_blocks: The same with FiLM, once for each instruction; costly.
        """
        super().__init__()
        condition, (columns, rows) = of[1].width, next(iter(space.images.values()))
        self.grid = (rows // 8, columns // 8)
        self.gives = {'tokens': Shape(width, self.grid[0] * self.grid[1], self.grid),
                      'pooled': Shape(2 * width)}
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, stem[0], 3, padding=1), nn.ReLU(),
            nn.Conv2d(stem[0], stem[1], 3, stride=2, padding=1), ChannelNorm(stem[1]), nn.ReLU(),
            ResidualBlock(stem[1]),
            nn.Conv2d(stem[1], width, 3, stride=2, padding=1), ChannelNorm(width),
            *(ResidualBlock(width) for _ in range(plain_blocks)))
        self.film_blocks = nn.ModuleList(
            ResidualBlock(width, condition) for _ in range(film_blocks))
        self.film = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.position = nn.Linear(4, width)
        self.register_buffer('cells', grid_positions(*self.grid), persistent=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Frames, instruction: Tokens) -> ImageFeatures:
        """Encode each frame once, then each (frame, instruction) pair."""
        condition, frame = instruction.vector, image.frame
        plain = self.stem(image.pixels[:, -1])  # [F, D, h, w]
        pooled = torch.cat([plain.mean((2, 3)), plain.amax((2, 3))], dim=1)
        x = plain[frame]
        for block in self.film_blocks:
            x = block(x, condition)
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, h * w, D]
        scale, shift = self.film(condition)[:, None].chunk(2, dim=2)
        tokens = tokens * (1 + scale) + shift
        where = torch.cat([self.cells, self.cells ** 2], dim=1)  # [h * w, 4]
        return ImageFeatures(Tokens(self.norm(tokens + self.position(where))),
                             Tokens.of(pooled[frame]))


def grid_positions(rows: int, columns: int) -> Tensor:
    """Centres of the cells of a grid, [rows * columns, 2]: u, v in [-1, 1], right and down."""
    v = (torch.arange(rows) + 0.5) / rows * 2 - 1
    u = (torch.arange(columns) + 0.5) / columns * 2 - 1
    return torch.stack([u.repeat(rows), v.repeat_interleave(columns)], dim=1)
