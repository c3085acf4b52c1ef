"""A small network of depthwise-separable convolutions with FiLM."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.fusion.film import Film
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.images import in_colours
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class _Block(nn.Module):
    """A 3x3 convolution of each channel alone, then 1x1 over all channels (MobileNet).

    Howard et al., 2017, https://arxiv.org/abs/1704.04861.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = inputs == channels and stride == 1
        self.net = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
            nn.GroupNorm(8, inputs), nn.SiLU(),
            nn.Conv2d(inputs, channels, 1, bias=False), nn.GroupNorm(8, channels))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x)
        return x + made if self.residual else functional.silu(made)


class SeparableConv(Part):
    """Images, seen with an instruction in mind, to a token for each cell.

    images [F * T, 3, H, W] -> stem [F * T, C1, H / 2, W / 2] -> stage 1      once for each image
      -> [B * T, C1, ..] FiLM -> (stage, FiLM) x n                      once for each instruction
      -> tokens [B, T * N, Cn]
    """

    def __init__(self, space: Space, of: Shapes, *, widths: Sequence[int], blocks: Sequence[int],
                 strides: Sequence[int]) -> None:
        """Build it.

        Args:
            space: Its first camera is looked through.
            of: An image, and the instruction, whose mean is taken.
            widths: Channels of each stage, multiples of 8.
            blocks: How many blocks each stage has.
            strides: Of the first block of each stage.
        """
        super().__init__()
        before = (widths[0], *widths)
        self.stem = nn.Conv2d(3, widths[0], 3, 2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width if j else inputs, width, 1 if j else stride)
                            for j in range(count)))
            for inputs, width, count, stride in zip(before, widths, blocks, strides, strict=False))
        self.films = nn.ModuleList(Film(of[1].width, width) for width in widths)
        columns, rows = next(iter(space.images.values()))
        for stride in (2, *strides):
            columns, rows = -(-columns // stride), -(-rows // stride)
        self.gives = Shape(widths[-1], rows * columns * space.frames, (rows, columns),
                           space.frames)

    def forward(self, image: Frames, instruction: Tokens) -> Tokens:
        """[B, T * N, C], oldest first."""
        frames, rows = image.pixels.shape[1], len(image.frame)
        condition = instruction.vector.repeat_interleave(frames, dim=0)  # [B * T, S]
        first, *others = self.stages
        x = first(self.stem(in_colours(image.pixels.flatten(0, 1), 'imagenet')))
        x = x.unflatten(0, (-1, frames))[image.frame].flatten(0, 1)  # [B * T, C, h, w]
        x = self.films[0](x, condition)
        for stage, film in zip(others, list(self.films)[1:]):
            x = film(stage(x), condition)
        tokens: Tensor = x.flatten(2).transpose(1, 2)  # [B * T, N, C]
        return Tokens(tokens.reshape(rows, -1, tokens.shape[-1]))
