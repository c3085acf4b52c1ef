"""How likely the task is to succeed, before calibration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.heads.common import ShareHead
from vla_humanoid_control.models.parts.part import Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


class _Success(ShareHead):
    learns = 'confidence'

    def share(self, targets: Targets) -> Tensor:
        """1 where the task succeeded, else 0, [B]."""
        return wanted(targets.success, 'success')


class SuccessHead(_Success):
    """Success probability from one stream; gradients reach the head alone."""

    def __init__(self, space: Space, of: Shapes, *, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(of[0].width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, read: Tokens) -> Tensor:
        """[B, N, D] to logits [B]."""
        return self.net(read.vector.detach())[:, 0].float()


class ConfidenceHead(_Success):
    """Success probability from everything that the frozen trunk knows, normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, space: Space, of: Shapes, *, hidden: int) -> None:
        super().__init__()
        inputs = of[0].width
        self.register_buffer('mean', torch.zeros(inputs))
        self.register_buffer('std', torch.ones(inputs))
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(0.1),
                                 nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(0.1),
                                 nn.Linear(hidden, 1))

    def forward(self, evidence: Tokens) -> Tensor:
        """Evidence [B, 1, E] to logits [B]; gradients reach the head alone."""
        return self.of_vector(evidence.vector.detach())

    def of_vector(self, evidence: Tensor) -> Tensor:
        """Evidence [B, E] to logits [B]."""
        x = ((evidence.float() - self.mean) / self.std).clamp(-8, 8)
        return self.net(x)[:, 0].float()
