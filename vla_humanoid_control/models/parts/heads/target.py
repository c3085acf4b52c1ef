"""Teaches a grounding where the object of the instruction is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.fusion.grounding import Grounding
from vla_humanoid_control.models.parts.part import Head, Shapes, wanted
from vla_humanoid_control.models.streams import Space, Targets


class TargetPrediction(NamedTuple):
    """visible [B] in [0, 1], position [B, 2] in [-1, 1], distance [B] in metres."""

    visible: Tensor
    position: Tensor
    distance_m: Tensor


class TargetHead(Head):
    """Supervises the grounding where a sample has a target object; no weights of its own."""

    learns = 'target'

    def __init__(self, space: Space, of: Shapes) -> None:
        super().__init__()
        self.grid: tuple[int, int] = of[0]['cells'].grid

    def forward(self, grounding: Grounding) -> Grounding:
        """Passes it on."""
        return grounding

    def loss(self, output: Grounding, targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cell or 'nowhere' by cross-entropy, and place and distance where visible.

        Returns:
            [B], 0 where there is no target object.
        """
        target = wanted(targets.target, 'target')
        rows, columns = self.grid
        has = ~target[:, 0].isnan()
        visible = has & (target[:, 0] > 0.5) & target[:, 1:3].isfinite().all(1)
        place = target[:, 1:3].nan_to_num().clamp(-1, 1)
        column = ((place[:, 0] + 1) / 2 * columns).long().clamp(max=columns - 1)
        row = ((place[:, 1] + 1) / 2 * rows).long().clamp(max=rows - 1)
        cell = torch.where(visible, row * columns + column, rows * columns)
        which = functional.cross_entropy(output.logits, cell, reduction='none',
                                         label_smoothing=0.02)
        where = functional.smooth_l1_loss(output.position, place, beta=0.05,
                                          reduction='none').sum(1)
        distance = target[:, 3].nan_to_num(1.0).clamp(0.1, 20.0).log()
        far = functional.smooth_l1_loss(output.log_distance, distance, beta=0.1, reduction='none')
        return has * (0.3 * which + visible * (2.0 * where + 0.5 * far))

    def predict(self, output: Grounding, generator: Generator | None = None
                ) -> TargetPrediction:
        """Visibility, place and distance."""
        visible = 1 - output.logits.softmax(dim=1)[:, -1]
        return TargetPrediction(visible, output.position, output.log_distance.exp())
