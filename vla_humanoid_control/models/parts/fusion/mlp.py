"""Streams side by side, through a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class ConcatenatedMlp(Part):
    """The vectors of some streams to one token, [B, 1, D], ReLU after every layer."""

    def __init__(self, space: Space, of: Shapes, *, hidden: Sequence[int], width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = sum(shape.width for shape in of)
        for outputs in (*hidden, width):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            inputs = outputs
        self.net = nn.Sequential(*layers)
        self.gives = Shape(width)

    def forward(self, *streams: Tokens) -> Tokens:
        """See the class."""
        return Tokens.of(self.net(torch.cat([s.vector for s in streams], dim=1)))
