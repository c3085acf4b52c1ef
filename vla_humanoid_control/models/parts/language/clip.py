"""The text tower of CLIP (Radford et al., 2021, https://arxiv.org/abs/2103.00020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vla_humanoid_control.models.parts.language.text import TextEncoder
from vla_humanoid_control.models.parts.language.tokenizers import WORDPIECES
from vla_humanoid_control.models.parts.part import Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class ClipText(TextEncoder):
    """Texts to one embedding each, [B, 1, D]: the last piece of a text, which has read all others.

    It is the end-of-text token of CLIP's tokenizer, and the separator of word pieces.
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 output_dim: int, vocabulary: int, feed: int | None = None,
                 tokenizer: str = WORDPIECES, length: int = 77, pretrained: str | None = None,
                 freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The text.
            width: Of a token inside.
            layers: How many.
            heads: Of attention.
            output_dim: Width of the embedding, D.
            vocabulary: How many pieces of words there are weights for.
            feed: Width of the feed-forward layers; four times `width` by default.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            length: The longest text, in pieces; what is longer is cut off.
            pretrained: A local folder or a name on the hub.
            freeze: Whether the weights stay as they are.
        """
        self.output_dim, self.length = output_dim, length
        super().__init__(space, of, width=width, layers=layers, heads=heads,
                         feed=feed or 4 * width, vocabulary=vocabulary, tokenizer=tokenizer,
                         length=length, dropout=0.0, pretrained=pretrained, freeze=freeze)
        self.gives = Shape(output_dim)

    def _network(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection
        config = CLIPTextConfig(
            vocab_size=sizes['vocabulary'], hidden_size=sizes['width'],
            intermediate_size=sizes['feed'], num_hidden_layers=sizes['layers'],
            num_attention_heads=sizes['heads'], max_position_embeddings=self.length,
            # The last two of its vocabulary begin and end a text.
            bos_token_id=sizes['vocabulary'] - 2, eos_token_id=sizes['vocabulary'] - 1,
            projection_dim=self.output_dim)
        return pretrained_or_new(CLIPTextModelWithProjection, config, pretrained, freeze)

    def forward(self, text: Sequence[str]) -> Tokens:
        """See the class."""
        assert self._tokenizer is not None
        different = list(dict.fromkeys(text))
        device = self.network.text_projection.weight.device
        ids, mask = (t.to(device) for t in self._tokenizer(different))
        # What comes after a text is not seen, for the attention is causal.
        made = self.network.text_model(input_ids=ids).last_hidden_state
        last = made[torch.arange(len(ids), device=device), mask.sum(1) - 1]
        row = torch.tensor([different.index(t) for t in text], device=device)
        return Tokens.of(self.network.text_projection(last)[row])
