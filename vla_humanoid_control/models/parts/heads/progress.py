"""How far the task has come."""

from __future__ import annotations

from torch import Tensor, nn

from vla_humanoid_control.models.parts.heads.common import ShareHead
from vla_humanoid_control.models.parts.part import Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


class HowFar(ShareHead):
    """Teaches logits [B] how far the task has come."""

    learns = 'progress'

    def share(self, targets: Targets) -> Tensor:
        """Of the way, [B]."""
        return wanted(targets.progress, 'progress')


class ProgressHead(HowFar):
    """A token [B, 1, D] to how far the task has come."""

    def __init__(self, space: Space, of: Shapes, *, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(of[0].width, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, read: Tokens) -> Tensor:
        """[B, 1, D] to logits [B]."""
        return self.net(read.vector)[:, 0].float()
