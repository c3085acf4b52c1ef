"""Learned queries over frozen word features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Said:
    """An instruction.

    Attributes:
        vector: [B, 1, D], what is asked for.
        words: [B, L, D].
    """

    vector: Tokens
    words: Tokens


class SlotLanguageEncoder(Part):
    """Learned queries read the frozen word features; one vector says what is asked for.

    words [B, L, 384] -> [B, L, D] -> attention by S slots [B, S, D] -> [B, S * D] -> vector [B, D]
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, heads: int, slots: int,
                 dropout: float = 0.0) -> None:
        """Build it; `slots` queries, S, and `dropout` of whole words while training."""
        super().__init__()
        self.dropout = dropout
        self.project = nn.Sequential(nn.LayerNorm(of[0].width), nn.Linear(of[0].width, width))
        self.slots = nn.Parameter(torch.randn(slots, width) * 0.5)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(slots * width, 2 * width), nn.GELU(),
                                 nn.Linear(2 * width, width), nn.LayerNorm(width))
        self.gives = {'vector': Shape(width), 'words': Shape(width, of[0].tokens)}

    def forward(self, words: Tokens) -> Said:
        """Features of words [B, L, F] to what they say."""
        mask = words.exists
        if self.training and self.dropout:
            kept = mask & (torch.rand(mask.shape, device=mask.device) > self.dropout)
            # The first token always stays: there must be something to attend to.
            mask = torch.cat([mask[:, :1], kept[:, 1:]], dim=1)
        tokens = self.project(words.values)
        queries = self.slots.expand(len(tokens), -1, -1).to(tokens.dtype)
        read, _ = self.attention(queries, tokens, tokens, key_padding_mask=~mask,
                                 need_weights=False)
        return Said(Tokens.of(self.mix(read.flatten(1))), Tokens(tokens, words.mask))
