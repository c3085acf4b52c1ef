"""Everything that may tell success from failure, for a confidence head."""

from __future__ import annotations

import torch
from torch import Tensor

from vla_humanoid_control.models.parts.fusion.grounding import Grounding
from vla_humanoid_control.models.parts.fusion.query import Readouts
from vla_humanoid_control.models.parts.heads.intent import INSTRUCTION_SLOTS, certainty
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.film_conv import ImageFeatures
from vla_humanoid_control.models.streams import Shape, Space, Tokens

_SCALARS = 8


class Evidence(Part):
    """Features, what was read, and how sure the heads are, side by side and without gradients."""

    def __init__(self, space: Space, of: Shapes) -> None:
        """Build it on words, image, instruction, query, body, fusion, and raw outputs of heads.

        The heads are those for instruction, progress and action.
        """
        super().__init__()
        words, image, instruction, query, body, fusion = of[:6]
        self.gives = Shape(
            image['pooled'].width + image['tokens'].width + instruction.width
            + 2 * fusion['all'].width + body.width * body.tokens + query['token'].width
            + words.width + len(INSTRUCTION_SLOTS) + 1 + _SCALARS)

    @torch.no_grad()
    def forward(self, words: Tokens, image: ImageFeatures, instruction: Tokens, query: Grounding,
                body: Tokens, fusion: Readouts, said: Tensor, progress: Tensor, actions: Tensor
                ) -> Tokens:
        """[B, 1, E]."""
        log_weights = query.logits.log_softmax(1)
        entropy = -(log_weights.exp() * log_weights).sum(1)
        scalars = torch.stack([
            entropy, log_weights[:, :-1].amax(1), log_weights[:, -1], query.logits.amax(1),
            query.log_distance, progress, actions[:, 0].abs().amax(1),
            actions.diff(dim=1).abs().amax((1, 2))], dim=1)  # [B, 8]
        parts = [image.pooled.vector, instruction.vector, image.tokens.values.mean(1),
                 fusion.all.values.mean(1), fusion.confidence.vector, body.values.flatten(1),
                 query.token.vector, words.vector, certainty(said), scalars]
        return Tokens.of(torch.cat([p.float() for p in parts], dim=1))
