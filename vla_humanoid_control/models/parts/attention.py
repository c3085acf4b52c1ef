"""Multi-head attention; `attention_maps` tells what looked at what."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Tokens look at each other, or at a memory."""

    def __init__(self, width: int, heads: int, *, memory: int | None = None,
                 key: int | None = None, bias: bool = True, dropout: float = 0.0) -> None:
        """Build it.

        Args:
            width: Of the tokens that look, D.
            heads: How many.
            memory: Width of the tokens that are looked at; by default D.
            key: Width of one head; by default D / heads.
            bias: Whether the linear layers add something.
            dropout: Of the weights, while training.
        """
        super().__init__()
        self.heads, self.dropout = heads, dropout
        inner = heads * (key or width // heads)
        if key is None and width % heads:
            raise ValueError(f'{heads} heads do not divide a width of {width}')
        self.query = nn.Linear(width, inner, bias)
        self.key = nn.Linear(memory or width, inner, bias)
        self.value = nn.Linear(memory or width, inner, bias)
        self.out = nn.Linear(inner, width, bias)

    def forward(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None
                ) -> Tensor:
        """Look.

        Args:
            x: [B, N, D].
            memory: [B, M, memory]; by default `x`.
            mask: bool, True where a token may look, [N, M] or [B, 1, 1, M].

        Returns:
            [B, N, D].
        """
        seen = x if memory is None else memory
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (
            self.query(x), self.key(seen), self.value(seen)))  # [B, heads, N or M, key]
        return self.out(self._read(query, key, value, mask).transpose(1, 2).flatten(2))

    def _read(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, mask, dropout)
