"""Several cameras through the same eyes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from vla_humanoid_control.models.parts import build, part_class
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class Cameras(Part):
    """Images of one or more cameras through one part, with the same weights for all.

    Each [B, T * N, D] -> [B, T * cameras * N, D]: frame by frame, in a frame camera by camera. The
    grid, where there is one, is that of each image.
    """

    def __init__(self, space: Space, of: Shapes, *, eyes: Mapping[str, Any]) -> None:
        """Build it on images; `eyes` is a part with its settings, as in a configuration."""
        super().__init__()
        kind = str(eyes['part'])
        settings = {k: v for k, v in eyes.items() if k != 'part'}
        where = f'eyes ({kind}) of cameras'
        self.eyes = build(part_class(kind, where), space, of[:1], settings, where)
        self.frames, shape = space.frames, self.eyes.gives
        if not isinstance(shape, Shape) or shape.tokens is None:
            raise ValueError(f'{kind} gives no fixed number of tokens')
        self.gives = replace(shape, tokens=len(of) * shape.tokens, frames=space.frames)

    def forward(self, *images: Frames) -> Tokens:
        """See the class."""
        seen = [self.eyes(image).values.unflatten(1, (self.frames, -1)) for image in images]
        return Tokens(torch.cat(seen, dim=2).flatten(1, 2))
