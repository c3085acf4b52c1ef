"""Poses of a hand."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.common import per_row
from vla_humanoid_control.models.parts.heads.regression import action_rows
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens

POSE_CHANNELS = 9
"""Position 3, quaternion 4, gripper 1, velocity 1."""


class PoseHead(Head):
    """Tokens to poses [B, H, A]: one token for each row, or one for all of them.

    channel  0-2             3-6              7        8         9 ..
             position        unit quaternion  gripper  velocity  as they come
             in ± `bound`    about ± itself   in 0..1  in 0..1   (a base, another arm)

    The data are to be normalised by the identity: a quaternion is a unit in its own units.
    """

    learns = 'action'

    def __init__(self, space: Space, of: Shapes, *, hidden: int, bound: float = 1.0) -> None:
        """Build it; no position is farther than `bound` from 0 in any direction [m]."""
        super().__init__()
        if space.channels < POSE_CHANNELS:
            raise ValueError(f'a pose has {POSE_CHANNELS} channels, and the actions have '
                             f'{space.channels}')
        self.rows, self.bound = action_rows(space, of[0]), bound
        self.net = nn.Sequential(nn.Linear(of[0].width, hidden), nn.GELU(),
                                 nn.Linear(hidden, self.rows * space.channels))

    def forward(self, tokens: Tokens) -> Tensor:
        """[B, H, D] or [B, 1, D] to [B, H, A]."""
        made = self.net(tokens.values).float()  # [B, N, rows * A]
        made = made.reshape(len(made), made.shape[1] * self.rows, -1)
        position, turn, shares, rest = made.split(
            [3, 4, 2, made.shape[-1] - POSE_CHANNELS], dim=-1)
        return torch.cat([position.tanh() * self.bound, functional.normalize(turn, dim=-1),
                          shares.sigmoid(), rest], dim=-1)

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Smooth L1, to whichever of q and -q is nearer, channels by their weight; [B]."""
        actions = wanted(targets.actions, 'actions')
        made, turn = output[..., 3:7], actions[..., 3:7]
        same = torch.where((made * turn).sum(-1, keepdim=True) < 0, -turn, turn)
        nearest = torch.cat([actions[..., :3], same, actions[..., 7:]], dim=-1)
        return per_row(functional.smooth_l1_loss(output, nearest, beta=0.1,
                                                       reduction='none'), targets)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Poses [B, H, A]."""
        return output
