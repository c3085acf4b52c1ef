"""Where something is in an image, as coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.film_conv import grid_positions
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Keypoints(Part):
    """Spatial soft-max: cells of each image to the mean places of learned features.

    Levine et al., 2015, https://arxiv.org/abs/1504.00702.

    cells [B, T * N, D] -> soft-max over N, [B, T, N, K] -> u and v in [-1, 1], [B, T, 2 K]
    """

    cells: Tensor

    def __init__(self, space: Space, of: Shapes, *, points: int) -> None:
        """Build it; `points` for each image, K."""
        super().__init__()
        self.frames = of[0].frames
        self.scores = nn.Linear(of[0].width, points)
        self.sharpness = nn.Parameter(torch.zeros(()))
        self.register_buffer('cells', grid_positions(*of[0].grid), persistent=False)
        self.gives = Shape(2 * points, self.frames, frames=self.frames)

    def forward(self, image: Tokens) -> Tokens:
        """See the class."""
        scores = self.scores(image.values.unflatten(1, (self.frames, -1)))  # [B, T, N, K]
        weights = (scores * self.sharpness.exp()).softmax(dim=2)
        return Tokens((weights.transpose(2, 3) @ self.cells).flatten(2))  # [B, T, K, 2] before
