"""How far the base has come, from poses in a frame that nobody promises to keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.control.odometry import OdometryTrack
from vla_humanoid_control.support.geometry import advance, wrap
from vla_humanoid_control.types import OdometryReading

TOP_TWIST = np.array([0.6, 0.3, 1.0])


def new_track() -> OdometryTrack:
    return OdometryTrack(TOP_TWIST)


def hear(track: OdometryTrack, pose: np.ndarray, now_s: float, stamp_s: float | None = None
         ) -> None:
    stamp_ns = int((now_s if stamp_s is None else stamp_s) * 1e9)
    track.on_reading(OdometryReading(stamp_ns, pose, np.zeros(3)), now_s)


def drive(track: OdometryTrack, pose: np.ndarray, twist: tuple[float, float, float],
          seconds: float, now_s: float = 0.0) -> np.ndarray:
    for step in range(round(seconds / 0.02)):
        pose = advance(pose, np.array(twist), 0.02)
        told = np.array([pose[0], pose[1], wrap(pose[2])])  # as a quaternion would have it
        hear(track, told, now_s + step * 0.02)
    return pose


@pytest.mark.parametrize('start', [(0.0, 0.0, 0.0), (3.0, -2.0, 2.5), (-7.0, 1.0, -3.1)])
def test_the_way_is_told_in_the_frame_of_the_base_at_the_reset(start) -> None:
    track = new_track()
    hear(track, np.array(start), 0.0)
    track.reset()
    drive(track, np.array(start), (0.3, -0.1, 0.0), 2.0)
    assert track.travelled() == pytest.approx([0.6, -0.2, 0.0], abs=1e-9)


def test_turning_twice_around_counts_twice() -> None:
    track = new_track()
    drive(track, np.zeros(3), (0.0, 0.0, 1.0), 4 * math.pi)
    assert track.travelled()[2] == pytest.approx(4 * math.pi, abs=0.05)


def test_without_a_pose_nothing_was_travelled_and_nothing_was_heard() -> None:
    track = new_track()
    track.reset()
    assert not track.travelled().any() and math.isinf(track.age_s(1.0))


def test_odometry_that_begins_anew_keeps_the_way_so_far() -> None:
    """A driver that restarts in motion must not look like metres walked."""
    track = new_track()
    hear(track, np.array([5.0, 5.0, 1.0]), 0.0)
    track.reset()
    drive(track, np.array([5.0, 5.0, 1.0]), (0.3, 0.0, 0.2), 2.0)
    before = track.travelled()
    hear(track, np.zeros(3), 2.02)
    assert track.travelled() == pytest.approx(before)
    drive(track, np.zeros(3), (0.3, 0.0, 0.0), 1.0, 2.04)
    along = np.array([math.cos(before[2]), math.sin(before[2])]) * 0.3
    assert track.travelled()[:2] == pytest.approx(before[:2] + along, abs=1e-9)


@pytest.mark.parametrize('to', [(0.3, 0.2, 0.0), (0.0, 0.0, 0.8), (-0.2, 0.1, -0.5)])
def test_a_robot_that_is_carried_a_little_has_not_walked_there(to) -> None:
    """Regression: a new scene half a metre away counted as part of the task."""
    track = new_track()
    hear(track, np.zeros(3), 1.0)
    track.reset()
    hear(track, np.array(to), 1.02)
    assert track.travelled() == pytest.approx(np.zeros(3), abs=1e-12)


@pytest.mark.parametrize('stamped', [True, False])
def test_after_a_gap_all_that_was_walked_meanwhile_counts(stamped) -> None:
    """Also where a driver's stamps stand still."""
    track = new_track()
    hear(track, np.zeros(3), 1.0, 1.0)
    hear(track, np.array([0.3, 0.0, 0.4]), 1.5, 1.5 if stamped else 1.0)
    assert track.travelled() == pytest.approx([0.3, 0.0, 0.4])


def test_readings_that_come_in_a_burst_were_still_measured_one_after_the_other() -> None:
    track = new_track()
    for step in range(50):
        hear(track, np.array([0.012 * step, 0.0, 0.02 * step]), 1.0, 1.0 + 0.02 * step)
    assert track.travelled() == pytest.approx([0.588, 0.0, 0.98])
