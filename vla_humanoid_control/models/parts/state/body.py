"""Joints and time as two tokens."""

from __future__ import annotations

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Body(Part):
    """Joints [B, 1, J] and time [B, 1, T] to tokens [B, 2, D]."""

    def __init__(self, space: Space, of: Shapes, *, width: int, hidden: int) -> None:
        super().__init__()
        self.joints, self.time = (
            nn.Sequential(nn.Linear(shape.width, hidden), nn.GELU(), nn.Linear(hidden, width))
            for shape in of)
        self.gives = Shape(width, 2)

    def forward(self, joints: Tokens, time: Tokens) -> Tokens:
        """See the class."""
        return Tokens(torch.stack([self.joints(joints.vector), self.time(time.vector)], dim=1))
