"""Fusion: find the object that the words name, then let action queries read everything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.encoders import grid_positions


@dataclass(frozen=True)
class Grounding:
    """Where in the image the object of the instruction is.

    Attributes:
        logits: [B, h * w + 1]: one for each cell of the grid, and last 'nowhere'.
        position: [B, 2]: u, v in [-1, 1], right and down.
        log_distance: [B], logarithm of the distance in metres.
        token: [B, D], what was found, for the fusion.
    """

    logits: Tensor
    position: Tensor
    log_distance: Tensor
    token: Tensor


class LanguageQuery(nn.Module):
    """The instruction asks every image cell; the answer is a place, a distance and a token.

    q [B, d] x keys [B, h * w, d] -> softmax with 'nowhere' -> attended cell features [B, D]
    -> place (expected cell + offset), distance, token
    """

    cells: Tensor

    def __init__(self, width: int, grid: tuple[int, int], query_width: int = 64) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(width, width), nn.GELU(),
                                   nn.Linear(width, query_width))
        self.key = nn.Linear(width, query_width)
        self.nowhere = nn.Linear(width, 1)
        self.refine = nn.Sequential(nn.Linear(2 * width + 3, width), nn.GELU(),
                                    nn.Linear(width, 3))
        self.token = nn.Sequential(nn.Linear(width + 6, width), nn.GELU(), nn.Linear(width, width))
        self.cell = (1.0 / grid[1], 1.0 / grid[0])  # half a cell, in units of u and v
        self.register_buffer('cells', grid_positions(*grid), persistent=False)

    def forward(self, tokens: Tensor, instruction: Tensor) -> Grounding:
        """Image tokens [B, h * w, D] and instruction [B, D]."""
        query = self.query(instruction)[:, :, None]  # [B, d, 1]
        scores = (self.key(tokens) @ query)[..., 0] / query.shape[1] ** 0.5  # [B, h * w]
        logits = torch.cat([scores, self.nowhere(instruction)], dim=1).float()
        weights = logits.softmax(dim=1)
        seen = 1 - weights[:, -1:]  # [B, 1]
        share = scores.float().softmax(dim=1)
        attended = (share[:, None].to(tokens.dtype) @ tokens)[:, 0]  # [B, D]
        centre = share @ self.cells  # [B, 2]
        fine = self.refine(torch.cat([attended, instruction, centre.to(attended.dtype),
                                      seen.to(attended.dtype)], dim=1)).float()
        offset = torch.tanh(fine[:, :2]) * 2 * torch.tensor(self.cell, device=fine.device)
        position = centre + offset
        # Gradients of the action do not move the place: it has a supervision of its own.
        known = torch.cat([position.detach(), fine[:, 2:].detach(), seen,
                           (position[:, :1] * seen).detach(), (fine[:, 2:] * seen).detach()],
                          dim=1)
        token = self.token(torch.cat([attended, known.to(attended.dtype)], dim=1))
        return Grounding(logits, position, fine[:, 2], token)


class CrossAttentionLayer(nn.Module):
    """Queries look at the memory, at each other, and think; pre-normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.cross_query = nn.Linear(width, width)
        self.cross_key_value = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.self_qkv = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(),
                                  nn.Linear(3 * width, width))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Queries [B, Q, D], memory [B, M, D], additive mask [B, 1, 1, M] to [B, Q, D]."""
        key, value = self.cross_key_value(memory).chunk(2, dim=-1)
        read = self._attend(self.cross_query(self.norms[0](x)), key, value, bias)
        x = x + self.cross_out(read)
        query, key, value = self.self_qkv(self.norms[1](x)).chunk(3, dim=-1)
        x = x + self.self_out(self._attend(query, key, value, None))
        return x + self.feed(self.norms[2](x))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        split = [t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                 for t in (query, key, value)]  # [B, heads, *, D / heads]
        # Written out: with so few queries the fused kernel is several times slower on a CPU.
        scores = split[0] @ split[1].transpose(-1, -2) * split[0].shape[-1] ** -0.5
        weights = (scores if bias is None else scores + bias).softmax(dim=-1)
        return (weights @ split[2]).transpose(1, 2).flatten(2)  # [B, Q, D]


class CrossAttentionFusion(nn.Module):
    """Learned queries, started from the situation, read image, words, body and target."""

    def __init__(self, width: int, heads: int, layers: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.5)
        self.situation = nn.Sequential(nn.Linear(4 * width, 2 * width), nn.GELU(),
                                       nn.Linear(2 * width, width))
        self.kinds = nn.Parameter(torch.randn(4, width) * 0.1)
        self.layers = nn.ModuleList(CrossAttentionLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor, words: Tensor, mask: Tensor, body: Tensor, target: Tensor,
                instruction: Tensor) -> Tensor:
        """Everything to query outputs.

        Args:
            image: [B, h * w, D].
            words: [B, L, D].
            mask: bool [B, L], which words exist.
            body: [B, 2, D].
            target: [B, D].
            instruction: [B, D].

        Returns:
            [B, Q, D].
        """
        parts = [image, words, body, target[:, None]]
        memory = torch.cat([p + self.kinds[i].to(p.dtype) for i, p in enumerate(parts)], dim=1)
        bias = torch.zeros(memory.shape[:2], dtype=memory.dtype, device=memory.device)
        first = image.shape[1]
        bias[:, first:first + words.shape[1]].masked_fill_(~mask, -1e4)
        situation = self.situation(torch.cat([instruction, body.flatten(1), target], dim=1))
        x = self.queries.to(situation.dtype) + situation[:, None]
        for layer in self.layers:
            x = layer(x, memory, bias[:, None, None])
        return self.norm(x)
