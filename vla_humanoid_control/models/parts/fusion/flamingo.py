"""A causal language model that sees, as Flamingo and OpenFlamingo build it.

Alayrac et al., 2022, https://arxiv.org/abs/2204.14198.

    media [B, T * M, V] ─────┬────────────────────────┬─────► keys, values
                             ▼                        ▼
    words [B * T, L, D] ─► + tanh(gate) x attention ─► layer of the model ─► ... ─► [B * T, L, D]
                           + tanh(gate) x feed-forward                 most of words ─► [B, T, D]

Gates are zero at the start, where it is the language model alone. Every frame of the history is
read by itself, with the same words: all of them come after the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.fusion.resampler import feed_forward
from vla_humanoid_control.models.parts.language.tokenizers import (
    WORDPIECES,
    HubTokenizer,
    tokenizer_of,
)
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class Flamingo(Part):
    """A text and the latents of images to a token for each frame, the largest of its words'."""

    def __init__(self, space: Space, of: Shapes, *, model: str, sizes: Mapping[str, Any],
                 every: int = 1, heads: int = 8, head_width: int = 64,
                 tokenizer: str = WORDPIECES, length: int = 64, pretrained: str | None = None,
                 freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The text, and tokens of images.
            model: The kind of language model, as `transformers` names it: `mpt`, `llama`, ...
            sizes: Of its configuration in `transformers`.
            every: Before every so many layers it looks at the images.
            heads: Of that cross-attention.
            head_width: Of a head.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            length: The longest text; what is longer is cut off.
            pretrained: A local folder or a name on the hub, of the language model.
            freeze: Whether the language model stays as it is; what looks at images is trained.
        """
        super().__init__()
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_MAPPING
        config = AutoConfig.for_model(model, **sizes)
        self.network: Any = pretrained_or_new(MODEL_MAPPING[type(config)], config, pretrained,
                                              freeze)
        self.frames, width = of[1].frames, int(config.hidden_size)
        layers = next(m for m in self.network.children() if isinstance(m, nn.ModuleList))
        seeing = list(layers)[every - 1::every]
        gates = [GatedAttention(width, of[1].width, heads, head_width) for _ in seeing]
        self.gates = nn.ModuleList(gates)
        for gate, layer in zip(gates, seeing, strict=True):
            # A bound method: a copy of this module gets the gates of the copy.
            layer.register_forward_pre_hook(gate.before)
        self._tokenizer = tokenizer_of(HubTokenizer, tokenizer, length,
                                       self.network.get_input_embeddings().weight,
                                       config.vocab_size)
        self.gives = Shape(width, self.frames, frames=self.frames)

    def forward(self, text: Sequence[str], media: Tokens) -> Tokens:
        """Instructions, B of them, and latents [B, T * M, V] to [B, T, D]."""
        assert self._tokenizer is not None
        ids, mask = (t.to(media.values.device).repeat_interleave(self.frames, 0)
                     for t in self._tokenizer(text))  # [B * T, L]
        seen = media.values.unflatten(1, (self.frames, -1)).flatten(0, 1)  # [B * T, M, V]
        self._show(seen)
        try:
            made = self.network(input_ids=ids, attention_mask=mask.long(),
                                use_cache=False).last_hidden_state
        finally:
            self._show(None)
        largest = made.masked_fill(~mask[..., None], -torch.inf).amax(1)  # [B * T, D]
        return Tokens(largest.unflatten(0, (-1, self.frames)))

    def _show(self, media: Tensor | None) -> None:
        for gate in self.gates:
            assert isinstance(gate, GatedAttention)
            gate.media = media


class GatedAttention(nn.Module):
    """Words look at an image as much as a gate lets them, before a layer of a language model.

    Attributes:
        media: What they look at, [N, M, V]; set while the language model runs.
    """

    def __init__(self, width: int, media_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, memory=media_width, key=head_width,
                                   bias=False)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.feed = feed_forward(width)
        self.feed_gate = nn.Parameter(torch.zeros(1))
        self.media: Tensor | None = None

    def forward(self, words: Tensor, media: Tensor) -> Tensor:
        """Words [N, L, D] and what they look at [N, M, V] to words."""
        x = words + self.attention_gate.tanh() * self.attention(self.norm(words), media)
        return x + self.feed_gate.tanh() * self.feed(x)

    def before(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """A hook: the words that a layer of the language model is given have looked."""
        assert self.media is not None
        return (self(inputs[0], self.media), *inputs[1:])
