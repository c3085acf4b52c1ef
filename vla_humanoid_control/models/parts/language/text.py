"""Transformers that read the instruction itself, through `transformers`: T5 and BERT.

MiniLM is a small BERT. `pretrained: minilm` takes the sentence encoder that comes with this
package (width 384, 6 layers, 12 heads, feed 1536), which also makes the stream `words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vla_humanoid_control.models.parts.language.tokenizers import (
    WORDPIECES,
    HubTokenizer,
    tokenizer_of,
)
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.streams import Shape, Space, Tokens

MINILM = 'minilm'
"""The pretrained sentence encoder that comes with this package."""


class TextEncoder(Part):
    """Texts to a token for each piece of a word, [B, L, D], L as long as the longest text.

    Each text is encoded once, also where several rows of the batch say the same.
    """

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 feed: int, vocabulary: int, tokenizer: str = WORDPIECES, length: int = 64,
                 dropout: float = 0.1, output_dim: int | None = None,
                 pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The text.
            width: Of a token inside.
            layers: How many.
            heads: Of attention.
            feed: Width of the feed-forward layers.
            vocabulary: How many pieces of words there are weights for.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            length: The longest text; what is longer is cut off.
            dropout: While the weights are trained.
            output_dim: Width of a token that it gives, by a linear map; by default `width`.
            pretrained: A local folder, a name on the hub, or `minilm`.
            freeze: Whether the weights stay as they are; the linear map is trained all the same.
        """
        super().__init__()
        if pretrained == MINILM:
            from vla_humanoid_control.language.encoder import model_folder
            pretrained = str(model_folder())
        self.network = self._network(
            {'vocabulary': vocabulary, 'width': width, 'layers': layers, 'heads': heads,
             'feed': feed, 'dropout': 0.0 if freeze else dropout}, pretrained, freeze)
        self.output = nn.Identity() if output_dim is None else nn.Linear(width, output_dim)
        self._tokenizer = tokenizer_of(HubTokenizer, tokenizer, length,
                                       next(self.network.parameters()), vocabulary)
        self.gives = Shape(output_dim or width, None)

    def _network(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        raise NotImplementedError

    def forward(self, text: Sequence[str]) -> Tokens:
        """See the class."""
        assert self._tokenizer is not None
        different = list(dict.fromkeys(text))
        device = next(self.network.parameters()).device
        ids, mask = (t.to(device) for t in self._tokenizer(different))
        made = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        row = torch.tensor([different.index(t) for t in text], device=device)
        return Tokens(self.output(made)[row], mask[row])


class T5(TextEncoder):
    """The encoder of T5 (Raffel et al., 2019, https://arxiv.org/abs/1910.10683)."""

    def _network(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import T5Config, T5EncoderModel
        config = T5Config(vocab_size=sizes['vocabulary'], d_model=sizes['width'],
                          d_kv=sizes['width'] // sizes['heads'], d_ff=sizes['feed'],
                          num_layers=sizes['layers'], num_heads=sizes['heads'],
                          dropout_rate=sizes['dropout'])
        # The stack alone: the model around it holds the same embeddings under a second name.
        return pretrained_or_new(T5EncoderModel, config, pretrained, freeze).encoder


class Bert(TextEncoder):
    """BERT (Devlin et al., 2018, https://arxiv.org/abs/1810.04805) without its pooling layer."""

    def _network(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import BertConfig, BertModel
        config = BertConfig(vocab_size=sizes['vocabulary'], hidden_size=sizes['width'],
                            num_hidden_layers=sizes['layers'],
                            num_attention_heads=sizes['heads'],
                            intermediate_size=sizes['feed'],
                            hidden_dropout_prob=sizes['dropout'],
                            attention_probs_dropout_prob=sizes['dropout'])
        network = pretrained_or_new(BertModel, config, pretrained, freeze)
        network.pooler = None
        return network
