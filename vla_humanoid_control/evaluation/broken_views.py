"""What broken cameras show of which training has no like (`learning/corruptions.py`).

Each is made with a source of chance, and turns the image of a whole camera and the time since it
broke [s] into what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""
Field = NDArray[np.float64]


class View(Protocol):
    """A camera that is broken."""

    def __call__(self, image: Image, broken_s: float) -> Image:
        """What it shows where a whole one would give `image`; a new image of the same shape."""


class DarkSensor:
    """The cap on the lens, the gain turned up: hot pixels, drifting bands, an amplifier's glow."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._level, self._band = float(rng.uniform(4, 12)), float(rng.uniform(2, 5))
        self._rows = float(rng.uniform(5, 14))  # bands in the image
        self._corner, self._glow = rng.integers(0, 2, 2), float(rng.uniform(20, 70))
        self._hot_share = float(rng.uniform(0.002, 0.012))
        self._hot: tuple[NDArray[np.bool_], Field] | None = None

    def __call__(self, image: Image, broken_s: float) -> Image:
        """See `View`."""
        height, width, _ = image.shape
        y, x = _grid(height, width)
        band = self._band * np.sin(2 * np.pi * (self._rows * y + 0.7 * broken_s))
        far = np.hypot(x - self._corner[0], y - self._corner[1])
        dark = (self._level + band + self._glow * np.exp(-far / 0.12))[..., None]
        noisy = dark * (1.1, 0.9, 1.0) + self._rng.normal(0, 3, image.shape)
        if self._hot is None:
            where = self._rng.random((height, width)) < self._hot_share
            self._hot = where, self._rng.uniform(60, 255, (int(where.sum()), 3))
        noisy[self._hot[0]] = self._hot[1]
        return _clip(noisy)


class Glare:
    """A lamp or the sun straight in the lens: bloom, a veil, a smear down its columns, ghosts.

    The exposure falls so far that next to nothing is left of the scene.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._place = rng.uniform(0.25, 0.75, 2)
        self._strength, self._size = float(rng.uniform(350, 600)), float(rng.uniform(0.15, 0.3))
        self._exposure, self._veil = float(rng.uniform(0.03, 0.06)), float(rng.uniform(30, 80))
        self._tint = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.65, 0.95)])
        self._ghosts = [(rng.uniform(0, 1, 2), float(rng.uniform(0.04, 0.12)),
                         rng.uniform(20, 90, 3)) for _ in range(3)]

    def __call__(self, image: Image, broken_s: float) -> Image:
        """See `View`."""
        height, width, _ = image.shape
        y, x = _grid(height, width)
        left = self._place[0] + 0.03 * np.sin(2 * np.pi * 0.3 * broken_s)
        far = np.hypot(x - left, y - self._place[1])
        light = self._veil + self._strength * np.exp(-far / self._size)
        light += 150 * np.exp(-((x - left) / 0.02) ** 2)
        shown = self._exposure * image + light[..., None] * self._tint
        for place, radius, colour in self._ghosts:
            shown += (np.hypot(x - place[0], y - place[1]) < radius)[..., None] * colour
        return _clip(shown)


class PacketLoss:
    """A video stream that loses most of its packets: few of its blocks are what they should be.

    Of each row of blocks some runs arrive. Of the others some repeat the block above them down the
    image, some show what stood elsewhere before, some the decoder's own colour.
    """

    BLOCKS = 16
    """In a row."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._arrive = float(rng.uniform(0.04, 0.12))
        self._colour = rng.choice([(128, 128, 128), (0, 135, 0), (160, 40, 160)])
        self._shown: Image | None = None

    def __call__(self, image: Image, broken_s: float) -> Image:
        """See `View`."""
        before = np.full_like(image, self._colour) if self._shown is None else self._shown
        shown, size = np.array(before), max(2, image.shape[1] // self.BLOCKS)
        torn = np.roll(before, self._rng.integers(-3 * size, 3 * size + 1, 2), (0, 1))
        for top in range(0, image.shape[0], size):
            kind = ''
            for left in range(0, image.shape[1], size):
                if not kind or self._rng.random() < 0.35:  # a packet carries a few blocks
                    kind = self._kind()
                block = np.s_[top:top + size, left:left + size]
                if kind == 'arrived':
                    shown[block] = image[block]
                elif kind == 'torn':
                    shown[block] = torn[block]
                elif kind == 'smeared' and top:
                    shown[block] = shown[top - 1:top, left:left + size]
                elif kind == 'lost':
                    shown[block] = self._colour
        self._shown = shown
        return np.array(shown)

    def _kind(self) -> str:
        lost = (1 - self._arrive) / 3
        return str(self._rng.choice(['arrived', 'torn', 'smeared', 'lost'],
                                    p=[self._arrive, lost, lost, lost]))


class Cloth:
    """A checked cloth before the lens: threads, folds, a hem; it sways."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._turn, self._share = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.85, 1.0))
        self._checks, self._threads = float(rng.uniform(3, 7)), float(rng.uniform(45, 70))
        self._colours = rng.uniform(20, 235, (3, 3))
        self._folds = rng.uniform(0, 2 * np.pi, 4)

    def __call__(self, image: Image, broken_s: float) -> Image:
        """See `View`."""
        height, width, _ = image.shape
        y, x = _grid(height, width)
        sway = 0.02 * np.sin(2 * np.pi * 0.5 * broken_s)
        fold = sum(np.sin((2 + 2 * i) * np.pi * (x + sway) + 2 * y + phase) / (i + 1)
                   for i, phase in enumerate(self._folds))
        u = np.cos(self._turn) * (x + sway) + np.sin(self._turn) * y + 0.02 * fold
        v = np.cos(self._turn) * y - np.sin(self._turn) * (x + sway)
        across, along = (np.sin(2 * np.pi * self._checks * c) > 0.2 for c in (u, v))
        base, first, second = self._colours
        cloth = base + across[..., None] * (first - base) / 2
        cloth = cloth + along[..., None] * (second - base) / 2
        threads = np.sin(2 * np.pi * self._threads * u) * np.sin(2 * np.pi * self._threads * v)
        cloth = cloth * (1 + 0.18 * fold + 0.12 * threads)[..., None]
        hem = y < self._share + 0.02 * np.sin(9 * x + self._folds[0]) + sway
        return _clip(np.where(hem[..., None], cloth, image))


class NoSignal:
    """What the receiver puts in the place of a lost signal: colour bars, and a clock that runs."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._bars = 191 * np.array([(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1),
                                     (1, 0, 0), (0, 0, 1)])
        if rng.random() < 0.5:
            self._bars = self._bars[::-1]
        self._lower = float(rng.uniform(0.6, 0.8))

    def __call__(self, image: Image, broken_s: float) -> Image:
        """See `View`."""
        height, width, _ = image.shape
        bar = np.arange(width) * len(self._bars) // width
        shown = np.empty_like(image, order='C')
        shown[:] = self._bars[bar]
        grey = np.linspace(0, 255, width).astype(np.uint8)
        shown[int(height * self._lower):] = grey[:, None]
        shown[height // 3:height // 2, width // 3:2 * width // 3] = 0
        cv2.putText(shown, f'{broken_s:7.2f}', (width // 3, height // 2 - height // 24),
                    cv2.FONT_HERSHEY_SIMPLEX, width / 420, (255, 255, 255), 1)
        return shown


VIEWS: Mapping[str, Callable[[np.random.Generator], View]] = {
    'dark': DarkSensor, 'glare': Glare, 'packet_loss': PacketLoss, 'cloth': Cloth,
    'no_signal': NoSignal}


def _grid(height: int, width: int) -> tuple[Field, Field]:
    """Row and column of each pixel, from 0 to 1, [H, W] each."""
    y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]
    return y, x


def _clip(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
