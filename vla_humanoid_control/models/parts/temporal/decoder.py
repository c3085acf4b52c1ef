"""RT-1's transformer (https://arxiv.org/abs/2212.06817): frames and actions in turn."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.temporal.frames import Beside
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class _Layer(nn.Module):
    """Attention, and one dense layer without a non-linearity."""

    def __init__(self, width: int, heads: int, key: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attention = Attention(width, heads, key=key, dropout=dropout)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x), mask=mask)
        return x + self.feed(self.norms[1](x))


class FrameDecoder(Part):
    """Tokens of T frames and places for their actions, to what says the newest actions.

    beside | image 1 .. S, action 1 .. A | image 1 .. S, action 1 .. A | .. T times
                                                          ▲
                       read one place earlier: image S, action 1 .. A - 1 of the last frame

    A token looks at those before it, but no action looks at an action. The tokens of actions are
    zeros, in training too, as in the original: all actions come of one forward pass.
    """

    mask: Tensor

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int, key: int,
                 actions: Literal['channels', 'rows'] = 'channels', dropout: float = 0.1,
                 action_values: int = 0) -> None:
        """Build it.

        Args:
            space: What the actions are.
            of: Tokens of all frames, and streams that stand before them, if any.
            width: Of a token inside, D.
            layers: How many.
            heads: Of attention.
            key: Width of one head.
            actions: A token for each channel of each row of the chunk, or for each row.
            dropout: Of attention and of the dense layers.
            action_values: Values of an action whose embedding is kept. The original makes the
                embedding of the last actions and then multiplies it by zero; it learns nothing
                and is here for the published weights. 0 for none.
        """
        super().__init__()
        image, beside = of[0], of[1:]
        self.frames, seen = image.frames, image.tokens // image.frames
        self.actions = space.horizon * (space.channels if actions == 'channels' else 1)
        self.beside = Beside(beside, width)
        length = self.beside.count + self.frames * (seen + self.actions)
        self.token = nn.Linear(image.width, width)
        self.position = nn.Linear(length, width)
        self.layers = nn.ModuleList(_Layer(width, heads, key, dropout) for _ in range(layers))
        self.action_embedding = nn.Linear(action_values, image.width).requires_grad_(False) \
            if action_values else None
        self.register_buffer('mask', frame_mask(self.frames, seen, self.actions,
                                                self.beside.count), persistent=False)
        self.gives = Shape(width, self.actions)

    def forward(self, image: Tokens, *beside: Tokens) -> Tokens:
        """[B, T * S, F] to [B, A, D]."""
        each = image.values.unflatten(1, (self.frames, -1))  # [B, T, S, F]
        places = each.new_zeros(*each.shape[:2], self.actions, each.shape[-1])
        x = self.token(torch.cat([each, places], dim=2).flatten(1, 2))  # [B, T * (S + A), D]
        x = self.beside(x, *beside)
        x = x + self.position.weight.T + self.position.bias
        for layer in self.layers:
            x = layer(x, self.mask)
        return Tokens(x[:, -self.actions - 1:-1])


def frame_mask(frames: int, seen: int, actions: int, beside: int = 0) -> Tensor:
    """Which token may look at which, bool [L, L]: see `FrameDecoder`."""
    action = torch.tensor([False] * beside + ([False] * seen + [True] * actions) * frames)
    before = torch.ones(len(action), len(action), dtype=torch.bool).tril()
    return before & ~(action[:, None] & action[None])
