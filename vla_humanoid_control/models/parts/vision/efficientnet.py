"""EfficientNet with FiLM (RT-1), on the blocks of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from vla_humanoid_control.models.parts.fusion.film import Film
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.parts.vision.images import in_colours
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class FilmEfficientNet(Part):
    """Images, seen with a sentence in mind, to a token for each cell.

    EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946) with a FiLM layer after each
    block and one after the last projection, as in RT-1 (https://arxiv.org/abs/2212.06817).

    images [F * T, 3, H, W] -> stem [F * T, C, H / 2, W / 2]                 once for each image
      -> (block, FiLM) x n, top [B * T, C', H / 32, W / 32] -> 1x1, FiLM     for each sentence
      -> tokens [B, T * N, D]

    Every halving pads to the right and below alone, also where a side is odd: 300 pixels become
    9 cells, as in RT-1's code, where the usual padding of EfficientNet-B3 makes 10.
    """

    def __init__(self, space: Space, of: Shapes, *, width: float = 1.2, depth: float = 1.4,
                 output_dim: int = 512, strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1),
                 drop: float = 0.2, pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Its first camera is looked through.
            of: An image, and the sentence, whose mean is taken.
            width: By what the channels of EfficientNet-B0 are multiplied; 1.2 for B3.
            depth: By what its repetitions are multiplied; 1.4 for B3.
            output_dim: Width of a token, D.
            strides: Of the seven stages; fewer of 2 make a finer grid.
            drop: Dropout of the last residual branch; earlier ones have less.
            pretrained: A local folder or a name on the hub.
            freeze: Whether the weights of EfficientNet stay as they are; FiLM learns all the same.
        """
        super().__init__()
        from transformers import EfficientNetConfig, EfficientNetModel
        from transformers.models.efficientnet.modeling_efficientnet import round_filters
        config = EfficientNetConfig(width_coefficient=width, depth_coefficient=depth,
                                    strides=list(strides), drop_connect_rate=drop,
                                    # Keras counts from the other end: there it is 0.99.
                                    batch_norm_momentum=0.01)
        config.hidden_dim = round_filters(config, 1280)
        self.network: Any = pretrained_or_new(EfficientNetModel, config, pretrained, freeze)
        if pretrained is None:
            self.network.apply(_spread)
        condition = of[1].width
        self.films = nn.ModuleList(
            Film(condition, block.projection.project_conv.out_channels)
            for block in self.network.encoder.blocks)
        self.project = nn.Conv2d(config.hidden_dim, output_dim, 1, bias=False)
        self.film = Film(condition, output_dim)
        shrink = 2 ** (1 + list(strides).count(2))
        columns, rows = (side // shrink for side in next(iter(space.images.values())))
        self.gives = Shape(output_dim, rows * columns * space.frames, (rows, columns),
                           space.frames)

    def forward(self, image: Frames, sentence: Tokens) -> Tokens:
        """[B, T * N, D], oldest first."""
        frames, rows = image.pixels.shape[1], len(image.frame)
        condition = sentence.vector.repeat_interleave(frames, dim=0)  # [B * T, S]
        x = self.network.embeddings(in_colours(image.pixels.flatten(0, 1), 'imagenet'))
        x = x.unflatten(0, (-1, frames))[image.frame].flatten(0, 1)  # [B * T, C, h, w]
        encoder = self.network.encoder
        for block, film in zip(encoder.blocks, self.films):
            x = film(block(x), condition)
        x = encoder.top_activation(encoder.top_bn(encoder.top_conv(x)))
        tokens: Tensor = self.film(self.project(x), condition).flatten(2).transpose(1, 2)
        return Tokens(tokens.reshape(rows, -1, tokens.shape[-1]))  # [B, T * N, D]


def _spread(module: nn.Module) -> None:
    """First weights as in EfficientNet; those of `transformers` let a signal die out.

    There the scales of batch normalisation start near 0 and not at 1.
    """
    if isinstance(module, nn.Conv2d):
        outputs = module.out_channels // module.groups * module.kernel_size[0] ** 2
        nn.init.trunc_normal_(module.weight, std=(2 / outputs) ** 0.5)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
