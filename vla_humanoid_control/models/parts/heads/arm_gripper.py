"""The head of RoboFlamingo (Li et al., 2023, https://arxiv.org/abs/2311.01378).

An MLP for the arm, whose channels are bounded, and one for grippers, which are open or closed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.heads.common import per_row
from vla_humanoid_control.models.parts.heads.regression import action_rows
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


class ArmGripperHead(Head):
    """Squared error on the arm, binary cross-entropy on grippers.

    [B, N, D] -> [B, H, A], the arm within its bound, grippers as logits of 'open'
    """

    learns = 'action'
    gripper: Tensor

    def __init__(self, space: Space, of: Shapes, *, hidden: Sequence[int] = (1024, 512, 256),
                 grippers: Sequence[int] = (), bound: float = 1.0, weight: float = 0.01) -> None:
        """Build it.

        Args:
            space: What the actions are.
            of: A token for each row of the actions, or one for all of them.
            hidden: Widths of the MLPs.
            grippers: Which channels are open at `bound` and closed at its negative, from 0.
            bound: Of normalised actions, by tanh.
            weight: Of the cross-entropy against the squared error.
        """
        super().__init__()
        is_gripper = torch.zeros(space.channels, dtype=torch.bool)
        is_gripper[list(grippers)] = True
        self.register_buffer('gripper', is_gripper, persistent=False)
        self.rows, self.bound, self.weight = action_rows(space, of[0]), bound, weight
        fingers = len(set(grippers))
        self.arm, self.hand = (
            self._net(of[0].width, hidden, self.rows * count) if count else None
            for count in (space.channels - fingers, fingers))

    @staticmethod
    def _net(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, outputs))

    def forward(self, read: Tokens) -> Tensor:
        """See the class."""
        rows = read.values.shape[1] * self.rows
        made = read.values.new_zeros((len(read.values), rows, len(self.gripper))).float()
        for net, where in ((self.arm, ~self.gripper), (self.hand, self.gripper)):
            if net is not None:  # [B, N, rows * channels] -> [B, N * rows, channels]
                part = net(read.values).float().unflatten(2, (self.rows, -1)).flatten(1, 2)
                made[..., where] = part
        return torch.where(self.gripper, made, made.tanh() * self.bound)

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """See the class; channels by their weight, [B]."""
        actions = wanted(targets.actions, 'actions')
        arm = functional.mse_loss(output, actions, reduction='none')
        hand = functional.binary_cross_entropy_with_logits(output, (actions > 0).float(),
                                                           reduction='none')
        return per_row(torch.where(self.gripper, self.weight * hand, arm), targets)

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A]; a gripper is at one of its bounds."""
        hand = torch.where(output > 0, self.bound, -self.bound)
        return torch.where(self.gripper, hand, output)
