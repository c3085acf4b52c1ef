"""Averaged word embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vla_humanoid_control.models.parts.language.tokenizers import WordTokenizer
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class WordAverage(Part):
    """Texts to the mean of their words' embeddings, [B, 1, D]; a vector of zeros for no word."""

    def __init__(self, space: Space, of: Shapes, *, width: int, vocabulary: int, length: int
                 ) -> None:
        super().__init__()
        self.tokenizer = WordTokenizer(vocabulary, length)
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        self.gives = Shape(width)

    def forward(self, text: Sequence[str]) -> Tokens:
        """See the class."""
        ids, mask = self.tokenizer(text)
        device = self.embedding.weight.device
        return Tokens.of(Tokens(self.embedding(ids.to(device)), mask.to(device)).vector)
