"""From the tokens of vision to those of a language model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Projector(Part):
    """Tokens of some streams side by side, [B, N, sum of D], through linear layers with GELU.

    Streams of as many tokens are fused patch by patch, as in Prismatic VLMs (Karamcheti et al.,
    2024, https://arxiv.org/abs/2402.07865).
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, hidden: Sequence[int] = ()
                 ) -> None:
        """Build it; `hidden` widths between the layers, `width` of what it gives."""
        super().__init__()
        if len({shape.tokens for shape in of}) > 1:
            raise ValueError('streams side by side need as many tokens; got '
                             f'{[shape.tokens for shape in of]}')
        layers: list[nn.Module] = []
        inputs = sum(shape.width for shape in of)
        for outputs in (*hidden, width):
            layers += [nn.Linear(inputs, outputs), nn.GELU()]
            inputs = outputs
        self.net = nn.Sequential(*layers[:-1])
        self.gives = Shape(width, of[0].tokens, of[0].grid, of[0].frames)

    def forward(self, *streams: Tokens) -> Tokens:
        """See the class."""
        return Tokens(self.net(torch.cat([s.values for s in streams], dim=-1)), streams[0].mask)
