"""Causal language models that read streams among their words, through `transformers`.

    prompt    <begin> <image> In: What action should the robot take to {text}? Out:
                 │       │                          │
    tokens    [  1  |  N of a stream  |  words of the prompt and of the instruction ]  [B, P, D]
                                                                     ─► Prefix ─► head goes on

The model sees a token and those before it. With `look_ahead` the prompt is seen as a whole, as in
PaliGemma (Beyer et al., 2024, https://arxiv.org/abs/2407.07726) and other prefix language models.
What comes after the prompt is up to the head: see `Prefix.extend`.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.models.parts.language.prompts import BEGIN, Prompt, PromptTokenizer
from vla_humanoid_control.models.parts.language.tokenizers import WORDPIECES, tokenizer_of
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.streams import Shape, Space, Tokens

Cache = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values [B, heads, C, D / heads] of each layer."""


@dataclass(frozen=True)
class Prefix:
    """What a language model has read, from where it goes on. It never changes.

    Attributes:
        model: The model itself.
        states: [B, P, D], after the last layer, of what was read last.
        last: [B, 1, D], of the last token that exists: the next token follows from it.
        cache: Keys and values of all C tokens that were read.
        mask: bool [B, C], which of them exist.
    """

    model: CausalLanguageModel
    states: Tokens
    last: Tokens
    cache: Cache
    mask: Tensor

    @property
    def logits(self) -> Tokens:
        """Of the next token, [B, 1, V]."""
        return Tokens(self.model.logits(self.last.values))

    def extend(self, ids: Tensor, mask: Tensor | None = None) -> Prefix:
        """Read on: ids int64 [B, n], and which of them exist, bool [B, n]; all by default."""
        return self.model.read(self.model.embed(ids), mask, self)


class CausalLanguageModel(Part):
    """See the head of this module; gives a `Prefix`."""

    def __init__(self, space: Space, of: Shapes, *, width: int, layers: int, heads: int,
                 vocabulary: int, prompt: str, slots: Sequence[str] = (),
                 feed: int | None = None, key_heads: int | None = None,
                 head_width: int | None = None, positions: int = 1024, look_ahead: bool = False,
                 tied: bool | None = None, tokenizer: str = WORDPIECES, length: int = 64,
                 pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The text, then the streams that the prompt has places for.
            width: Of a token, D.
            layers: How many.
            heads: Of attention.
            vocabulary: How many tokens there are weights for, V.
            prompt: The template; see `Prompt`. `<begin>` is the token that begins a text.
            slots: Names of the streams' places in the prompt, in the order of `of`.
            feed: Width of the feed-forward layers; four times `width` by default.
            key_heads: Heads of keys and values, where several queries share one.
            head_width: Of a head; `width` / `heads` by default.
            positions: The longest text, with all streams and answers, in tokens.
            look_ahead: Whether tokens of the prompt see those after them.
            tied: Whether the output has the weights of the words; by default as in the original.
            tokenizer: `wordpiece`, a local folder, or a name on the hub.
            length: The longest instruction, in tokens; what is longer is cut off.
            pretrained: A local folder or a name on the hub.
            freeze: Whether the weights stay as they are.
        """
        super().__init__()
        for name, shape in zip(slots, of[1:], strict=True):
            if shape.width != width:
                raise ValueError(f'{name} is {shape.width} wide, and the words are {width}')
        self.prompt, self.slots = Prompt(prompt, slots), tuple(slots)
        self.positions, self.look_ahead = positions, look_ahead
        sizes = {'vocab_size': vocabulary, 'hidden_size': width, 'num_hidden_layers': layers,
                 'num_attention_heads': heads, 'num_key_value_heads': key_heads or heads,
                 'head_dim': head_width or width // heads, 'max_position_embeddings': positions,
                 'intermediate_size': feed or 4 * width}
        if tied is not None:
            sizes['tie_word_embeddings'] = tied
        whole = self._whole(sizes, pretrained, freeze)
        self.network: Any = whole.base_model
        # An output with the weights of the words is no module of its own: each weight has one name
        # in a checkpoint.
        self.output: Any = None if whole.config.tie_word_embeddings else whole.lm_head
        # `transformers` renames the argument between its versions.
        known = inspect.signature(self.network.forward).parameters
        self._cache_name = 'cache' if 'cache' in known else 'past_key_values'
        self.tokenizer = tokenizer_of(PromptTokenizer, tokenizer, length,
                                      next(self.network.parameters()), vocabulary)
        self.gives = {'states': Shape(width, None), 'last': Shape(width),
                      'logits': Shape(vocabulary)}

    def _whole(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        """The network of `transformers` with its output layer."""
        raise NotImplementedError

    def forward(self, text: Sequence[str], *streams: Tokens) -> Prefix:
        """Instructions, B of them, and streams [B, N, D] in the order of the slots."""
        assert self.tokenizer is not None
        given = dict(zip(self.slots, streams, strict=True))
        pieces = []
        for piece in self.prompt.filled([self.tokenizer.shortened(t.lower()) for t in text]):
            if piece == BEGIN:
                begin = torch.full((len(text), 1), self.tokenizer.begin)
                pieces.append(Tokens(self.embed(begin)))
            elif isinstance(piece, str):
                pieces.append(given[piece])
            else:
                ids, mask = self.tokenizer(piece)
                words = self.embed(ids)
                pieces.append(Tokens(words, mask.to(words.device)))
        prompt = Tokens.join(pieces)
        return self.read(prompt.values, prompt.exists, None)

    def embed(self, ids: Tensor) -> Tensor:
        """Ids int64 [B, n] to tokens [B, n, D]."""
        table = self.network.get_input_embeddings()
        made: Tensor = table(ids.to(table.weight.device))
        return made

    def logits(self, states: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """States [..., D] to logits [..., V], or to those of `count` tokens from `first` on."""
        weight = self.network.get_input_embeddings().weight if self.output is None \
            else self.output.weight
        end = weight.shape[0] if count is None else first + count
        return functional.linear(states.to(weight.dtype), weight[first:end]).float()

    def read(self, tokens: Tensor, mask: Tensor | None, before: Prefix | None) -> Prefix:
        """Read tokens [B, n, D], those of which `mask` says that they exist, after others."""
        from transformers import DynamicCache
        rows, count = tokens.shape[:2]
        new = torch.ones(rows, count, dtype=torch.bool, device=tokens.device) if mask is None \
            else mask.to(tokens.device)
        known = new[:, :0] if before is None else before.mask
        exist = torch.cat([known, new], dim=1)  # [B, C]
        if exist.shape[1] > self.positions:
            raise ValueError(f'the prompt has {exist.shape[1]} tokens with its streams, and the '
                             f'language model reads {self.positions}')
        cache = DynamicCache(None if before is None else before.cache)
        made = self.network(
            inputs_embeds=tokens, attention_mask=self._seen(exist, count, before is None),
            position_ids=(exist.long().cumsum(1)[:, -count:] - 1).clamp(min=0),
            use_cache=True, **{self._cache_name: cache}).last_hidden_state
        last = made[:, -1:]
        if mask is not None:
            index = torch.arange(count, device=tokens.device).expand(rows, -1)
            at = index.masked_fill(~new, -1).amax(1)  # [B], -1 where no new token exists
            last = made[torch.arange(rows, device=tokens.device), at.clamp(min=0)][:, None]
            if before is not None:
                last = torch.where(at[:, None, None] < 0, before.last.values, last)
        return Prefix(self, Tokens(made, new), Tokens(last),
                      tuple((layer.keys, layer.values) for layer in cache.layers), exist)

    def _seen(self, exist: Tensor, count: int, prompt: bool) -> Tensor:
        """What the last `count` of C tokens [B, C] see, bool [B, 1, count, C].

        All see themselves: the soft-max of a token that sees nothing is undefined.
        """
        tokens = exist.shape[1]
        place = torch.arange(tokens, device=exist.device)
        query = place[tokens - count:, None]
        seen = exist[:, None] & (place <= query) if not (prompt and self.look_ahead) \
            else exist[:, None].expand(-1, count, -1)
        return (seen | (place == query))[:, None]


class Gpt2(CausalLanguageModel):
    """GPT-2 (Radford et al., 2019). Its output has the weights of its words."""

    def _whole(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import GPT2Config, GPT2LMHeadModel
        if sizes.pop('num_key_value_heads') != sizes['num_attention_heads'] or \
                sizes.pop('head_dim') * sizes['num_attention_heads'] != sizes['hidden_size']:
            raise ValueError('GPT-2 has keys and values for each head, of width / heads')
        sizes['n_inner'] = sizes.pop('intermediate_size')
        # No dropout: chance comes from the generator of a head alone. What begins and ends a text
        # is up to the tokenizer.
        config = _config(GPT2Config, pretrained, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
                         bos_token_id=None, eos_token_id=None, **sizes)
        return pretrained_or_new(GPT2LMHeadModel, config, pretrained, freeze)


class Llama(CausalLanguageModel):
    """Llama 2 (Touvron et al., 2023, https://arxiv.org/abs/2307.09288)."""

    def _whole(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM
        config = _config(LlamaConfig, pretrained, rms_norm_eps=1e-5, **sizes)
        return pretrained_or_new(LlamaForCausalLM, config, pretrained, freeze)


class Gemma(CausalLanguageModel):
    """Gemma (2024, https://arxiv.org/abs/2403.08295). Its output has the weights of its words."""

    def _whole(self, sizes: dict[str, Any], pretrained: str | None, freeze: bool) -> Any:
        from transformers import GemmaConfig, GemmaForCausalLM
        return pretrained_or_new(GemmaForCausalLM, _config(GemmaConfig, pretrained, **sizes),
                                 pretrained, freeze)


def _config(kind: Any, pretrained: str | None, **settings: Any) -> Any:
    """A configuration; what `settings` leave open, such as rotary angles, is as pretrained."""
    if pretrained is not None:
        with suppress(OSError, ValueError):  # what is wrong is said where the weights are loaded
            return kind.from_pretrained(pretrained, **settings, use_safetensors=True)
    return kind(**settings)
