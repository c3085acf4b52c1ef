"""FiLM: one stream scales and shifts the channels of another.

Perez et al., 2017, https://arxiv.org/abs/1709.07871.
"""

from __future__ import annotations

from torch import Tensor, nn


class Film(nn.Module):
    """x (1 + scale) + shift, both linear in a condition; starts as the identity."""

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Image features [B, C, h, w] and a condition [B, S] to [B, C, h, w]."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift
