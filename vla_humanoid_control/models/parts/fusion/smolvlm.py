"""The prefix of SmolVLA: what a small vision-language model makes of images, words and a state.

    image ─► padded to a square ─► SigLIP ─► S x S patches ─► k x k of them are one token ─┐
    text ──► word embeddings ──────────────────────────────────────────────────────────────┤
    state ─► linear layer ─────────────────────────────────────────────────────────────────┤
                                         keys and values of every layer ◄─ language model ◄┘

Images and words look at each other, and not at the state; the state looks at them. Shukor et al.,
2025, https://arxiv.org/abs/2506.01844; the model is SmolVLM2 (Marafioti et al., 2025,
https://arxiv.org/abs/2504.05299), of which the first language layers are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.language.tokenizers import (
    WORDPIECES,
    HubTokenizer,
    tokenizer_of,
)
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.parts.vision.images import encode_frames
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens

WAVELENGTH = 10000.0
"""Of rotary positions, as in LeRobot, whatever the language model was trained with."""


@dataclass(frozen=True)
class CacheShape(Shape):
    """Of a `Cache`.

    Attributes:
        layers: How many.
        heads: Of keys and values, G; `width` is that of one head.
    """

    layers: int = 1
    heads: int = 1


@dataclass(frozen=True)
class Cache:
    """What later tokens can look at.

    Attributes:
        keys: Of every layer, with their positions, [B, G, P, C] each.
        values: Of every layer, [B, G, P, C] each.
        exists: bool [B, P].
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    exists: Tensor


@dataclass(frozen=True)
class Prefix:
    """What the model has made: its cache, and tokens [B, P, D] after the last layer."""

    cache: Cache
    tokens: Tokens


class SmolVlm(Part):
    """Images, texts and states, in any order, to a `Prefix`."""

    def __init__(self, space: Space, of: Shapes, *, vision: Mapping[str, int],
                 language: Mapping[str, int], length: int = 48, tokenizer: str = WORDPIECES,
                 word_head: bool = False, pretrained: str | None = None, freeze: bool = False
                 ) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: Images, the text, and streams of the robot's state, which are projected.
            vision: width, layers, heads, hidden; patch and size, the sides of a patch and of the
                square image [px]; shuffle, the side k of the square of patches that become one
                token.
            language: width, layers, heads, key_heads, hidden, vocabulary.
            length: The longest text; what is longer is cut off.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            word_head: Whether the layer that would say words is there, which nothing reads.
            pretrained: A local folder or a name on the hub, of a SmolVLM with these sizes.
            freeze: Whether its weights stay as they are; the state's projection is trained.
        """
        super().__init__()
        from transformers import SmolVLMForConditionalGeneration, SmolVLMModel
        if vision['size'] % (vision['patch'] * vision['shuffle']):
            raise ValueError('size must be a multiple of patch times shuffle')
        kind: Any = SmolVLMForConditionalGeneration if word_head else SmolVLMModel
        self.network: Any = pretrained_or_new(kind, _config(vision, language), pretrained, freeze)
        if word_head:
            self.network.lm_head.requires_grad_(False)
        width = language['width']
        self.states = nn.ModuleList(nn.Linear(shape.width, width) for shape in of
                                    if isinstance(shape, Shape))
        self.size, self.scale = vision['size'], width ** 0.5
        self._tokenizer = tokenizer_of(HubTokenizer, tokenizer, length,
                                       next(self.network.parameters()), language['vocabulary'])
        self.gives = {'tokens': Shape(width, None), 'cache': CacheShape(
            width // language['heads'], None, layers=language['layers'],
            heads=language['key_heads'])}

    def forward(self, *streams: Frames | Sequence[str] | Tokens) -> Prefix:
        """See the class."""
        images = [encode_frames(s, 'half', self._look) for s in streams if isinstance(s, Frames)]
        states = [Tokens(linear(s.values), s.mask) for linear, s in zip(
            self.states, (s for s in streams if isinstance(s, Tokens)))]
        texts = [self._read(s) for s in streams if not isinstance(s, (Frames, Tokens))]
        seen = Tokens.join([*images, *texts])
        return self._made(Tokens.join([seen, *states]), seen.values.shape[1])

    def _made(self, tokens: Tokens, seen: int) -> Prefix:
        """Tokens [B, P, D], of which the first `seen` are images and words."""
        from transformers import DynamicCache
        exists, cache = tokens.exists, DynamicCache()
        block = torch.arange(1 - seen, exists.shape[1] - seen + 1,
                             device=exists.device).clamp(min=0)
        looks = exists[:, None, None] & (block <= block[:, None])  # [B, 1, P, P]
        positions = (exists.long().cumsum(1) - 1).clamp(min=0)
        made = self._model.text_model(None, looks, positions, cache, tokens.values,
                                      use_cache=True).last_hidden_state
        return Prefix(Cache(tuple(layer.keys for layer in cache.layers),
                            tuple(layer.values for layer in cache.layers), exists),
                      Tokens(made, exists))

    @property
    def _model(self) -> Any:
        return getattr(self.network, 'model', self.network)

    def _look(self, pixels: Tensor) -> Tensor:
        """Images [F, 3, H, W] to tokens [F, N, D]."""
        made = self._model.vision_model(squared(pixels, self.size)).last_hidden_state
        tokens: Tensor = self._model.connector(made) * self.scale
        return tokens

    def _read(self, text: Sequence[str]) -> Tokens:
        """Texts, each with a line break at its end, to tokens [B, L, D]."""
        assert self._tokenizer is not None
        words = self._model.text_model.embed_tokens
        ids, mask = (t.to(words.weight.device) for t in
                     self._tokenizer([f'{line}\n' for line in text]))
        return Tokens(words(ids) * self.scale, mask)


def squared(pixels: Tensor, size: int) -> Tensor:
    """Images [F, 3, H, W] as large as fits into a square, black at the left and at the top."""
    longest = max(pixels.shape[-2:])
    height, width = (int(side * size / longest) for side in pixels.shape[-2:])
    if (height, width) != tuple(pixels.shape[-2:]):
        pixels = functional.interpolate(pixels, (height, width), mode='bilinear',
                                        align_corners=False)
    return functional.pad(pixels, (size - width, 0, size - height, 0), value=-1.0)


def _config(vision: Mapping[str, int], language: Mapping[str, int]) -> Any:
    from transformers import LlamaConfig, SmolVLMConfig
    from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig
    return SmolVLMConfig(
        vision_config=SmolVLMVisionConfig(
            hidden_size=vision['width'], intermediate_size=vision['hidden'],
            num_hidden_layers=vision['layers'], num_attention_heads=vision['heads'],
            image_size=vision['size'], patch_size=vision['patch']),
        text_config=LlamaConfig(
            hidden_size=language['width'], intermediate_size=language['hidden'],
            num_hidden_layers=language['layers'], num_attention_heads=language['heads'],
            num_key_value_heads=language['key_heads'], vocab_size=language['vocabulary'],
            rms_norm_eps=1e-5, pad_token_id=None,
            rope_parameters={'rope_type': 'default', 'rope_theta': WAVELENGTH}),
        scale_factor=vision['shuffle'], tie_word_embeddings=False)
