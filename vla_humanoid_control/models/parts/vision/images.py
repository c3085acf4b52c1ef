"""What all image encoders do: frames of a history to tokens, in the colours that they know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.models.streams import Frames, Tokens

Colours = Literal['imagenet', 'clip', 'half', 'vima', 'unit']
_SCALES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    'clip': ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    'half': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    'vima': ((0.3471, 0.3429, 0.3383), (0.3011, 0.2961, 0.2956)),
    'unit': ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and deviation of pixels in [0, 1] that a network was trained with."""


def in_colours(pixels: Tensor, colours: Colours) -> Tensor:
    """Pixels [..., 3, H, W] in about -1 to 1 to those of another normalisation."""
    mean, std = (torch.tensor(v, device=pixels.device, dtype=pixels.dtype)[:, None, None]
                 for v in _SCALES[colours])
    return (pixels * 0.5 + 0.5 - mean) / std


def resized(pixels: Tensor, rows: int, columns: int) -> Tensor:
    """Images [N, 3, H, W] at another size, stretched; as they are where they have it."""
    if tuple(pixels.shape[-2:]) == (rows, columns):
        return pixels
    return functional.interpolate(pixels, (rows, columns), mode='bilinear', antialias=True,
                                  align_corners=False)


def encode_frames(image: Frames, colours: Colours, encode: Callable[[Tensor], Tensor]) -> Tokens:
    """Each frame once, then for each row of the batch the tokens of all its frames.

    Args:
        image: F images with T frames of history.
        colours: The normalisation that `encode` knows.
        encode: Images [F * T, 3, H, W] to tokens [F * T, N, D].

    Returns:
        [B, T * N, D], oldest first.
    """
    count, frames = image.pixels.shape[:2]
    encoded = encode(in_colours(image.pixels.flatten(0, 1), colours))  # [F * T, N, D]
    return Tokens(encoded.reshape(count, frames * encoded.shape[1], -1)[image.frame])
