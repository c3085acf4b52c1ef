"""Mixtures of experts, weighed by a learned gate.

    vision, language, ... ─┬─► expert 1 .. E ─► [B, E, D] ─┐
                           └─► gate ─► weights [B, E] ─────┴─► sum [B, 1, D]

Jacobs et al., 1991, Adaptive mixtures of local experts. All experts are asked: there are few, and
each learns from every sample. The weights come from what is seen and said, not from a list of
tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Mixed:
    """What experts have made.

    Attributes:
        token: [B, 1, D].
        weights: [B, 1, E], how much each of them says; they sum up to 1.
    """

    token: Tokens
    weights: Tokens


class Experts(Part):
    """The vectors of some streams to one token, by experts; see the head of this module."""

    def __init__(self, space: Space, of: Shapes, *, width: int, hidden: int, experts: int
                 ) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The streams that are fused; the gate sees all of them.
            width: Of the token that it gives, D.
            hidden: Inside each expert.
            experts: How many, E.
        """
        super().__init__()
        inputs = sum(shape.width for shape in of)
        self.gate = nn.Linear(inputs, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, hidden), nn.GELU(),
                          nn.Linear(hidden, width)) for _ in range(experts))
        self.gives = {'token': Shape(width), 'weights': Shape(experts)}

    def forward(self, *streams: Tokens) -> Mixed:
        """See the class."""
        joined = torch.cat([s.vector for s in streams], dim=1)
        return _mixed(self.gate(joined), [expert(joined) for expert in self.experts])


class Adapters(Part):
    """Small residual networks, each for a kind of task, after a token [B, 1, D].

    Houlsby et al., 2019, https://arxiv.org/abs/1902.00751: down to a few numbers and up again,
    the identity at the start. A gate over the second stream, the instruction, chooses softly.
    """

    def __init__(self, space: Space, of: Shapes, *, names: Sequence[str], hidden: int) -> None:
        """Build it on the token and the instruction; an adapter of `hidden` for each name."""
        super().__init__()
        if len(of) != 2:
            raise ValueError('adapters need the token that they adapt, and what chooses them')
        width = of[0].width
        self.gate = nn.Linear(of[1].width, len(names))
        self.adapters = nn.ModuleDict({
            name: nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            for name in names})
        for adapter in self.adapters.values():
            assert isinstance(adapter, nn.Sequential)
            for parameter in adapter[-1].parameters():
                nn.init.zeros_(parameter)
        self.gives = {'token': Shape(width), 'weights': Shape(len(names))}

    def forward(self, token: Tokens, instruction: Tokens) -> Mixed:
        """See the class."""
        x = token.vector
        change = _mixed(self.gate(instruction.vector), [a(x) for a in self.adapters.values()])
        return Mixed(Tokens.of(x + change.token.vector), change.weights)


def _mixed(scores: Tensor, made: list[Tensor]) -> Mixed:
    """Scores [B, E] and what E experts made, [B, D] each."""
    weights = scores.softmax(dim=1)
    token = torch.einsum('be,bed->bd', weights, torch.stack(made, dim=1))
    return Mixed(Tokens.of(token), Tokens.of(weights))
