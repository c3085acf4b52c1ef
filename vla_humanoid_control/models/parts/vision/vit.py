"""Vision transformers through `transformers`: ViT, the towers of CLIP and SigLIP, DINOv2.

    images [F * T, 3, H, W] ─► resized to S x S ─► (S / patch)² patches ─► layers
        ─► patch tokens [F * T, N, D] of the last layer or of one before it, or one pooled token

ViT: Dosovitskiy et al., 2020, https://arxiv.org/abs/2010.11929. CLIP: Radford et al., 2021,
https://arxiv.org/abs/2103.00020. SigLIP: Zhai et al., 2023, https://arxiv.org/abs/2303.15343.
DINOv2: Oquab et al., 2023, https://arxiv.org/abs/2304.07193; its registers: Darcet et al., 2023,
https://arxiv.org/abs/2309.16588.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.images import Colours, encode_frames, resized
from vla_humanoid_control.models.parts.vision.positions import network_at_size
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class Tower(Part):
    """See the head of this module. A subclass says which network it is.

    Attributes:
        family: The names of its classes in `transformers` begin with this.
        colours: The normalisation of pixels that its pretrained weights know.
        norm: The attribute of the network that norms after the last layer.
        norms_tokens: Whether that norm is for the patches too, not for the pooled token alone.
        prefix: How many tokens come before those of the patches.
    """

    family: ClassVar[str]
    colours: ClassVar[Colours]
    norm: ClassVar[str]
    norms_tokens: ClassVar[bool] = True
    prefix: ClassVar[int] = 1

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 patch: int, size: int, feed: int | None = None, layer: int = 0,
                 pooled: bool = False, keep: bool = False, output_dim: int | None = None,
                 pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: For the frames of history.
            of: An image.
            width: Of a token, D.
            layers: How many there are.
            heads: Of the attention.
            patch: Side of a patch [px].
            size: Side S of the square that images are resized to [px].
            feed: Width inside the feed-forward networks; four times `width` by default.
            layer: Whose tokens are given: 0 for the last layer with the norm that the original
                puts after it; without a norm -1 for the last layer, -2 for the one before, ...
            pooled: One token for an image, pooled as the original does, instead of the patches.
            keep: Whether later layers and pooling stay, frozen, where nothing reads them, as in
                systems that hold the whole tower; by default they are left out.
            output_dim: Width of a linear projection at the end; none by default.
            pretrained: A local folder or a name on the hub. A position table for images of
                another size is resampled.
            freeze: Whether the weights stay as they are.
        """
        super().__init__()
        if layer > 0 or -layer > layers or (pooled and layer):
            raise ValueError(f'layer {layer} must be 0 or -1 to -{layers}, and 0 where pooled')
        self.size, self.pooled = size, pooled
        self.layer = layers + 1 + layer if layer else None
        sizes = {'hidden_size': width, 'num_attention_heads': heads, 'patch_size': patch,
                 'num_hidden_layers': layers if keep else self.layer or layers,
                 'intermediate_size': feed or 4 * width, 'image_size': size}
        self.network, self.project = self._load(sizes, pooled or keep, output_dim, pretrained,
                                                freeze)
        for module, name in list(self._unread()):
            if keep:
                getattr(module, name).requires_grad_(False)
            else:
                setattr(module, name, nn.Identity())
        side = size // patch
        self.gives = Shape(output_dim or width, (1 if pooled else side * side) * space.frames,
                           None if pooled else (side, side), space.frames)

    def forward(self, image: Frames) -> Tokens:
        """[B, T * N, D]."""
        return encode_frames(image, self.colours, self._encode)

    def _encode(self, pixels: Tensor) -> Tensor:
        made = self.network(resized(pixels, self.size, self.size),
                            output_hidden_states=self.layer is not None)
        tokens: Tensor = made.last_hidden_state if self.layer is None \
            else made.hidden_states[self.layer]
        if not self.pooled:
            tokens = tokens[:, self.prefix:]
        elif made.pooler_output is None:
            tokens = tokens[:, :1]
        else:
            tokens = made.pooler_output[:, None]
        return self.project(tokens)  # [F * T, N, D]

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        """The network and the projection after it; `whole` with what pools."""
        import transformers
        network = network_at_size(
            getattr(transformers, f'{self.family}Model'),
            getattr(transformers, f'{self.family}Config')(**sizes), pretrained, freeze)
        return network, nn.Identity() if output_dim is None else \
            nn.Linear(sizes['hidden_size'], output_dim, bias=False)

    def _unread(self) -> Iterator[tuple[nn.Module, str]]:
        """Modules, and names of their children that no given token comes from."""
        if self.pooled:
            return
        names = ['head'] if self.layer is None and self.norms_tokens else ['head', self.norm]
        yield from ((self.network, name) for name in names if hasattr(self.network, name))
        if self.layer is not None:
            layers = next(m for m in self.network.modules() if isinstance(m, nn.ModuleList))
            yield from ((layers, str(i)) for i in range(self.layer, len(layers)))


class Vit(Tower):
    """ViT. Pooled, it is the class token."""

    family, colours, norm = 'ViT', 'half', 'layernorm'

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        network, project = super()._load(sizes, whole, output_dim, pretrained, freeze)
        network.pooler = None  # a layer of the original's training task
        return network, project


class ClipVision(Tower):
    """The tower of CLIP. With `output_dim` it ends with CLIP's own projection."""

    family, colours, norm, norms_tokens = 'CLIPVision', 'clip', 'post_layernorm', False

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        if output_dim is None:
            return super()._load(sizes, whole, None, pretrained, freeze)
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
        config = CLIPVisionConfig(projection_dim=output_dim, **sizes)
        both = network_at_size(CLIPVisionModelWithProjection, config, pretrained, freeze)
        return both.vision_model, both.visual_projection


class Siglip(Tower):
    """The tower of SigLIP. Pooled, it is what its attention head reads."""

    family, colours, norm, prefix = 'SiglipVision', 'half', 'post_layernorm', 0

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        return super()._load({**sizes, 'vision_use_head': whole}, whole, output_dim, pretrained,
                             freeze)


class Dinov2(Tower):
    """DINOv2. Pooled, it is the class token."""

    family, colours, norm = 'Dinov2', 'imagenet', 'layernorm'

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        width, feed = sizes['hidden_size'], sizes.pop('intermediate_size')
        if feed % width:
            raise ValueError(f'feed {feed} must be a multiple of width {width}')
        network, project = super()._load({**sizes, 'mlp_ratio': feed // width}, whole, output_dim,
                                         pretrained, freeze)
        network.embeddings.mask_token = None  # for pretraining
        return network, project


class Dinov2Registers(Dinov2):
    """DINOv2 with four registers.

    As `timm` has it, the class token and its position, which are only ever added, are one weight.
    """

    family, prefix = 'Dinov2WithRegisters', 5

    def _load(self, sizes: dict[str, Any], whole: bool, output_dim: int | None,
              pretrained: str | None, freeze: bool) -> tuple[Any, nn.Module]:
        network, project = super()._load(sizes, whole, output_dim, pretrained, freeze)
        embeddings = network.embeddings
        token = embeddings.cls_token.detach()
        embeddings.position_embeddings.data[:, :1] += token
        del embeddings.cls_token
        embeddings.register_buffer('cls_token', torch.zeros_like(token), persistent=False)
        return network, project
