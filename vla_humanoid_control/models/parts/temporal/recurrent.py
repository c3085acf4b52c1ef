"""GRU and LSTM over the frames of a history."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.temporal.frames import History, Pool, frame_vectors
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Recurrent(Part):
    """A vector for each frame, with what is beside the frames, through a recurrent network.

    [B, T * N, F] -> [B, T, F], beside [B, T, G] -> [B, T, D]
    """

    def __init__(self, space: Space, of: Shapes, *, cell: Literal['gru', 'lstm'], width: int,
                 layers: int = 1, dropout: float = 0.0, pool: Pool = 'mean') -> None:
        """Build it.

        Args:
            space: Not asked.
            of: Tokens of all frames, and streams whose vectors every frame is given, if any.
            cell: `gru` or `lstm`.
            width: Of the state, D.
            layers: How many.
            dropout: Between the layers, while training.
            pool: What makes one vector of the tokens of a frame.
        """
        super().__init__()
        self.frames, self.pool = of[0].frames, pool
        kind = {'gru': nn.GRU, 'lstm': nn.LSTM}[cell]
        self.network = kind(sum(shape.width for shape in of), width, layers, batch_first=True,
                            dropout=dropout)
        self.gives = {'tokens': Shape(width, self.frames, frames=self.frames),
                      'last': Shape(width)}

    def forward(self, image: Tokens, *beside: Tokens) -> History:
        """See the class."""
        others = [s.vector[:, None].expand(-1, self.frames, -1) for s in beside]
        read = torch.cat([frame_vectors(image, self.frames, self.pool), *others], dim=2)
        # Not every CPU has a recurrent kernel for bfloat16.
        with torch.autocast(read.device.type, enabled=False):
            made, _ = self.network(read.float())
        return History(Tokens(made), Tokens(made[:, -1:]))
