"""Encoders: image, words and proprioception to tokens of one width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

TEXT_WIDTH = 384
TIME_FEATURES = 16
"""Columns made of elapsed time and distance travelled; see `time_features`."""

_PERIODS_S = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class ImageFeatures:
    """An image seen with an instruction in mind.

    Attributes:
        tokens: [B, h * w, D], row by row.
        pooled: [B, 2 D], mean and maximum over the plain image, before any instruction.
    """

    tokens: Tensor
    pooled: Tensor


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


class FilmConvEncoder(nn.Module):
    """A small convolutional network with FiLM, and a fine grid of tokens.

    image [F, 3, 96, 128] -> unshuffle [F, 12, 48, 64] -> conv [F, 32, 48, 64]
      -> conv /2, residual [F, 48, 24, 32] -> conv /2, residual blocks [F, D, 12, 16]
                                                                          once for each frame
      -> FiLM residual blocks [B, D, 12, 16], FiLM -> tokens [B, 192, D]  once for each instruction
    """

    cells: Tensor

    def __init__(self, width: int, condition: int, image_size: tuple[int, int],
                 stem: tuple[int, int], plain_blocks: int, film_blocks: int) -> None:
        super().__init__()
        self.grid = (image_size[1] // 8, image_size[0] // 8)  # rows, columns
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

    def forward(self, images: Tensor, frame: Tensor, condition: Tensor) -> ImageFeatures:
        """Encode each frame once, then each (frame, instruction) pair.

        Args:
            images: float [F, 3, H, W], values about -1 to 1.
            frame: int64 [B], which frame each instruction looks at.
            condition: [B, condition], the instruction.
        """
        plain = self.stem(images)  # [F, D, h, w]
        pooled = torch.cat([plain.mean((2, 3)), plain.amax((2, 3))], dim=1)
        x = plain[frame]
        for block in self.film_blocks:
            x = block(x, condition)
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, h * w, D]
        scale, shift = self.film(condition)[:, None].chunk(2, dim=2)
        tokens = tokens * (1 + scale) + shift
        where = torch.cat([self.cells, self.cells ** 2], dim=1)  # [h * w, 4]
        return ImageFeatures(self.norm(tokens + self.position(where)), pooled[frame])


def grid_positions(rows: int, columns: int) -> Tensor:
    """Centres of the cells of a grid, [rows * columns, 2]: u, v in [-1, 1], right and down."""
    v = (torch.arange(rows) + 0.5) / rows * 2 - 1
    u = (torch.arange(columns) + 0.5) / columns * 2 - 1
    return torch.stack([u.repeat(rows), v.repeat_interleave(columns)], dim=1)


class SlotLanguageEncoder(nn.Module):
    """Learned queries read the frozen word features; one vector says what is asked for.

    words [B, L, 384] -> [B, L, D] -> attention by S slots [B, S, D] -> [B, S * D] -> vector [B, D]
    """

    def __init__(self, width: int, heads: int, slots: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.project = nn.Sequential(nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, width))
        self.slots = nn.Parameter(torch.randn(slots, width) * 0.5)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(slots * width, 2 * width), nn.GELU(),
                                 nn.Linear(2 * width, width), nn.LayerNorm(width))

    def forward(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Words [B, L, 384] and which of them exist, bool [B, L], to ([B, D], [B, L, D])."""
        if self.training and self.dropout:
            kept = mask & (torch.rand(mask.shape, device=mask.device) > self.dropout)
            # The first token always stays: there must be something to attend to.
            mask = torch.cat([mask[:, :1], kept[:, 1:]], dim=1)
        tokens = self.project(words)
        queries = self.slots.expand(len(words), -1, -1).to(tokens.dtype)
        read, _ = self.attention(queries, tokens, tokens, key_padding_mask=~mask,
                                 need_weights=False)
        return self.mix(read.flatten(1)), tokens


class MlpProprioception(nn.Module):
    """Joints and time as two tokens: [B, J] and [B, T] to [B, 2, D]."""

    def __init__(self, width: int, joints: int, hidden: int) -> None:
        super().__init__()
        self.joints = nn.Sequential(nn.Linear(joints, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, hidden), nn.GELU(),
                                  nn.Linear(hidden, width))

    def forward(self, joints: Tensor, time: Tensor) -> Tensor:
        """Normalised joints [B, J] and time features [B, T] to tokens [B, 2, D]."""
        return torch.stack([self.joints(joints), self.time(time)], dim=1)


def time_features(elapsed_s: Tensor, travelled: Tensor, known: Tensor) -> Tensor:
    """Columns for a network out of time and dead reckoning.

    Args:
        elapsed_s: [B] [s].
        travelled: [B, 3]: x [m], y [m], yaw [rad, unwrapped].
        known: [B], 1 where they may be used, 0 where they are withheld.

    Returns:
        float [B, 16]: known; time linear and clipped at 20 s; sine and cosine of four periods;
        x, y clipped at 4 m; sine, cosine of yaw; yaw clipped at a turn and a half; zero.
    """
    t = elapsed_s.clamp(0, 20.0)[:, None]
    angle = t * (2 * math.pi / torch.tensor(_PERIODS_S, device=t.device))  # [B, 4]
    yaw = travelled[:, 2:]
    columns = torch.cat([
        t / 10, angle.sin(), angle.cos(), travelled[:, :2].clamp(-4, 4), yaw.sin(), yaw.cos(),
        (yaw / math.pi).clamp(-3, 3), (t / 2).clamp(max=1)], dim=1)  # [B, 15]
    return torch.cat([known[:, None], columns * known[:, None]], dim=1)
