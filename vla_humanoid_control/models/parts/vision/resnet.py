"""ResNet (He et al., 2015, https://arxiv.org/abs/1512.03385), through `transformers`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.parts.vision.images import encode_frames
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens

_DEPTHS: dict[int, tuple[str, list[int], list[int]]] = {
    18: ('basic', [2, 2, 2, 2], [64, 128, 256, 512]),
    34: ('basic', [3, 4, 6, 3], [64, 128, 256, 512]),
    50: ('bottleneck', [3, 4, 6, 3], [256, 512, 1024, 2048]),
}


class ResNet(Part):
    """Images to one token each, or to a token for each cell of an image 32 times smaller.

    images [F * T, 3, H, W] -> [F * T, C, H / 32, W / 32] -> mean [.., 1, C] or cells [.., N, C]
    """

    def __init__(self, space: Space, of: Shapes, *, depth: int, pooled: bool = True,
                 width: int = 64, pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Its first camera is looked through.
            of: An image.
            depth: 18, 34 or 50.
            pooled: One token for an image.
            width: Channels after the stem; 64 in the paper, all others grow with it.
            pretrained: A local folder or a name on the hub.
            freeze: Whether the weights stay as they are.
        """
        super().__init__()
        from transformers import ResNetConfig, ResNetModel
        kind, depths, sizes = _DEPTHS[depth]
        config = ResNetConfig(embedding_size=width, hidden_sizes=[s * width // 64 for s in sizes],
                              depths=depths, layer_type=kind)
        self.network: Any = pretrained_or_new(ResNetModel, config, pretrained, freeze)
        self.pooled = pooled
        columns, rows = (-(-side // 32) for side in next(iter(space.images.values())))
        cells = 1 if pooled else rows * columns
        self.gives = Shape(config.hidden_sizes[-1], cells * space.frames,
                           None if pooled else (rows, columns), space.frames)

    def forward(self, image: Frames) -> Tokens:
        """[B, T * N, C]."""
        return encode_frames(image, 'imagenet', self._encode)

    def _encode(self, pixels: Tensor) -> Tensor:
        found = self.network(pixels)
        made: Tensor = found.pooler_output if self.pooled else found.last_hidden_state
        return made.flatten(2).transpose(1, 2)  # [F * T, N, C]
