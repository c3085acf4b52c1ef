"""Planar geometry: angles, rotations, places in frames, and dead reckoning."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.support.geometry import advance, locate, rotate, wrap


def test_an_angle_is_wrapped_into_one_turn() -> None:
    assert wrap(3 * np.pi / 2) == pytest.approx(-np.pi / 2)
    assert wrap(-7.0) == pytest.approx(2 * np.pi - 7.0)
    assert wrap(0.3) == pytest.approx(0.3)


def test_a_quarter_turn_to_the_left_takes_ahead_to_left() -> None:
    assert rotate(1.0, 0.0, np.pi / 2) == pytest.approx((0.0, 1.0))
    x, y = rotate(np.array([1.0, 0.0]), np.array([0.0, 2.0]), np.pi / 2)
    assert np.allclose([x, y], [[0.0, -2.0], [1.0, 0.0]])


def test_minus_the_yaw_undoes_a_rotation() -> None:
    assert rotate(*rotate(0.3, -1.2, 0.7), -0.7) == pytest.approx((0.3, -1.2))


def test_a_point_of_a_frame_is_found_from_its_pose() -> None:
    assert locate(np.array([2.0, 1.0, np.pi / 2]), 0.5, 0.25) == pytest.approx((1.75, 1.5))


def test_a_pose_advances_by_the_mean_heading() -> None:
    """A half circle of radius 1 m in small steps; the yaw is not wrapped."""
    pose = np.array([0.0, 0.0, 3.0])
    for _ in range(1000):
        pose = advance(pose, np.array([1.0, 0.0, 1.0]), np.pi / 1000)
    x, y = rotate(pose[0], pose[1], -3.0)
    assert (x, y, pose[2]) == pytest.approx((0.0, 2.0, 3.0 + np.pi), abs=1e-5)
