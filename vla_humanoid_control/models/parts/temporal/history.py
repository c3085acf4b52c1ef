"""A transformer over the frames of a history."""

from __future__ import annotations

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.temporal.frames import Beside, History, Pool, frame_vectors
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class TemporalTransformer(Part):
    """Frames with their timesteps, beside the task and what else there is.

    [B, T * N, F] -> a vector for each frame [B, T, D]
      -> beside [B, n, D], frames [B, T, D] -> + embedding of the place or timestep
      -> transformer -> [B, T, D]
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 feed: int, dropout: float = 0.1, pool: Pool = 'mean') -> None:
        """Build it.

        Args:
            space: Not asked.
            of: Tokens of all frames, and streams that stand beside them, if any.
            width: Of a token inside, D.
            layers: How many.
            heads: Of attention.
            feed: Width of the feed-forward layers.
            dropout: While training.
            pool: What makes one vector of the tokens of a frame.
        """
        super().__init__()
        self.frames, self.pool = of[0].frames, pool
        self.token = nn.Linear(of[0].width, width)
        self.beside = Beside(of[1:], width)
        self.timestep = nn.Parameter(torch.randn(self.beside.count + self.frames, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, feed, dropout, 'gelu', batch_first=True,
                                           norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width),
                                                 enable_nested_tensor=False)
        self.gives = {'tokens': Shape(width, self.frames, frames=self.frames),
                      'last': Shape(width)}

    def forward(self, image: Tokens, *beside: Tokens) -> History:
        """See the class."""
        x = self.token(frame_vectors(image, self.frames, self.pool))  # [B, T, D]
        made = self.transformer(self.beside(x, *beside) + self.timestep)[:, -self.frames:]
        return History(Tokens(made), Tokens(made[:, -1:]))
