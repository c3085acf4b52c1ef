"""A sentence as one vector."""

from __future__ import annotations

from torch import nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Sentence(Part):
    """The mean of the words' features, at another width: [B, L, F] to [B, 1, D].

    Of the stream `words` this is the sentence vector of all-MiniLM-L6-v2, mapped linearly.
    """

    def __init__(self, space: Space, of: Shapes, *, width: int) -> None:
        super().__init__()
        self.net = nn.Linear(of[0].width, width)
        self.gives = Shape(width)

    def forward(self, words: Tokens) -> Tokens:
        """See the class."""
        return Tokens.of(self.net(words.vector))
