"""How far the base has come, from poses in a frame that nobody promises to keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.control.odometry import OdometryTrack
from vla_humanoid_control.support.geometry import advance, wrap


def drive(track: OdometryTrack, pose: np.ndarray, twist: tuple[float, float, float],
          seconds: float, now_s: float = 0.0) -> np.ndarray:
    for step in range(round(seconds / 0.02)):
        pose = advance(pose, np.array(twist), 0.02)
        told = np.array([pose[0], pose[1], wrap(pose[2])])  # as a quaternion would have it
        track.on_pose(told, now_s + step * 0.02)
    return pose


@pytest.mark.parametrize('start', [(0.0, 0.0, 0.0), (3.0, -2.0, 2.5), (-7.0, 1.0, -3.1)])
def test_the_way_is_told_in_the_frame_of_the_base_at_the_reset(start) -> None:
    track = OdometryTrack()
    track.on_pose(np.array(start), 0.0)
    track.reset()
    drive(track, np.array(start), (0.3, -0.1, 0.0), 2.0)
    assert track.travelled() == pytest.approx([0.6, -0.2, 0.0], abs=1e-9)


def test_turning_twice_around_counts_twice() -> None:
    track = OdometryTrack()
    drive(track, np.zeros(3), (0.0, 0.0, 1.0), 4 * math.pi)
    assert track.travelled()[2] == pytest.approx(4 * math.pi, abs=0.05)


def test_without_a_pose_nothing_was_travelled_and_nothing_was_heard() -> None:
    track = OdometryTrack()
    track.reset()
    assert not track.travelled().any() and math.isinf(track.age_s(1.0))


def test_odometry_that_begins_anew_keeps_the_way_so_far() -> None:
    """A driver that restarts in motion must not look like metres walked."""
    track = OdometryTrack()
    track.on_pose(np.array([5.0, 5.0, 1.0]), 0.0)
    track.reset()
    drive(track, np.array([5.0, 5.0, 1.0]), (0.3, 0.0, 0.2), 2.0)
    before = track.travelled()
    track.on_pose(np.zeros(3), 2.02)
    assert track.travelled() == pytest.approx(before)
    drive(track, np.zeros(3), (0.3, 0.0, 0.0), 1.0, 2.04)
    along = np.array([math.cos(before[2]), math.sin(before[2])]) * 0.3
    assert track.travelled()[:2] == pytest.approx(before[:2] + along, abs=1e-9)
