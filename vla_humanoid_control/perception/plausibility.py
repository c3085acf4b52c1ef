"""Can an image be a view of the world at all? Plain arithmetic, whatever a network makes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS = 48  # about so many rows are looked at
_DARK = ((99, 30.0), (90, 24.0))
# Of a lit scene the brightest hundredth and the brightest tenth of the pixels are brighter [%; of
# 255]. Where only the first is, as behind a capped lens, the sensor itself glows in a corner.
_WHITE = 250  # channels at least this bright have lost what they saw [of 255]
_WHITE_SHARE = 0.8
_CONTRAST = 12.0  # a plain wall may show nothing but the sensor's own noise [of 255]
_ROUGHNESS = 0.6  # independent pixels have 1.13, images of things less than 0.2


def implausible(image: NDArray[np.uint8]) -> str:
    """Why an image cannot be trusted: black, overexposed, or noise.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        The reason, or '' if nothing speaks against the image.
    """
    rows = image[::max(1, len(image) // _ROWS)]
    grey = rows.mean(axis=2, dtype=np.float32)  # [R, W]
    # A single bright pixel is a fault of the sensor: light has bright neighbours.
    lit = np.minimum(grey[:, 1:], grey[:, :-1]) if grey.shape[1] > 1 else grey
    if any(float(np.percentile(lit, share)) < level for share, level in _DARK):
        return 'the image is black'
    if float(np.mean(rows.min(axis=2) >= _WHITE)) > _WHITE_SHARE:
        return 'the image is overexposed'
    contrast = float(grey.std())
    if contrast > _CONTRAST and grey.shape[1] > 1:
        # Neighbours in an image of things are alike; in noise they differ as any two pixels do.
        roughness = float(np.abs(np.diff(grey, axis=1)).mean()) / contrast
        if roughness > _ROUGHNESS:
            return 'the image is noise'
    return ''
