"""What heads of actions share: chance from a generator, and one loss for each row of a batch."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

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


def _place(like: Tensor, generator: Generator | None) -> torch.device:
    return like.device if generator is None else generator.device
