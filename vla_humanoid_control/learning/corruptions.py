"""Images that no policy should act on: broken cameras, covered lenses, other worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 [H, W, 3]"""


def black(image: Image, rng: np.random.Generator) -> Image:
    """Hardly any light: the image at no more than 6 % of its brightness."""
    return _clip(image * rng.uniform(0, 0.06) + rng.uniform(0, 6))


def saturated(image: Image, rng: np.random.Generator) -> Image:
    """Overexposed: nearly everything white."""
    return _clip(image * rng.uniform(2.5, 5.0) + rng.uniform(120, 220))


def plain(image: Image, rng: np.random.Generator) -> Image:
    """One colour all over, with slight noise."""
    return _clip(rng.integers(0, 256, 3) + rng.normal(0, rng.uniform(0, 6), image.shape))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Noise instead of the image, or drowning it."""
    share = rng.uniform(0.55, 1.0)
    return _clip(image * (1 - share) + rng.integers(0, 256, image.shape) * share)


def clouds(image: Image, rng: np.random.Generator) -> Image:
    """Smooth random patterns of random colours: a picture, but of nothing known."""
    height, width, _ = image.shape
    result = np.zeros(image.shape, np.float32)
    for cells in (3, 7, 15):
        coarse = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        result += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / 3
    return _clip((result - 127) * rng.uniform(1, 2.5) + 127)


def stripes(image: Image, rng: np.random.Generator) -> Image:
    """Stripes or a chequerboard."""
    height, width, _ = image.shape
    size = int(rng.integers(3, 20))
    rows, columns = np.arange(height)[:, None] // size, np.arange(width)[None] // size
    pattern = (rows + columns if rng.random() < 0.5 else rows + 0 * columns) % 2
    colours = rng.integers(0, 256, (2, 3))
    return _clip(colours[pattern])


def occluded(image: Image, rng: np.random.Generator) -> Image:
    """Something close covers most of the view."""
    height, width, _ = image.shape
    result = image.astype(np.float32)
    tall, wide = int(height * rng.uniform(0.75, 1.0)), int(width * rng.uniform(0.75, 1.0))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    cover = rng.integers(0, 256, 3) + rng.normal(0, rng.uniform(0, 12), (tall, wide, 3))
    result[top:top + tall, left:left + wide] = cover
    return _clip(result)


def blurred(image: Image, rng: np.random.Generator) -> Image:
    """Far out of focus."""
    sigma = rng.uniform(6, 14)
    result = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    return _clip(result)


def negative(image: Image, rng: np.random.Generator) -> Image:
    """Inverted colours."""
    return np.asarray(255 - image, np.uint8)


def upside_down(image: Image, rng: np.random.Generator) -> Image:
    """The camera hangs the wrong way up."""
    return np.ascontiguousarray(image[::-1, ::-1])


def shuffled(image: Image, rng: np.random.Generator) -> Image:
    """Blocks of the image in random order."""
    rows, columns = 4, 4
    height, width = image.shape[0] // rows, image.shape[1] // columns
    blocks = [image[r * height:(r + 1) * height, c * width:(c + 1) * width]
              for r in range(rows) for c in range(columns)]
    order = rng.permutation(len(blocks))
    lines = [np.concatenate([blocks[i] for i in order[r * columns:(r + 1) * columns]], axis=1)
             for r in range(rows)]
    result = image.copy()
    result[:height * rows, :width * columns] = np.concatenate(lines, axis=0)
    return result


def close_up(image: Image, rng: np.random.Generator) -> Image:
    """A small part of the image, enlarged."""
    height, width, _ = image.shape
    factor = rng.uniform(4, 8)
    tall, wide = max(4, int(height / factor)), max(4, int(width / factor))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    part = np.ascontiguousarray(image[top:top + tall, left:left + wide])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def shapes(image: Image, rng: np.random.Generator) -> Image:
    """Another scene: many bright shapes without perspective."""
    height, width, _ = image.shape
    result = np.full(image.shape, rng.integers(0, 256, 3), np.uint8)
    for _ in range(int(rng.integers(8, 30))):
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(rng.integers(4, 40))
        if rng.random() < 0.5:
            cv2.circle(result, (x, y), size, colour, -1)
        else:
            cv2.rectangle(result, (x, y), (x + size, y + int(rng.integers(4, 40))), colour, -1)
    return result


CORRUPTIONS: Mapping[str, Callable[[Image, np.random.Generator], Image]] = {
    'black': black, 'saturated': saturated, 'plain': plain, 'noise': noise, 'clouds': clouds,
    'stripes': stripes, 'occluded': occluded, 'blurred': blurred, 'negative': negative,
    'upside_down': upside_down, 'shuffled': shuffled, 'close_up': close_up, 'shapes': shapes}
"""Name to a function of an image, uint8 [H, W, 3], and a source of chance."""


MIXED_SHARE = 0.4
"""Of broken images, those that are broken in two ways, each in its part of the image."""


def corrupt(image: Image, rng: np.random.Generator) -> Image:
    """A random corruption, or two of them, and at times some of the image shows through."""
    if rng.random() >= MIXED_SHARE:
        return _any(image, rng)
    first, second = _any(image, rng), _any(image, rng)
    mask = _patches(image, rng)[..., None]
    mixed = first * mask + second * (1 - mask)
    left = rng.uniform(0, 0.15) if rng.random() < 0.5 else 0.0
    return _clip(image * left + mixed * (1 - left))


def _any(image: Image, rng: np.random.Generator) -> Image:
    names = list(CORRUPTIONS)
    return CORRUPTIONS[names[int(rng.integers(len(names)))]](image, rng)


def _patches(image: Image, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 [H, W] of 0 to 1: large or small patches, with soft or with hard edges."""
    height, width, _ = image.shape
    cells = int(rng.integers(2, 24))
    coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    how = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_CUBIC
    field = np.asarray(cv2.resize(coarse, (width, height), interpolation=how), np.float32)
    edge = np.float32(np.quantile(field, rng.uniform(0.1, 0.9)))
    return np.clip((field - edge) * np.float32(rng.uniform(1, 20)) + 0.5, 0, 1)


def _clip(values: NDArray[np.floating] | NDArray[np.integer]) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)
