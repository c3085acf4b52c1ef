"""The instruction asks every cell of the image where its object is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.attention_maps import noted
from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.vision.film_conv import grid_positions
from vla_humanoid_control.models.streams import Shape, Space, Tokens


@dataclass(frozen=True)
class Grounding:
    """Where in the image the object of the instruction is.

    Attributes:
        logits: [B, h * w + 1]: one for each cell of the grid, and last 'nowhere'.
        position: [B, 2]: u, v in [-1, 1], right and down.
        log_distance: [B], logarithm of the distance in metres.
        token: [B, 1, D], what was found, for the fusion.
    """

    logits: Tensor
    position: Tensor
    log_distance: Tensor
    token: Tokens


class LanguageQuery(Part):
    """The instruction asks every image cell; the answer is a place, a distance and a token.

    q [B, d] x keys [B, h * w, d] -> softmax with 'nowhere' -> attended cell features [B, D]
    -> place (expected cell + offset), distance, token
    """

    cells: Tensor

    def __init__(self, space: Space, of: Shapes, *, query_width: int = 64) -> None:
        """Build it on tokens of an image, which need a grid, and the instruction as a token."""
        super().__init__()
        width, grid = of[0].width, of[0].grid
        self.query = nn.Sequential(nn.Linear(width, width), nn.GELU(),
                                   nn.Linear(width, query_width))
        self.key = nn.Linear(width, query_width)
        self.nowhere = nn.Linear(width, 1)
        self.refine = nn.Sequential(nn.Linear(2 * width + 3, width), nn.GELU(),
                                    nn.Linear(width, 3))
        self.token = nn.Sequential(nn.Linear(width + 6, width), nn.GELU(), nn.Linear(width, width))
        self.cell = (1.0 / grid[1], 1.0 / grid[0])  # half a cell, in units of u and v
        self.register_buffer('cells', grid_positions(*grid), persistent=False)
        self.gives = {'token': Shape(width), 'cells': Shape(1, grid[0] * grid[1], grid)}

    def forward(self, image: Tokens, said: Tokens) -> Grounding:
        """Image tokens [B, h * w, D] and instruction [B, 1, D]."""
        tokens, instruction = image.values, said.vector
        query = self.query(instruction)[:, :, None]  # [B, d, 1]
        scores = (self.key(tokens) @ query)[..., 0] / query.shape[1] ** 0.5  # [B, h * w]
        logits = torch.cat([scores, self.nowhere(instruction)], dim=1).float()
        weights = logits.softmax(dim=1)
        seen = 1 - weights[:, -1:]  # [B, 1]
        share = noted(scores.float().softmax(dim=1)[:, None, None])[:, 0, 0]
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
        return Grounding(logits, position, fine[:, 2], Tokens.of(token))
