"""What all parts over a history do: frames to vectors, and what is beside the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Shapes
from vla_humanoid_control.models.streams import Tokens

Pool = Literal['mean', 'max']


@dataclass(frozen=True)
class History:
    """What a history has come to.

    Attributes:
        tokens: [B, T, D], one for each frame, oldest first.
        last: [B, 1, D], that of the newest.
    """

    tokens: Tokens
    last: Tokens


def frame_vectors(tokens: Tokens, frames: int, pool: Pool) -> Tensor:
    """Each frame's tokens to one vector: [B, T * N, D] to [B, T, D]."""
    each = tokens.values.unflatten(1, (frames, -1))
    return each.mean(2) if pool == 'mean' else each.amax(2)


class Beside(nn.Module):
    """Streams that stand before the frames, at one width: a token each of a text, else all."""

    def __init__(self, of: Shapes, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(shape.width, width) for shape in of)
        self.whole = [shape.tokens is not None for shape in of]
        self.count = sum(shape.tokens or 1 for shape in of)

    def forward(self, tokens: Tensor, *streams: Tokens) -> Tensor:
        """Tokens [B, N, D] behind those of the streams, [B, n + N, D]."""
        before = [linear(stream.values if whole else stream.vector[:, None])
                  for linear, stream, whole in zip(self.maps, streams, self.whole)]
        return torch.cat([*before, tokens], dim=1)
