"""What heads share: chance from a generator, and one loss for each row of a batch."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.part import Head
from vla_humanoid_control.models.streams import Targets


def gaussian(like: Tensor, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Standard normal numbers, as `like` in type and place; the same on every device."""
    drawn = torch.randn(shape, generator=generator, device=_place(like, generator))
    return drawn.to(like.device, like.dtype)


def uniform(like: Tensor, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Numbers from 0 to 1, as `like` in type and place."""
    drawn = torch.rand(shape, generator=generator, device=_place(like, generator))
    return drawn.to(like.device, like.dtype)


def per_row(each: Tensor, targets: Targets) -> Tensor:
    """The mean of a loss [B, H, A] over the chunk, channels by their weight, [B]."""
    if targets.channel_weight is None:
        return each.mean((1, 2))
    return (each.mean(1) * targets.channel_weight).sum(1) / targets.channel_weight.sum()


class ShareHead(Head):
    """Logits [B] of a share in [0, 1]: how far a task has come, or whether it succeeded."""

    def share(self, targets: Targets) -> Tensor:
        """What is to be learnt, [B]."""
        raise NotImplementedError

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy, less the entropy that a share has of its own; [B]."""
        share = self.share(targets)
        value = functional.binary_cross_entropy_with_logits(output, share, reduction='none')
        return value - functional.binary_cross_entropy(share, share, reduction='none')

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """The share in [0, 1], [B]."""
        return output.sigmoid()


def _place(like: Tensor, generator: Generator | None) -> torch.device:
    return like.device if generator is None else generator.device
