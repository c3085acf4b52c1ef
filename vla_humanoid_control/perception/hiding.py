"""Paints objects out of an image, with what surrounds them: a policy sees a room without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GROW = 0.12
"""What is painted over is larger than a box by this share of its size to each side."""
LEAST_PX = 2.0
"""And by so much at least, for what a finder misses of an object [px]."""
STRIP_PX = 6
"""What is painted goes on from so many pixels beside a box [px]."""
_COVERED = 0.9  # what is kept, and is covered so far, stands behind what is hidden

Box = tuple[float, float, float, float]
_Span = tuple[int, int, int, int]  # top, bottom, left, right [px]


def hide(image: NDArray[np.uint8], boxes: Sequence[Box], keep: Sequence[Box] = ()
         ) -> NDArray[np.uint8]:
    """A copy of an image without what is in some boxes.

    Each row goes on from one side of a box to the other, as floors and walls do, with noise as
    beside the box: what is as smooth as no camera's image is conspicuous.

    Args:
        image: RGB uint8 [H, W, 3].
        boxes: Left, top, right and bottom of each, as shares of width and height.
        keep: Boxes whose inside is left alone, and from which nothing goes on.
    """
    shape = image.shape[:2]
    hidden, kept = np.zeros(shape, bool), np.zeros(shape, bool)
    spans = [_pixels(box, shape, grows=True) for box in boxes]
    for top, bottom, left, right in spans:
        hidden[top:bottom, left:right] = True
    for top, bottom, left, right in (_pixels(box, shape, grows=False) for box in keep):
        kept[top:bottom, left:right] = True
        if hidden[top:bottom, left:right].sum() < _COVERED * (bottom - top) * (right - left):
            hidden[top:bottom, left:right] = False
    shown = image.copy()
    rng = np.random.default_rng(int(image[::16, ::16].sum()))
    for span in spans:
        _paint(shown, hidden, ~(hidden | kept), span, rng)
    return shown


def _pixels(box: Box, shape: tuple[int, int], *, grows: bool) -> _Span:
    height, width = shape
    left, right, top, bottom = box[0] * width, box[2] * width, box[1] * height, box[3] * height
    x = max(GROW * (right - left), LEAST_PX) if grows else 0.0
    y = max(GROW * (bottom - top), LEAST_PX) if grows else 0.0
    rows = np.clip((np.floor(top - y), np.ceil(bottom + y)), 0, height).astype(int)
    columns = np.clip((np.floor(left - x), np.ceil(right + x)), 0, width).astype(int)
    return int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])


def _paint(shown: NDArray[np.uint8], hidden: NDArray[np.bool_], usable: NDArray[np.bool_],
           span: _Span, rng: np.random.Generator) -> None:
    """Fill what is hidden of one box, in place."""
    top, bottom, left, right = span
    mask = hidden[top:bottom, left:right]
    if not mask.any():
        return
    sides = []
    for columns in (slice(max(0, left - STRIP_PX), left), slice(right, right + STRIP_PX)):
        sides.append(_edge(shown[top:bottom, columns].astype(np.float64),
                           usable[top:bottom, columns]))
    (first, first_noise), (last, last_noise) = sides
    first = np.where(np.isnan(first), last, first)
    last = np.where(np.isnan(last), first, last)
    if np.isnan(first).all():
        first = last = np.full_like(first, shown.mean())
    for edge in (first, last):
        _carry_down(edge)
    share = ((np.arange(right - left) + 0.5) / (right - left))[None, :, None]
    filled = first[:, None] * (1 - share) + last[:, None] * share  # [R, C, 3]
    filled += rng.normal(0.0, max(first_noise, last_noise), filled.shape)
    shown[top:bottom, left:right][mask] = np.clip(np.rint(filled), 0, 255).astype(np.uint8)[mask]


def _edge(strip: NDArray[np.float64], usable: NDArray[np.bool_]
          ) -> tuple[NDArray[np.float64], float]:
    """Of pixels [R, C, 3] the mean of each row [R, 3], NaN where none is usable; and the noise."""
    count = usable.sum(axis=1)[:, None]
    total = np.where(usable[..., None], strip, 0.0).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    steps = np.abs(np.diff(strip, axis=1))[usable[:, 1:] & usable[:, :-1]]
    # The median step between neighbours, as a deviation of normal noise.
    return mean, float(np.median(steps)) / 0.954 if len(steps) else 0.0


def _carry_down(edge: NDArray[np.float64]) -> None:
    """Rows without a value take that of the nearest row which has one, in place."""
    known = np.flatnonzero(~np.isnan(edge[:, 0]))
    nearest = known[np.abs(np.arange(len(edge))[:, None] - known[None]).argmin(axis=1)]
    edge[:] = edge[nearest]
