"""Images to the size that a policy looks at."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.perception.resizing import Fit, resize_image


def test_small_objects_survive_resizing() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[200:210, 300:310] = 255
    small = resize_image(image, (128, 96))
    assert small.shape == (96, 128, 3)
    assert small.astype(int).sum() == pytest.approx(image.astype(int).sum() / 25, rel=0.02)
    np.testing.assert_array_equal(resize_image(small, (128, 96)), small)


@pytest.mark.parametrize(('fit', 'top'), [
    ('stretch', 200), ('pad', 0), ('crop', 200)])
def test_what_does_not_fit_is_stretched_padded_or_cut(fit: Fit, top: int) -> None:
    wide = np.full((60, 120, 3), 200, np.uint8)
    wide[:, :20] = 100  # its left sixth
    square = resize_image(wide, (64, 64), fit)
    assert square.shape == (64, 64, 3) and square.dtype == np.uint8
    assert square[32, 32, 0] == 200 and square[1, 32, 0] == top
    assert square[32, 1, 0] == (200 if fit == 'crop' else 100)


@pytest.mark.parametrize('fit', ['stretch', 'pad', 'crop'])
@pytest.mark.parametrize('shape', [(1, 1, 3), (1, 200, 3), (200, 1, 3), (96, 128, 3)])
def test_any_shape_comes_to_the_size(fit: Fit, shape: tuple[int, int, int]) -> None:
    assert resize_image(np.zeros(shape, np.uint8), (128, 96), fit).shape == (96, 128, 3)
