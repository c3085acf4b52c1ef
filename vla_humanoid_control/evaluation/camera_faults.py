"""Cameras that break in the middle of an episode: what they show from then on.

The confidence learns from broken images, too (`learning/corruptions.py`). The kinds in `KNOWN` are
nearly what it learns from: black, noisy and covered images. Those in `UNKNOWN` are none of
them: what is measured with them was not learnt. Nothing here shares code with training.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.evaluation.broken_views import VIEWS
from vla_humanoid_control.simulation.other_world import OtherWorld

Image = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""

EARLIEST_S, LATEST_S = 0.5, 2.0
"""When a camera breaks, counted from the instruction [s]."""


class BrokenCamera:
    """One camera through one episode: whole at first, then broken in one way to the end.

    Args:
        kind: One of `KINDS`.
        seed: The episode's; decides when it breaks and what it shows then.

    Attributes:
        begins_s: When it breaks, counted from the instruction [s].
    """

    def __init__(self, kind: str, seed: int) -> None:
        rng = np.random.default_rng([seed, 31])
        self.begins_s = float(rng.uniform(EARLIEST_S, LATEST_S))
        self._last: Image | None = None
        self._other: OtherWorld | None = None
        if kind == 'other_scene':
            self._other = OtherWorld(rng)
        self._broken: Callable[[Image, float], Image] = VIEWS[kind](rng) if kind in VIEWS else {
            'black': lambda image, _: np.zeros_like(image),
            'noise': lambda image, _: rng.integers(0, 256, image.shape, np.uint8),
            'frozen': self._frozen,
            'other_scene': self._elsewhere,
            'occluded': _Cover(rng).over}[kind]

    def view(self, image: Image, since_s: float) -> Image:
        """What the camera gives.

        Args:
            image: What it would give if it were whole.
            since_s: Time since the instruction [s], never decreasing.
        """
        if since_s < self.begins_s:
            self._last = image
            return image
        return self._broken(image, since_s - self.begins_s)

    def close(self) -> None:
        """Free the drawing context."""
        if self._other is not None:
            self._other.close()

    def _frozen(self, image: Image, _broken_s: float) -> Image:
        if self._last is None:
            self._last = image  # it broke before anybody looked
        return self._last

    def _elsewhere(self, image: Image, broken_s: float) -> Image:
        assert self._other is not None
        height, width, _ = image.shape
        return self._other.render(width, height, broken_s)


FIRST_KINDS = ('black', 'noise', 'frozen', 'other_scene', 'occluded')
"""Black pixels; pure noise; the last image over and over, to the last bit; a wholly different
place, seen from a robot that walks there; something near that covers 75 to 100 % of the view."""
FURTHER_KINDS = tuple(VIEWS)
"""See `broken_views`."""
KINDS = FIRST_KINDS + FURTHER_KINDS
KNOWN = ('black', 'noise', 'occluded')
"""Kinds whose like is among the broken images that the confidence learns from."""
UNKNOWN = tuple(kind for kind in KINDS if kind not in KNOWN)
"""Kinds of which it learns from none."""


class _Cover:
    """Something close to the lens: out of focus, shaded, swaying a little."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._share = float(rng.uniform(0.75, 1.0))
        self._side = float(rng.uniform(0, 2 * np.pi))  # it comes in from there [rad]
        self._light = float(rng.uniform(0, 2 * np.pi))  # its bright side [rad]
        self._colour = rng.uniform(25, 230, 3)

    def over(self, image: Image, broken_s: float) -> Image:
        height, width, _ = image.shape
        share = min(1.0, self._share + 0.01 * (1 + np.sin(2 * np.pi * 0.4 * broken_s)))
        depth = _ramp(height, width, self._side)
        edge = float(np.quantile(depth, share))
        mask = cv2.GaussianBlur((depth <= edge).astype(np.float32), (0, 0), 0.01 * width)
        shade = 0.75 + 0.5 * _ramp(height, width, self._light)
        grain = self._rng.normal(0, 2, (height, width))  # of the sensor
        cover = self._colour * shade[..., None] + grain[..., None]
        mixed = image + mask[..., None] * (cover - image)
        return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _ramp(height: int, width: int, angle: float) -> NDArray[np.float64]:
    """float64 [H, W], rising from 0 to 1 across the image in a direction."""
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    ramp = np.cos(angle) * x + np.sin(angle) * y
    result: NDArray[np.float64] = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    return result
