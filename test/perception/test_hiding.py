"""Objects are painted out with what surrounds them."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_humanoid_control.perception.hiding import hide
from vla_humanoid_control.perception.plausibility import implausible


def room(noise: float = 2.0) -> NDArray[np.uint8]:
    """A grey wall over a brown floor, each a little brighter to the right, with noise."""
    image = np.zeros((96, 128, 3))
    image[:40], image[40:] = (120, 120, 125), (90, 70, 50)
    image += np.linspace(0, 30, 128)[None, :, None]
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def with_object(image: NDArray[np.uint8], left: int, right: int) -> NDArray[np.uint8]:
    shown = image.copy()
    shown[30:60, left:right] = (200, 20, 20)
    return shown


def box(left: int, right: int) -> tuple[float, float, float, float]:
    return left / 128, 30 / 96, right / 128, 60 / 96


@pytest.mark.parametrize(('left', 'right'), [(40, 60), (0, 20), (110, 128)])
def test_nothing_is_left_of_an_object_and_its_room_goes_on(left: int, right: int) -> None:
    empty = room()
    shown = hide(with_object(empty, left, right), [box(left, right)])
    assert np.abs(shown.astype(float) - empty).mean(axis=(0, 1)).max() < 1.5
    assert np.abs(shown[28:62, left:right].astype(float) - empty[28:62, left:right]).mean() < 9
    assert implausible(shown) == ''
    assert (shown[:25] == empty[:25]).all()


def test_what_is_painted_is_as_noisy_as_what_is_beside_it() -> None:
    shown = hide(with_object(room(3.0), 40, 60), [box(40, 60)]).astype(float)
    painted, beside = (np.diff(shown[45:58, a:a + 18], axis=1).std() for a in (41, 70))
    assert painted == pytest.approx(beside, rel=0.35)


def test_what_is_kept_is_left_alone_and_not_smeared() -> None:
    image = with_object(with_object(room(), 40, 60), 62, 80)
    image[30:60, 62:80] = (20, 200, 20)
    shown = hide(image, [box(40, 60)], keep=[box(62, 80)])
    assert (shown[30:60, 62:80] == image[30:60, 62:80]).all()
    assert shown[35:55, 42:58, 1].mean() < 140  # no green where the red one was


def test_an_image_is_never_changed_in_place_and_boxes_may_be_anywhere() -> None:
    image = room()
    before = image.copy()
    assert (hide(image, []) == before).all()
    hide(image, [(-0.2, -0.5, 0.1, 0.1), (0.9, 0.9, 1.5, 1.5), (0.5, 0.5, 0.5, 0.5),
                 (0.0, 0.0, 1.0, 1.0)])
    assert (image == before).all()


EDGE = st.floats(-0.2, 1.2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(EDGE, EDGE, EDGE, EDGE), max_size=4),
       st.lists(st.tuples(EDGE, EDGE, EDGE, EDGE), max_size=2))
def test_any_boxes_are_painted_soon(boxes: list[tuple[float, float, float, float]],
                                    keep: list[tuple[float, float, float, float]]) -> None:
    began_s = time.perf_counter()
    shown = hide(room(), boxes, keep)
    assert shown.dtype == np.uint8 and shown.shape == (96, 128, 3)
    assert time.perf_counter() - began_s < 0.2
