"""Views that are bad all episode long."""

import numpy as np
import pytest

from vla_humanoid_control.evaluation.impaired_view import KINDS, ImpairedView

IMAGE = np.full((96, 128, 3), 128, np.uint8)
IMAGE[:, 64:] = 220


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('strength', [0.0, 0.5, 1.0])
def test_an_impaired_image_is_another_image(kind, strength):
    before = IMAGE.copy()
    seen = ImpairedView(kind, 3, strength)(IMAGE)
    assert (seen.shape, seen.dtype) == (IMAGE.shape, np.uint8)
    assert (seen != IMAGE).any()
    assert seen.std() > 0
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize('kind', KINDS)
def test_more_strength_takes_more_away(kind):
    errors = [np.abs(ImpairedView(kind, 3, s)(IMAGE) - IMAGE.astype(float)).mean()
              for s in (0.0, 0.3, 0.6, 1.0)]
    assert (np.diff(errors) > 0).all()


@pytest.mark.parametrize('kind', KINDS)
def test_the_seed_decides(kind):
    first, again, other = (ImpairedView(kind, seed)(IMAGE) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
