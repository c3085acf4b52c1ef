"""The controller of VIMA (Jiang et al., 2022, https://arxiv.org/abs/2210.03094).

A GPT over what is seen reads the prompt in cross-attention before each of its own layers:

    prompt [B, P, D] ──────────┬───────────────────┬──────► keys, values
                               ▼                   ▼
    tokens [B, N, D] ─► cross-attention ─► self-attention ─► ... ─► the last token [B, 1, D]
                        (norm before)      (norm after, causal)

Feed-forward networks are GEGLU: a layer with GELU times a linear one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.streams import Shape, Space, Tokens


class CrossGpt(Part):
    """A prompt, and tokens in the order in which they came, to what is to be done.

    Tokens [B, N, D] are numbered without those that do not exist, as the prompt is. Only the
    newest token is given: it has read all others.
    """

    def __init__(self, space: Space, of: Shapes, *, layers: int, heads: int, cross_heads: int,
                 positions: int = 512, prompt_positions: int = 256, dropout: float = 0.1) -> None:
        """Build it.

        Args:
            space: Not asked.
            of: The prompt, and one or more streams of tokens as wide, one after the other.
            layers: Pairs of cross- and self-attention.
            heads: Of self-attention.
            cross_heads: Of cross-attention.
            positions: The longest sequence of tokens.
            prompt_positions: The longest prompt; what is longer is cut off.
            dropout: Of embeddings, attention and feed-forward of the GPT.
        """
        super().__init__()
        width = of[0].width
        if any(shape.width != width for shape in of):
            raise ValueError(f'all its streams must be as wide: {[s.width for s in of]}')
        if sum(shape.tokens or 1 for shape in of[1:]) > positions:
            raise ValueError(f'its streams have more tokens than {positions} positions')
        self.positions = nn.Embedding(positions, width)
        self.prompt_positions = nn.Embedding(prompt_positions, width)
        self.drop = nn.Dropout(dropout)
        self.cross = nn.ModuleList(CrossLayer(width, cross_heads) for _ in range(layers))
        self.layers = nn.ModuleList(CausalLayer(width, heads, dropout) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        self.gives = Shape(width)

    def forward(self, prompt: Tokens, *streams: Tokens) -> Tokens:
        """Prompt [B, P, D] and tokens to one token [B, 1, D]."""
        tokens = Tokens.join(streams)
        said, heard = (t[:, :self.prompt_positions.num_embeddings]
                       for t in (prompt.values, prompt.exists))
        said = said + self.prompt_positions(_numbers(heard))
        x = self.drop(tokens.values + self.positions(_numbers(tokens.exists)))
        before = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        if tokens.mask is not None:  # one that does not exist sees itself: of nothing is no mean
            before = tokens.mask[:, None, None] & before | before & before.T  # [B, 1, N, N]
        for cross, layer in zip(self.cross, self.layers):
            x = layer(cross(x, said, heard[:, None, None]), before)
        return Tokens(x[:, -1:])


class CrossLayer(nn.Module):
    """Tokens read the prompt; no layer of it has a bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, bias=False)
        self.up, self.gate = (nn.Linear(width, 4 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, N, D], prompt [B, P, D], mask bool [B, 1, 1, P] to tokens."""
        x = x + self.attention(self.norm(x), prompt, mask)
        return x + self.down(functional.gelu(self.up(self.feed_norm(x))) * self.gate(x))


class CausalLayer(nn.Module):
    """A layer of the first GPT, normed after each step, with GEGLU."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout=dropout)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gate = nn.Linear(width, 4 * width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, N, D], and what each may see, bool [N, N] or [B, 1, N, N]."""
        x = self.norm(x + self.drop(self.attention(x, mask=mask)))
        feed = self.down(functional.gelu(self.up(x)) * self.gate(x))
        return self.feed_norm(x + self.drop(feed))


def _numbers(exists: Tensor) -> Tensor:
    """Places among those that exist, from 0, int64 [B, N]."""
    return (exists.long().cumsum(1) - 1).clamp(min=0)
