"""Views that are bad all episode long: in the dark, noisy, out of focus, or partly covered.

Unlike a camera that breaks, they may leave the task possible. Whether they do is what a confidence
has to tell.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""

KINDS = ('dim', 'noisy', 'blurred', 'covered')
"""Bad light; sensor noise; out of focus; something opaque over a part of the view."""


class ImpairedView:
    """One impairment through one episode.

    Args:
        kind: One of `KINDS`.
        seed: The episode's; decides how bad it is, and what of the view is covered.
        strength: How bad, from 0, hardly any, to 1, hardly anything left; None leaves it to the
            seed.
    """

    def __init__(self, kind: str, seed: int, strength: float | None = None) -> None:
        self._kind = kind
        self._rng = np.random.default_rng([seed, 37])
        drawn = float(self._rng.uniform())
        self._strength = drawn if strength is None else strength
        self._corner = self._rng.uniform(size=2)

    def __call__(self, image: Image) -> Image:
        """The image as it is seen; a new one."""
        strength = self._strength
        height, width, _ = image.shape
        if self._kind == 'dim':
            return np.asarray(image * (0.75 - 0.67 * strength), np.uint8)
        if self._kind == 'noisy':
            noise = self._rng.normal(0, 10 + 50 * strength, image.shape)
            return np.asarray(np.clip(image + noise, 0, 255), np.uint8)
        if self._kind == 'blurred':
            sigma = (0.006 + 0.044 * strength) * width
            return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
        size = np.array([height, width]) * (0.2 + 0.6 * strength)
        top, left = ((np.array([height, width]) - size) * self._corner).astype(int)
        covered = np.array(image)
        covered[top:top + int(size[0]), left:left + int(size[1])] = 40
        return covered
