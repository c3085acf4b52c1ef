"""Images that cannot be views of the world are told from those that can."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.perception.plausibility import implausible


def scene(seed: int = 0) -> np.ndarray:
    """Floor, wall and a few boxes, with a sensor's noise."""
    random = np.random.default_rng(seed)
    image = np.full((96, 128, 3), 170.0)
    image[48:] = 110.0
    for _ in range(4):
        top, left = random.integers(20, 60), random.integers(0, 100)
        image[top:top + 25, left:left + 20] = random.uniform(20, 230, 3)
    return np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('share', [1.0, 0.5, 0.25])
@pytest.mark.parametrize('seed', range(5))
def test_views_of_things_are_plausible_in_any_light(seed: int, share: float) -> None:
    assert implausible((scene(seed) * share).astype(np.uint8)) == ''


def test_a_plain_wall_with_sensor_noise_is_plausible() -> None:
    noise = np.random.default_rng(0).normal(128, 4, (96, 128, 3))
    assert implausible(noise.astype(np.uint8)) == ''


@pytest.mark.parametrize(('image', 'reason'), [
    (np.zeros((96, 128, 3), np.uint8), 'black'),
    ((scene() * 0.05).astype(np.uint8), 'black'),
    (np.full((96, 128, 3), 255, np.uint8), 'overexposed'),
    (np.clip(scene() * 4.0 + 150, 0, 255).astype(np.uint8), 'overexposed'),
    (np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8), 'noise')],
    ids=['black', 'dark', 'white', 'saturated', 'noise'])
def test_images_of_nothing_are_not(image: np.ndarray, reason: str) -> None:
    assert reason in implausible(image)


@pytest.mark.parametrize('share', [0.0, 0.005, 0.015])
def test_hot_pixels_do_not_light_a_capped_lens(share: float) -> None:
    """Regression: one hot pixel in a hundred, and a black image passed for a lit one."""
    rng = np.random.default_rng(4)
    image = rng.normal(9, 3, (192, 256, 3)).clip(0, 255).astype(np.uint8)
    hot = rng.random((192, 256)) < share
    image[hot] = rng.integers(120, 256, (int(hot.sum()), 3))
    assert implausible(image) == 'the image is black'
    image[160:, 220:] = 90  # where an amplifier glows, next to nothing of the scene is seen
    assert implausible(image) == 'the image is black'
    image[40:130, 100:180] = 90  # a seventh of it: what is lit by a lamp
    assert implausible(image) == ''
