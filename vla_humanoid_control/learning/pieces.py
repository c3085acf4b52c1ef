"""A batch in pieces: for processes that share it, and for steps that it does not fit into at once.

Losses are means over the whole batch. Each piece knows what the weights of the whole sum up to, so
that the losses of the pieces, and their gradients, sum up to those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vla_humanoid_control.models.streams import Inputs, Targets


@dataclass(frozen=True)
class Piece:
    """A batch, or some of its rows.

    Attributes:
        inputs: For the model, B rows.
        targets: What they are to teach.
        weight: [B], of each row.
        total: [], the sum of the weights of the whole batch.
    """

    inputs: Inputs
    targets: Targets
    weight: Tensor
    total: Tensor

    @staticmethod
    def whole(inputs: Inputs, targets: Targets, weight: Tensor) -> Piece:
        """All rows of a batch."""
        return Piece(inputs, targets, weight, weight.sum())

    def to(self, device: torch.device) -> Piece:
        """The same on a device."""
        return Piece(self.inputs.to(device), self.targets.to(device), self.weight.to(device),
                     self.total.to(device))

    def mean(self, values: Tensor) -> Tensor:
        """What the rows [B] of this piece add to the weighted mean over the whole batch, []."""
        return (values * self.weight).sum() / self.total

    def pieces(self, count: int) -> list[Piece]:
        """The batch in so many pieces; one that is left without a row gets one of no weight."""
        return [self] if count == 1 else [
            self._of(rows) for rows in torch.arange(len(self.weight)).tensor_split(count)]

    def _of(self, rows: Tensor) -> Piece:
        if len(rows):
            return Piece(self.inputs.rows(rows), self.targets.rows(rows), self.weight[rows],
                         self.total)
        first = torch.zeros(1, dtype=torch.long)
        return Piece(self.inputs.rows(first), self.targets.rows(first), self.weight.new_zeros(1),
                     self.total)
