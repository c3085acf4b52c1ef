"""TokenLearner (Ryoo et al., 2021, https://arxiv.org/abs/2106.11297), version 1.1."""

from __future__ import annotations

from torch import nn

from vla_humanoid_control.models.attention_maps import noted
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class TokenLearner(Part):
    """The many tokens of each image to a few, each a mean with learned weights.

    [B, T * N, D] -> weights [B * T, S, N] by a perceptron, soft-max over N -> [B, T * S, D]
    """

    def __init__(self, space: Space, of: Shapes, *, tokens: int, bottleneck: int = 64,
                 dropout: float = 0.0) -> None:
        """Build it; `tokens` for each image, S, and the width of the perceptron between."""
        super().__init__()
        width, self.frames = of[0].width, of[0].frames
        self.weights = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6), nn.Linear(width, bottleneck),
            nn.GELU(approximate='tanh'), nn.Dropout(dropout), nn.Linear(bottleneck, tokens),
            nn.Dropout(dropout))
        self.gives = Shape(width, tokens * self.frames, frames=self.frames)

    def forward(self, image: Tokens) -> Tokens:
        """See the class."""
        cells = image.values.unflatten(1, (self.frames, -1))  # [B, T, N, D]
        weights = noted(self.weights(cells).softmax(dim=2).transpose(2, 3))  # [B, T, S, N]
        return Tokens((weights @ cells).flatten(1, 2))  # [B, T * S, D]
