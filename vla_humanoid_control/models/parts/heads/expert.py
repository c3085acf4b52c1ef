"""The action expert of SmolVLA: noisy actions look at each other and at a prefix in turn.

    layer 1   self-attention    actions look at the prefix's keys and values of this layer and,
                                causally, at their own
    layer 2   cross-attention   actions look at the prefix's keys and values of this layer alone,
                                through projections of the expert
    layer 3   self-attention    ...

Shukor et al., 2025, https://arxiv.org/abs/2506.01844.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.fusion.smolvlm import WAVELENGTH, Cache, CacheShape

Pairs = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer."""


class ActionExpert(nn.Module):
    """A narrow Llama with one layer for each of the prefix."""

    def __init__(self, prefix: CacheShape, width: int, heads: int, hidden: int, self_every: int
                 ) -> None:
        """Build it.

        Args:
            prefix: What it looks at.
            width: D.
            heads: Of queries.
            hidden: Width of the feed-forward layers.
            self_every: The first of so many layers is of self-attention.
        """
        super().__init__()
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import (
            LlamaDecoderLayer,
            LlamaRMSNorm,
            LlamaRotaryEmbedding,
        )
        config = LlamaConfig(
            hidden_size=width, intermediate_size=hidden, num_hidden_layers=prefix.layers,
            num_attention_heads=heads, num_key_value_heads=prefix.heads, head_dim=prefix.width,
            rms_norm_eps=1e-5,
            rope_parameters={'rope_type': 'default', 'rope_theta': WAVELENGTH})
        layers: list[Any] = [LlamaDecoderLayer(config, i) for i in range(prefix.layers)]
        self.layers: Any = nn.ModuleList(layers)
        self.crosses = [bool(i % self_every) for i in range(prefix.layers)]
        inner = prefix.heads * prefix.width
        for layer, crosses in zip(layers, self.crosses):
            if crosses:
                layer.self_attn.k_proj = nn.Linear(inner, inner, bias=False)
                layer.self_attn.v_proj = nn.Linear(inner, inner, bias=False)
        self.norm = LlamaRMSNorm(width, eps=1e-5)
        self.rotary = LlamaRotaryEmbedding(config)
        self.head = prefix.width

    def read(self, prefix: Cache) -> Pairs:
        """What each layer looks at of the prefix: the same at each step of an answer."""
        pairs = []
        for layer, crosses, key, value in zip(self.layers, self.crosses, prefix.keys,
                                              prefix.values):
            if crosses:
                key, value = (self._heads(project(t.transpose(1, 2).flatten(2))) for project, t in
                              ((layer.self_attn.k_proj, key), (layer.self_attn.v_proj, value)))
            pairs.append((key, value))
        return pairs

    def forward(self, x: Tensor, pairs: Pairs, exists: Tensor) -> Tensor:
        """Think.

        Args:
            x: Tokens of actions, [B, H, D].
            pairs: What `read` gave, [B, G, P, C] each.
            exists: Which of the prefix exist, bool [B, P].

        Returns:
            [B, H, D].
        """
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
        count = x.shape[1]
        order = torch.arange(count, device=x.device)
        after = self.rotary(x, exists.sum(1, keepdim=True) + order)  # they follow the prefix
        alone = self.rotary(x, order[None])
        prefix = exists[:, None, None].expand(-1, 1, count, -1)  # [B, 1, H, P]
        both = torch.cat([prefix, (order <= order[:, None]).expand(len(x), 1, -1, -1)], dim=3)
        for layer, crosses, (key, value) in zip(self.layers, self.crosses, pairs):
            attention, y = layer.self_attn, layer.input_layernorm(x)
            query = self._heads(attention.q_proj(y))
            if crosses:
                query, _ = apply_rotary_pos_emb(query, query, *alone)
            else:
                query, own = apply_rotary_pos_emb(query, self._heads(attention.k_proj(y)), *after)
                key = torch.cat([key, own], dim=2)
                value = torch.cat([value, self._heads(attention.v_proj(y))], dim=2)
            read = functional.scaled_dot_product_attention(
                query, key, value, prefix if crosses else both, enable_gqa=True)
            x = x + attention.o_proj(read.transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        made: Tensor = self.norm(x)
        return made

    def _heads(self, x: Tensor) -> Tensor:
        """[B, N, G * C] to [B, G, N, C]."""
        return x.unflatten(2, (-1, self.head)).transpose(1, 2)
