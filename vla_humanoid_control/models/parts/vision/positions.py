"""Position tables of vision transformers, for images of another size."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.pretrained import pretrained_or_new


def network_at_size(kind: Any, config: Any, pretrained: str | None, freeze: bool) -> Any:
    """A network; the position table of pretrained weights is resampled to its size of images."""
    size = config.image_size
    if pretrained is not None:
        with suppress(OSError, ValueError):  # what is wrong is said where they are loaded
            config.image_size = type(config).from_pretrained(pretrained).image_size
    network = pretrained_or_new(kind, config, pretrained, freeze)
    if size == config.image_size:
        return network
    config.image_size = size
    resized = pretrained_or_new(kind, config, None, freeze)
    weights = network.state_dict()
    for name, new in resized.state_dict().items():
        if 'position_embedding' in name:
            table = weights[name].reshape(-1, new.shape[-1])
            weights[name] = _resampled(table, new.numel() // new.shape[-1]).reshape(new.shape)
    resized.load_state_dict(weights)
    return resized


def _resampled(table: Tensor, length: int) -> Tensor:
    """A position table [P + N, D] for another number of patches, `length` - P; P is 0 or 1."""
    first = table.shape[0] - int(table.shape[0] ** 0.5) ** 2
    sides = [int((rows - first) ** 0.5) for rows in (table.shape[0], length)]
    grid = table[first:].T.reshape(1, -1, sides[0], sides[0])  # [1, D, side, side]
    grid = functional.interpolate(grid, (sides[1], sides[1]), mode='bicubic', antialias=True,
                                  align_corners=False)
    return torch.cat([table[:first], grid[0].flatten(1).T])
