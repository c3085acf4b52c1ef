"""The noise of the simulated camera."""

from itertools import pairwise

import numpy as np

from vla_humanoid_control.simulation.camera_noise import SPREAD, CameraNoise


def test_no_two_pictures_of_the_same_thing_are_the_same() -> None:
    noise, image = CameraNoise(1), np.full((48, 64, 3), 128, np.uint8)
    pictures = [noise.on(image) for _ in range(50)]
    assert all((a != b).any() for a, b in pairwise(pictures))
    assert (image == 128).all()


def test_it_is_small_has_no_bias_and_stays_in_range() -> None:
    noise = CameraNoise(2)
    middle = noise.on(np.full((240, 320, 3), 128, np.uint8)).astype(float)
    assert abs(middle.mean() - 128) < 0.1
    assert abs(middle.std() - SPREAD) < 0.1
    for value in (0, 255):
        edge = noise.on(np.full((480, 640, 3), value, np.uint8)).astype(float)
        assert abs(edge.mean() - value) < SPREAD


def test_the_same_seed_gives_the_same_noise() -> None:
    image = np.full((48, 64, 3), 128, np.uint8)
    first, again = CameraNoise(3), CameraNoise(3)
    for _ in range(3):
        np.testing.assert_array_equal(first.on(image), again.on(image))
