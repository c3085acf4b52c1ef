"""Objects as tokens, of VIMA (Jiang et al., 2022, https://arxiv.org/abs/2210.03094).

    crop [3, 32, 32] ─► ViT, four patches of 16 px ─► [768] ─┐
                                                             ├─► linear layer ─► token [D]
    box (centre, height, width) ─► MLP ─► [768] ─────────────┘

VIMA's crops are what a detector (Mask R-CNN) found. Here no detector is asked: the objects are the
tiles of a regular grid over the image, 4 x 3 tiles of 32 px for 128 x 96, and each tile is its own
box. All cameras share the ViT; the two other networks are each camera's own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.parts.part import Part, Shapes
from vla_humanoid_control.models.parts.pretrained import pretrained_or_new
from vla_humanoid_control.models.parts.vision.images import encode_frames, resized
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens


class ObjectTokens(Part):
    """Images of one or more cameras to a token for each object, frame by frame.

    images [F * T, 3, H, W] -> crops [F * T * Q, 3, S, S] -> [B, T * cameras * Q, D]
    """

    boxes: Tensor

    def __init__(self, space: Space, of: Shapes, *, width: int, eye_width: int, layers: int,
                 heads: int, box_hidden: int, crop: int = 32, patch: int = 16,
                 pretrained: str | None = None, freeze: bool = False) -> None:
        """Build it.

        Args:
            space: Its cameras are all of one size.
            of: Images.
            width: Of an object's token, D.
            eye_width: Of the ViT that looks at crops.
            layers: Of the ViT.
            heads: Of the ViT.
            box_hidden: Width of the networks that are told the boxes.
            crop: Side of a crop, S [px].
            patch: Side of a patch of a crop [px].
            pretrained: A local folder with the ViT, as a `CLIPVisionModelWithProjection`.
            freeze: Whether the ViT stays as it is.
        """
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
        # VIMA's ViT is the one of CLIP, smaller: norm before the layers, class token projected.
        config = CLIPVisionConfig(hidden_size=eye_width, num_hidden_layers=layers,
                                  num_attention_heads=heads, intermediate_size=4 * eye_width,
                                  image_size=crop, patch_size=patch, projection_dim=eye_width)
        self.eye: Any = pretrained_or_new(CLIPVisionModelWithProjection, config, pretrained,
                                          freeze)
        self.box = nn.ModuleList(nn.Sequential(
            nn.Linear(4, box_hidden), nn.ReLU(), nn.Linear(box_hidden, box_hidden), nn.ReLU(),
            nn.Linear(box_hidden, box_hidden)) for _ in of)
        self.join = nn.ModuleList(nn.Linear(eye_width + box_hidden, width) for _ in of)
        self.crop, self.frames = crop, space.frames
        (image_width, image_height), *others = set(space.images.values())
        if others:
            raise ValueError(f'its cameras have images of several sizes: {dict(space.images)}')
        self.grid = max(1, round(image_height / crop)), max(1, round(image_width / crop))
        self.register_buffer('boxes', grid_boxes(*self.grid), persistent=False)
        cells = self.grid[0] * self.grid[1]
        self.gives = Shape(width, len(of) * cells * space.frames, None, space.frames)

    def forward(self, *images: Frames) -> Tokens:
        """Images of each camera to objects [B, T * cameras * Q, D], oldest first."""
        views = [encode_frames(image, 'vima', partial(self._encode, camera=i)).values
                 for i, image in enumerate(images)]
        by_frame = [v.unflatten(1, (self.frames, -1)) for v in views]  # [B, T, Q, D]
        return Tokens(torch.cat(by_frame, dim=2).flatten(1, 2))

    def _encode(self, pixels: Tensor, camera: int) -> Tensor:
        crops = tiles(pixels, self.grid, self.crop)
        count, objects = crops.shape[:2]
        seen = self.eye(crops.flatten(0, 1)).image_embeds.unflatten(0, (count, objects))
        where = self.box[camera](self.boxes).expand(count, -1, -1)
        made: Tensor = self.join[camera](torch.cat([seen, where], dim=-1))
        return made  # [F * T, Q, D]


def tiles(pixels: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Images [N, 3, H, W] to the tiles of a grid, row by row, [N, rows * columns, 3, S, S]."""
    rows, columns = grid
    pixels = resized(pixels, rows * side, columns * side)
    cut = pixels.unflatten(3, (columns, side)).unflatten(2, (rows, side))
    # [N, 3, rows, S, columns, S] -> [N, rows, columns, 3, S, S]
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def grid_boxes(rows: int, columns: int) -> Tensor:
    """Boxes of the tiles, row by row, [rows * columns, 4].

    Centre from left and from top, height and width, as shares of the image: VIMA divides the
    first two by its image's width and height, the last two by its height and width.
    """
    down, right = torch.meshgrid((torch.arange(rows) + 0.5) / rows,
                                 (torch.arange(columns) + 0.5) / columns, indexing='ij')
    return torch.stack([right, down, torch.full_like(down, 1 / rows),
                        torch.full_like(right, 1 / columns)], dim=-1).flatten(0, 1)
