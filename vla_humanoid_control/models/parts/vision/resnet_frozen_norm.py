"""A ResNet whose norms learn nothing, as detectors and ACT have it."""

from __future__ import annotations

from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Shapes
from vla_humanoid_control.models.parts.vision.resnet import ResNet
from vla_humanoid_control.models.streams import Space


class FrozenNormResNet(ResNet):
    """See the class above it. A norm has no parameters, and is the same in training.

    With pretrained weights, batch norm is frozen: its statistics and weights become constants.
    Without, a frozen batch norm would be the identity, and the variance would double with each
    residual block. Then it is group norm without weights, of 16 channels a group (Wu and He, 2018,
    https://arxiv.org/abs/1803.08494), which needs no statistics; or, with `constants`, the
    identity until weights from elsewhere come with constants (`models/weights/`).
    """

    def __init__(self, space: Space, of: Shapes, *, depth: int, pooled: bool = False,
                 width: int = 64, pretrained: str | None = None, freeze: bool = False,
                 constants: bool = False) -> None:
        """Build it; see `ResNet`."""
        super().__init__(space, of, depth=depth, pooled=pooled, width=width,
                         pretrained=pretrained, freeze=freeze)
        for module in list(self.network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.BatchNorm2d):
                    channels = child.num_features
                    setattr(module, name, nn.GroupNorm(max(1, channels // 16), channels,
                                                       affine=False)
                            if pretrained is None and not constants
                            else ChannelAffine(child))


class ChannelAffine(nn.Module):
    """What a batch norm does when it is not trained: a scale and a shift for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_var is not None and norm.running_mean is not None
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        self.register_buffer('scale', scale[:, None, None])
        self.register_buffer('shift', (norm.bias.detach() - norm.running_mean * scale)
                             [:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same."""
        return x * self.scale + self.shift
