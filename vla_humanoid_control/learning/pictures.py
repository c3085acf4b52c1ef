"""Pictures of anything but a robot's world, drawn by chance: what image novelty learns to refuse.

Six kinds, from smooth to busy, grey or in colour, often two of them in one, blurred, faded, noisy:
occluding shapes (dead leaves, as in Lee et al., 2001), noise with the spectrum of nature, cells on
a plain ground, pages of text, periodic textures, and lit discs. Networks that learn from such
noise alone tell real photographs apart nearly as well as from photographs (Baradad et al., 2021,
https://arxiv.org/abs/2106.05963). No photograph is among them, so that any can be used to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import IMAGE_SIZE

Image = NDArray[Any]
"""float [H, W, 3], about 0 to 255."""
_WIDTH, _HEIGHT = IMAGE_SIZE
_ROWS, _COLUMNS = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
_LETTERS = list('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;')
_LARGE = 3  # text is drawn so many times larger, and made small


def draw_picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture, RGB uint8 [H, W, 3]."""
    grey = bool(rng.random() < 0.5)
    picture = _some(rng, grey)
    if rng.random() < 0.3:
        picture = _two_in_one(picture, _some(rng, grey), rng)
    if rng.random() < 0.5:
        picture = _blurred(picture, rng.uniform(0.3, 8))
    if rng.random() < 0.5:  # faded
        mean = picture.mean()
        picture = (picture - mean) * rng.uniform(0.15, 1.3) + mean + rng.normal(0, 30)
    if rng.random() < 0.4:
        picture = picture + rng.normal(0, rng.uniform(1, 15), picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _some(rng: np.random.Generator, grey: bool) -> Image:
    return _KINDS[int(rng.integers(len(_KINDS)))](rng, grey)


def _two_in_one(one: Image, other: Image, rng: np.random.Generator) -> Image:
    """Mixed, side by side, or one in spots of the other."""
    how = rng.integers(3)
    if how == 0:
        share = np.float32(rng.uniform(0.2, 0.8))
        return share * one + (1 - share) * other
    if how == 1:
        edge = int(rng.uniform(0.15, 0.85) * _WIDTH)
        return np.concatenate([one[:, :edge], other[:, edge:]], axis=1)
    return np.where(_spectrum(rng, True)[..., :1] > 128, one, other)


def _leaves(rng: np.random.Generator, grey: bool) -> Image:
    """Shapes of any size that cover each other."""
    picture = _plain(rng, grey)
    falls_off = rng.uniform(1, 3)  # from small to large
    palette = [_colour(rng, grey).tolist() for _ in range(int(rng.integers(2, 30)))]
    for _ in range(int(rng.integers(5, 250))):
        size = min(60.0, 2 * (1 - rng.random()) ** (-1 / falls_off) * rng.uniform(1, 4))
        colour = palette[int(rng.integers(len(palette)))]
        at = np.array([rng.uniform(0, _WIDTH), rng.uniform(0, _HEIGHT)])
        kind = rng.integers(4)
        if kind == 0:
            axes = max(1, int(size)), max(1, int(size * rng.uniform(0.2, 1)))
            cv2.ellipse(picture, _point(at), axes, rng.uniform(0, 180), 0, 360, colour, -1,
                        cv2.LINE_AA)
        elif kind == 1:
            corners = at + rng.normal(0, size, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        elif kind == 2:
            cv2.rectangle(picture, _point(at), _point(at + size * rng.uniform(0.5, 3, 2)), colour,
                          -1)
        else:
            cv2.line(picture, _point(at), _point(at + rng.normal(0, 4 * size, 2)), colour,
                     int(rng.integers(1, 4)), cv2.LINE_AA)
    return picture


def _spectrum(rng: np.random.Generator, grey: bool) -> Image:
    """Noise that falls off with a power of the frequency, as nature's images do."""
    power = rng.uniform(0.6, 3.2)
    stretch = rng.uniform(0.5, 2, 2)
    frequency = np.hypot(np.fft.fftfreq(_HEIGHT)[:, None] * _HEIGHT * stretch[0],
                         np.fft.rfftfreq(_WIDTH)[None] * _WIDTH * stretch[1])
    frequency[0, 0] = np.inf
    channels = []
    for _ in range(1 if grey else 3):
        random = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
        channel = np.fft.irfft2(random / frequency ** power, (_HEIGHT, _WIDTH))
        channels.append(channel / channel.std())
    noise = np.stack(channels * (3 if grey else 1), axis=-1)
    if not grey:
        mix = rng.normal(size=(3, 3))
        noise = noise @ (mix / np.linalg.norm(mix, axis=0))
    return np.asarray(_colour(rng, grey) * 0.6 + 50 + noise * rng.uniform(8, 60), np.float32)


def _cells(rng: np.random.Generator, grey: bool) -> Image:
    """Soft round things on a ground that is hardly uneven."""
    picture = _plain(rng, grey)
    uneven = rng.normal(0, rng.uniform(0, 25), (3, 4)).astype(np.float32)
    picture += cv2.resize(uneven, IMAGE_SIZE, interpolation=cv2.INTER_CUBIC)[..., None]
    colour = (_colour(rng, grey) - 128) * rng.uniform(0.1, 1)
    for _ in range(int(rng.integers(1, 60))):
        x, y, size = rng.uniform(0, _WIDTH), rng.uniform(0, _HEIGHT), rng.uniform(1, 25)
        far = _away(x, y, rng.uniform(0.6, 1.6)) / size
        edge = np.clip((far - 1) * rng.uniform(2, 15), -50, 50)
        picture += (colour * rng.uniform(0.3, 1.2)) * (1 / (1 + np.exp(edge)))[..., None]
    return picture


def _page(rng: np.random.Generator, grey: bool) -> Image:
    """Lines of letters, dark on light or light on dark, at times askew and unevenly lit."""
    dark = rng.random() < 0.3
    ground, ink = (rng.uniform(0, 100), rng.uniform(150, 255)) if dark else (
        rng.uniform(120, 255), rng.uniform(0, 80))
    width, height = _LARGE * _WIDTH, _LARGE * _HEIGHT
    page = np.full((height, width, 3), ground, np.uint8)
    size, left, y = rng.uniform(0.3, 1.6), int(rng.uniform(-30, 80)), int(rng.uniform(0, 40))
    while y < height + 20:
        y += int(size * rng.uniform(26, 42))
        if rng.random() < 0.12:
            continue
        line = ' '.join(''.join(rng.choice(_LETTERS, int(rng.integers(2, 10))))
                        for _ in range(int(rng.integers(2, 14))))
        cv2.putText(page, line, (left + int(rng.normal(0, 3)), y), int(rng.integers(0, 8)), size,
                    (int(ink),) * 3, int(rng.integers(1, 3)), cv2.LINE_AA)
    if rng.random() < 0.5:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 20),
                                       rng.uniform(0.8, 1.6))
        page = np.asarray(cv2.warpAffine(page, turn, (width, height),
                                         borderMode=cv2.BORDER_REFLECT), np.uint8)
    picture = cv2.resize(page, IMAGE_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    if not grey:
        picture += rng.normal(0, 10, 3)
    if rng.random() < 0.6:
        light = rng.uniform(0.4, 1.2, (2, 2)).astype(np.float32)
        picture *= cv2.resize(light, IMAGE_SIZE)[..., None]
    return picture.astype(np.float32)


def _periodic(rng: np.random.Generator, grey: bool) -> Image:
    """Waves, chequers, weaves or bricks at any angle."""
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(0.02, 0.5)
    u = (_COLUMNS * np.cos(angle) + _ROWS * np.sin(angle)) * frequency
    v = (_ROWS * np.cos(angle) - _COLUMNS * np.sin(angle)) * frequency
    stretch = rng.uniform(0.5, 2)
    wave, other = np.sin(2 * np.pi * u), np.sin(2 * np.pi * v * stretch)
    bricks = (v % 1 < 0.12) | ((u / 2 + np.floor(v) % 2 / 2) % 1 < 0.06)
    pattern = (wave, np.sign(wave * other), wave + other, bricks.astype(np.float32)
               )[int(rng.integers(4))]
    low = pattern.min()
    level = ((pattern - low) / (np.ptp(pattern) + 1e-6))[..., None]
    one, two = _colour(rng, grey), _colour(rng, grey)
    noise = rng.normal(0, rng.uniform(0, 12), level.shape)
    return np.asarray(one + (two - one) * level + noise, np.float32)


def _disc(rng: np.random.Generator, grey: bool) -> Image:
    """Something round and textured, lit like a planet or an eye, on a dark ground."""
    picture = _plain(rng, grey) * np.float32(rng.uniform(0, 0.4))
    x, y = rng.uniform(0.15, 0.85, 2) * IMAGE_SIZE
    far = _away(x, y, rng.uniform(0.8, 1.4)) / rng.uniform(15, 80)
    shade = np.sqrt(np.clip(1 - far ** 2 * rng.uniform(0.2, 1), 0, 1))[..., None]
    body = _colour(rng, grey) * 0.6 + 90 + (_spectrum(rng, grey) - 128) * rng.uniform(0.1, 1)
    return np.where((far < 1)[..., None], body * shade, picture).astype(np.float32)


_KINDS: tuple[Callable[[np.random.Generator, bool], Image], ...] = (
    _leaves, _spectrum, _cells, _page, _periodic, _disc)


def _colour(rng: np.random.Generator, grey: bool) -> NDArray[Any]:
    return np.repeat(rng.uniform(0, 255), 3) if grey else rng.uniform(0, 255, 3)


def _plain(rng: np.random.Generator, grey: bool) -> Image:
    return np.tile(_colour(rng, grey).astype(np.float32), (_HEIGHT, _WIDTH, 1))


def _away(x: float, y: float, stretch: float) -> NDArray[Any]:
    return np.hypot(_COLUMNS - x, (_ROWS - y) * stretch)


def _blurred(picture: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _point(at: NDArray[Any]) -> tuple[int, int]:
    return int(at[0]), int(at[1])
