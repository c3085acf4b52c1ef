"""Who looks at whom: the maps of every attention in a model, for as long as they are asked for.

    with attention_maps(system) as maps:
        system.predict(system(inputs), 'action')
    maps['fusion.layers.0.attention']    # [B, heads, queries, keys]; each row sums up to 1

Where nobody asks, attention is `scaled_dot_product_attention`, which makes no map. Where somebody
does, it still is, and the map is computed beside it; so it is of parts from `transformers`, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_asked: ContextVar[_Collector | None] = ContextVar('asked', default=None)


@contextmanager
def attention_maps(model: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """Collect the maps of a model's attention while it runs.

    Gives:
        Name of the module to its map, [B, heads, Q, K], detached. Where a module attends several
        times in one call, the later ones are NAME.2, NAME.3, ...; where it is called several
        times, as by a head that decodes token by token, those of the last call.
    """
    collector = _Collector()
    hooks = [hook for name, module in model.named_modules() for hook in (
        module.register_forward_pre_hook(lambda *_, n=name: collector.enter(n)),
        module.register_forward_hook(lambda *_: collector.leave(), always_call=True))]
    token = _asked.set(collector)
    try:
        with collector:
            yield collector.maps
    finally:
        _asked.reset(token)
        for hook in hooks:
            hook.remove()


def noted(weights: Tensor) -> Tensor:
    """Weights of an attention that is written out, [B, heads, Q, K]; they are given back."""
    collector = _asked.get()
    if collector is not None:
        collector.note(weights)
    return weights


class _Collector(TorchFunctionMode):
    """Sees every call of `torch`, and computes a map beside each that attends."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: dict[str, Tensor] = {}
        self._inside: list[tuple[str, int]] = []  # names of modules that run, and their maps yet

    def enter(self, name: str) -> None:
        """A module begins."""
        self._inside.append((name, 0))

    def leave(self) -> None:
        """The module that began last is over."""
        self._inside.pop()

    def note(self, weights: Tensor) -> None:
        """The map of an attention in the module that runs."""
        name, before = self._inside.pop() if self._inside else ('', 0)
        self._inside.append((name, before + 1))
        self.maps[f'{name}.{before + 1}' if before else name] = weights.detach()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call what was called; see the class."""
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self.note(_map(*args, **kwargs))
        elif func is functional.multi_head_attention_forward:
            # It computes what it weighs only where that is asked for.
            made, weights = func(*args, **{**kwargs, 'need_weights': True,
                                           'average_attn_weights': False})
            assert weights is not None
            self.note(weights)
            return made, weights if kwargs.get('need_weights', True) else None
        return func(*args, **kwargs)


@torch.no_grad()
def _map(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
         dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
         enable_gqa: bool = False) -> Tensor:
    """What `scaled_dot_product_attention` weighs the values by, before dropout."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = query @ key.transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    if is_causal:
        attn_mask = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool \
            else scores + attn_mask
    return scores.softmax(-1)
