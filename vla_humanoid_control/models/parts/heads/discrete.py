"""Categorical bins with a network for each channel, of VIMA.

Jiang et al., 2022, https://arxiv.org/abs/2210.03094.
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


class DiscreteHead(Head):
    """Each channel has an MLP of its own and bins of its own; the answer is the likeliest bin.

    [B, N, D] -> for each channel [B, H, bins of it] -> centres of bins [B, H, A]
    """

    learns = 'action'

    def __init__(self, space: Space, of: Shapes, *, bins: int | Sequence[int], hidden: int,
                 depth: int = 2, low: float = -1.0, high: float = 1.0) -> None:
        """Build it.

        Args:
            space: What the actions are.
            of: A token for each row of the actions, or one for all of them.
            bins: How many bins: of every channel, or of each in order.
            hidden: Width of the MLPs.
            depth: Hidden layers of an MLP.
            low: Where the first bin begins, of normalised actions; less counts as this.
            high: Where the last bin ends; more counts as this.
        """
        super().__init__()
        self.bins = [bins] * space.channels if isinstance(bins, int) else list(bins)
        if len(self.bins) != space.channels or min(self.bins) < 2 or low >= high:
            raise ValueError(f'{space.channels} channels need as many numbers of bins, of 2 or '
                             f'more, between low and high; got {self.bins}, {low}, {high}')
        self.rows, self.low, self.high = action_rows(space, of[0]), low, high
        self.nets = nn.ModuleList(
            self._net(of[0].width, hidden, depth, self.rows * count) for count in self.bins)

    @staticmethod
    def _net(inputs: int, hidden: int, depth: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(inputs, hidden), nn.ReLU()]
            inputs = hidden
        last = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(last.weight, gain=0.01)  # all bins are about as likely at the start
        nn.init.zeros_(last.bias)
        return nn.Sequential(*layers, last)

    def forward(self, read: Tokens) -> list[Tensor]:
        """[B, H, D] or [B, 1, D] to logits for each channel, [B, H, bins]."""
        # [B, N, rows * bins] -> [B, N * rows, bins]
        return [net(read.values).float().unflatten(2, (self.rows, count)).flatten(1, 2)
                for net, count in zip(self.nets, self.bins)]

    def loss(self, output: list[Tensor], targets: Targets, generator: Generator | None = None
             ) -> Tensor:
        """Cross-entropy, channels by their weight; [B]."""
        which = self.encode(wanted(targets.actions, 'actions'))
        each = [functional.cross_entropy(logits.transpose(1, 2), which[..., i], reduction='none')
                for i, logits in enumerate(output)]  # [B, H]
        return per_row(torch.stack(each, dim=2), targets)

    def predict(self, output: list[Tensor], generator: Generator | None = None) -> Tensor:
        """Normalised actions [B, H, A]."""
        return self.decode(torch.stack([logits.argmax(-1) for logits in output], dim=2))

    def encode(self, actions: Tensor) -> Tensor:
        """Normalised actions [..., A] to bins, int64."""
        counts = torch.tensor(self.bins, device=actions.device)
        place = (actions.float() - self.low) / (self.high - self.low) * counts
        return torch.minimum(place.floor().long().clamp(min=0), counts - 1)

    def decode(self, which: Tensor) -> Tensor:
        """Bins int64 [..., A] to the normalised actions at their centres."""
        counts = torch.tensor(self.bins, device=which.device)
        return (which + 0.5) / counts * (self.high - self.low) + self.low
