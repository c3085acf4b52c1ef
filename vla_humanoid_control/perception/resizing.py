"""Images to the size that a policy looks at."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Fit = Literal['stretch', 'pad', 'crop']


def resize_image(image: NDArray[np.uint8], size: tuple[int, int], fit: Fit = 'stretch'
                 ) -> NDArray[np.uint8]:
    """Resize by area, which keeps small objects: uint8 [H, W, 3] to [height, width, 3].

    Args:
        image: RGB.
        size: Width and height [px].
        fit: How an image of another shape comes to that size: stretched, padded with black on
            both sides, or cut to its middle.
    """
    height, width, _ = image.shape
    if (width, height) == size:
        return np.ascontiguousarray(image)
    if fit == 'crop':
        scale = max(size[0] / width, size[1] / height)
        across, down = (min(side, max(1, round(wanted / scale)))
                        for side, wanted in zip((width, height), size))
        left, top = (width - across) // 2, (height - down) // 2
        image = np.ascontiguousarray(image[top:top + down, left:left + across])
    if fit != 'pad':
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = min(size[0] / width, size[1] / height)
    across, down = (max(1, min(wanted, round(side * scale)))
                    for side, wanted in zip((width, height), size))
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    result = np.zeros((size[1], size[0], 3), np.uint8)
    result[top:top + down, left:left + across] = cv2.resize(
        image, (across, down), interpolation=cv2.INTER_AREA)
    return result
