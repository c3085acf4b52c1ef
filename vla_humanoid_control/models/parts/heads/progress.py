"""How far the task has come."""

from __future__ import annotations

from torch import Generator, Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets, Tokens


class HowFar(Head):
    """Teaches logits [B] how far the task has come."""

    learns = 'progress'

    def loss(self, output: Tensor, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy against soft labels in [0, 1], less their own entropy; [B]."""
        progress = wanted(targets.progress, 'progress')
        value = functional.binary_cross_entropy_with_logits(output, progress, reduction='none')
        return value - functional.binary_cross_entropy(progress, progress, reduction='none')

    def predict(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Progress in [0, 1], [B]."""
        return output.sigmoid()


class ProgressHead(HowFar):
    """A token [B, 1, D] to how far the task has come."""

    def __init__(self, space: Space, of: Shapes, *, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(of[0].width, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, read: Tokens) -> Tensor:
        """[B, 1, D] to logits [B]."""
        return self.net(read.vector)[:, 0].float()
