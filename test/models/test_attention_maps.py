"""Maps of attention; test_systems.py asks every system for its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.attention_maps import attention_maps, noted


class _Causal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        one = functional.scaled_dot_product_attention(x, x[:, :2], x[:, :2], is_causal=True,
                                                      scale=0.3, enable_gqa=True)
        bias = torch.tensor([0.0, -torch.inf, 0.0]).expand(3, 3)
        return one + functional.scaled_dot_product_attention(x, x, x, attn_mask=bias)


@torch.no_grad()
def test_a_map_is_what_values_are_weighed_by() -> None:
    x = torch.randn(2, 4, 3, 8)
    model = _Causal()
    with attention_maps(model) as maps:
        made = model(x)
    first, second = maps[''], maps['.2']
    torch.testing.assert_close(first @ x[:, :2].repeat_interleave(2, 1) + second @ x, made)
    assert not first.triu(1).any() and not second[..., 1].any()


def test_nobody_is_told_of_maps_outside() -> None:
    model = _Causal()
    with pytest.raises(RuntimeError, match='on purpose'), attention_maps(model) as maps:
        raise RuntimeError('on purpose')
    model(torch.randn(2, 4, 3, 8))
    noted(torch.ones(1, 1, 1, 1))
    assert not maps and not model._forward_hooks and not model._forward_pre_hooks
