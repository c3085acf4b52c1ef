"""The patch encoder of Octo: a few convolutions, then one token for each patch of 16 pixels.

Octo Model Team, 2024, https://arxiv.org/abs/2405.12213, after Xiao et al., 2021,
https://arxiv.org/abs/2106.14881: early convolutions help transformers see better.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class SmallStem(Part):
    """An image, and the goal image under it, to a token for each patch.

    images [F * T, 6, H, W] -> 4 convolutions, each halves -> [F * T, D, H / 16, W / 16] ->
    [B, T * N, D]. A goal that is not given is a black image, as where Octo is told in words.
    """

    def __init__(self, space: Space, of: Shapes, *, width: int = 512,
                 features: Sequence[int] = (32, 96, 192, 384), camera: str | None = None) -> None:
        """Build it.

        Args:
            space: Says how large the images are.
            of: An image, and the image of a goal, if any.
            width: Of a token.
            features: Channels after each convolution.
            camera: Which camera the image is of; by default the first.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((6, *features), features):
            layers += [StandardisedConv(inputs, outputs, 3, stride=2, padding=1),
                       nn.GroupNorm(min(32, outputs), outputs, eps=1e-6), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.patches = nn.Conv2d(features[-1], width, 1)
        size = next(iter(space.images.values())) if camera is None else space.images[camera]
        columns, rows = (-(-side // 2 ** len(features)) for side in size)
        self.gives = Shape(width, rows * columns * space.frames, (rows, columns), space.frames)

    def forward(self, image: Frames, goal: Frames | None = None) -> Tokens:
        """[B, T * N, D]."""
        pixels, frame = image.pixels, image.frame
        if goal is None:
            under = torch.full_like(pixels, -1.0)
        else:  # each row has a goal of its own
            pixels, frame = pixels[frame], torch.arange(len(frame), device=frame.device)
            under = goal.pixels[goal.frame][:, -1:].expand_as(pixels)
        both = torch.cat([pixels, under], dim=2)  # [F, T, 6, H, W]
        cells = self.patches(self.convolutions(both.flatten(0, 1)))  # [F * T, D, H / 16, W / 16]
        tokens = cells.flatten(2).transpose(1, 2)  # [F * T, N, D]
        return Tokens(tokens.unflatten(0, both.shape[:2]).flatten(1, 2)[frame])


class StandardisedConv(nn.Conv2d):
    """A convolution whose weights have mean 0 and deviation 1 for each output channel.

    Qiao et al., 2019, https://arxiv.org/abs/1903.10520.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        dims = (1, 2, 3)
        weight = self.weight - self.weight.mean(dims, keepdim=True)
        weight = weight / (weight.std(dims, correction=0, keepdim=True) + 1e-5)
        return self._conv_forward(x, weight, self.bias)
