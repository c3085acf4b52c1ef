"""The noise of an image sensor: two pictures of the same thing are never the same to the last bit.

So a picture that repeats itself means that the camera hangs, in the simulator as on a robot.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SPREAD = 1.5
"""Standard deviation of every channel of every pixel [of 255]."""
_MARGIN = 64  # places at which a picture may lie on the tile, each way [px]


class CameraNoise:
    """Adds noise to pictures of one camera: a large random tile, laid on at random.

    Args:
        seed: Decides all of it.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 32])
        self._tiles: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def on(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A noisy copy of an image, uint8 [H, W, 3]."""
        height, width, _ = image.shape
        tiles = self._tiles
        if tiles is None or tiles[0].shape[0] < height or tiles[0].shape[1] < width:
            shape = (height + _MARGIN, width + _MARGIN, 3)
            noise = np.rint(self._rng.normal(0, SPREAD, shape)).astype(np.int16)
            tiles = self._tiles = (np.maximum(noise, 0).astype(np.uint8),
                                   np.maximum(-noise, 0).astype(np.uint8))
        top, left = (int(v) for v in self._rng.integers(0, _MARGIN, 2))
        more, less = (tile[top:top + height, left:left + width] for tile in tiles)
        return np.asarray(cv2.subtract(cv2.add(image, more), less), np.uint8)
