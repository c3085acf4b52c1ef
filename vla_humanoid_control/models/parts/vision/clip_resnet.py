"""The ResNet of CLIP (Radford et al., 2021, https://arxiv.org/abs/2103.00020, section 2.4).

    image ─► three 3 x 3 layers, average pooling ─► four stages of bottlenecks ─► cells [C]
    mean of the cells ─► query ─┐
    mean and cells ─► keys, values ─► one attention ─► embedding

Unlike He et al.'s ResNet it has three layers before the first stage, averages where the resolution
is halved (as Zhang's antialiasing, 2019), and pools by attention. `transformers` has no such one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.images import encode_frames, resized
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens
from vla_humanoid_control.support.errors import UserError

_RENAMED = {'attnpool.positional_embedding': 'pool.positions',
            'attnpool.q_proj': 'pool.read.query', 'attnpool.k_proj': 'pool.read.key',
            'attnpool.v_proj': 'pool.read.value', 'attnpool.c_proj': 'pool.read.out'}
"""Names in OpenAI's weights to those here; all others are the same."""


class ClipResNet(Part):
    """Images to one embedding each, [B, T, D]."""

    def __init__(self, space: Space, of: Shapes, *, depths: Sequence[int], output_dim: int,
                 size: int, width: int = 64, heads: int = 32, pretrained: str | None = None,
                 freeze: bool = False) -> None:
        """Build it.

        Args:
            space: For the frames of history.
            of: An image.
            depths: Bottlenecks of the four stages.
            output_dim: Width of the embedding, D.
            size: Side of the square that images are resized to [px]; a multiple of 32.
            width: Channels after the first layers.
            heads: Of the attention that pools.
            pretrained: A safetensors file with OpenAI's weights, names beginning with `visual.`.
            freeze: Whether the weights stay as they are, and the statistics of its norms.
        """
        super().__init__()
        if size % 32:
            raise ValueError(f'size {size} must be a multiple of 32')
        self.size, half = size, width // 2
        for i, (inputs, outputs) in enumerate(((3, half), (half, half), (half, width)), 1):
            self.add_module(f'conv{i}', nn.Conv2d(inputs, outputs, 3, 1 if i > 1 else 2, 1,
                                                  bias=False))
            self.add_module(f'bn{i}', nn.BatchNorm2d(outputs))
        inputs = width
        for i, depth in enumerate(depths, 1):
            inner = width * 2 ** (i - 1)
            strides = [1 if i == 1 else 2, *[1] * (depth - 1)]
            self.add_module(f'layer{i}', nn.Sequential(*(
                Bottleneck(inputs if j == 0 else 4 * inner, inner, stride)
                for j, stride in enumerate(strides))))
            inputs = 4 * inner
        self.stages = [f'layer{i}' for i in range(1, len(depths) + 1)]
        self.pool = AttentionPool((size // 2 ** (len(depths) + 1)) ** 2, inputs, heads, output_dim)
        if pretrained is not None:
            self._load(pretrained)
        if freeze:
            self.requires_grad_(False)
        self.gives = Shape(output_dim, space.frames, frames=space.frames)

    def forward(self, image: Frames) -> Tokens:
        """[B, T, D]."""
        return encode_frames(image, 'clip', self._encode)

    def _encode(self, x: Tensor) -> Tensor:
        x = resized(x, self.size, self.size)
        for i in (1, 2, 3):
            x = self.get_submodule(f'bn{i}')(self.get_submodule(f'conv{i}')(x)).relu()
        x = functional.avg_pool2d(x, 2)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.pool(x.flatten(2).transpose(1, 2))  # [F * T, 1, D]

    def _load(self, pretrained: str) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            self.load_state_dict(dict(renamed(load_file(Path(pretrained)))))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise UserError(f'Pretrained weights {pretrained} cannot be used: {error}. Give a '
                            'safetensors file with the weights of CLIP.') from error


def renamed(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's weights of the image tower by their names here."""
    for name, value in weights.items():
        if name.startswith('visual.'):
            own = name.removeprefix('visual.')
            for theirs, ours in _RENAMED.items():
                own = own.replace(theirs, ours)
            yield own, value


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 beside an identity; where it strides, both average first."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = (nn.Conv2d(inner, inner, 3, padding=1, bias=False),
                                nn.BatchNorm2d(inner))
        self.conv3, self.bn3 = (nn.Conv2d(inner, 4 * inner, 1, bias=False),
                                nn.BatchNorm2d(4 * inner))
        nn.init.zeros_(self.bn3.weight)  # the identity at the start
        self.average = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != 4 * inner:
            # The average before it is `average`.
            self.downsample = nn.Sequential(nn.Conv2d(inputs, 4 * inner, 1, bias=False),
                                            nn.BatchNorm2d(4 * inner))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, 4 * inner, H / stride, W / stride]."""
        made = self.bn1(self.conv1(x)).relu()
        made = self.average(self.bn2(self.conv2(made)).relu())
        return (self.bn3(self.conv3(made)) + self.downsample(self.average(x))).relu()


class AttentionPool(nn.Module):
    """The mean of all cells asks the cells."""

    def __init__(self, cells: int, width: int, heads: int, output_dim: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(cells + 1, width) / width ** 0.5)
        self.read = Attention(width, heads)
        self.read.out = nn.Linear(width, output_dim)
        for layer in (self.read.query, self.read.key, self.read.value, self.read.out):
            nn.init.normal_(layer.weight, std=width ** -0.5)

    def forward(self, cells: Tensor) -> Tensor:
        """Cells [N, h * w, C] to [N, 1, D]."""
        tokens = torch.cat([cells.mean(1, keepdim=True), cells], dim=1) + self.positions
        read: Tensor = self.read(tokens[:, :1], tokens)
        return read
