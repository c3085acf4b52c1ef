"""Time to collision, from scans and depth images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vla_humanoid_control.safety.collision import (
    Surroundings,
    Zone,
    allowed_share,
    depth_points,
    scan_points,
    time_to_collision,
)
from vla_humanoid_control.safety.mounts import mounted
from vla_humanoid_control.types import ScanReading

ZONE = Zone(radius_m=0.3, slow_ttc_s=2.0, stop_ttc_s=0.4, deceleration=1.2, jerk=12.0,
            reaction_s=0.1, min_points=3, debounce=2)
FORWARD = np.array([0.5, 0.0, 0.0])


def wall(x: float, y: float = 0.0, count: int = 5) -> np.ndarray:
    """A few points close together."""
    return np.array([[x, y + 0.005 * k] for k in range(count)])


def test_time_to_a_wall_ahead() -> None:
    assert time_to_collision(wall(1.0), FORWARD, ZONE) == pytest.approx((1.0 - 0.3) / 0.5, abs=0.1)


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7),
       st.one_of(st.floats(-4, 4), st.floats(-2e-3, 2e-3), st.just(0.0)))
@settings(max_examples=200, deadline=None)
def test_time_is_that_of_going_there_in_small_steps(x: float, y: float, vx: float, vy: float,
                                                    turn: float) -> None:
    """For every motion, from a straight line to turning in a small circle."""
    point, twist = np.array([x, y]), np.array([vx, vy, turn])
    t = np.linspace(0, ZONE.slow_ttc_s, 20_001)
    half = 0.5 * turn * t
    chord = t * np.sinc(half / np.pi)
    way = np.stack([chord * (vx * np.cos(half) - vy * np.sin(half)),
                    chord * (vx * np.sin(half) + vy * np.cos(half))], axis=1)
    distance = np.hypot(*(way - point).T)
    assume(distance[0] > ZONE.radius_m + 1e-3 and math.hypot(vx, vy) > 2e-3)
    found = time_to_collision(np.stack([point] * 3), twist, ZONE)
    if distance.min() > ZONE.radius_m + 1e-3:
        assert found == math.inf
    elif distance.min() < ZONE.radius_m - 1e-3:
        # Between a millimetre outside and a millimetre inside, however flat the approach.
        assert t[np.argmax(distance < ZONE.radius_m + 1e-3)] - 1e-3 <= found
        assert found <= t[np.argmax(distance < ZONE.radius_m - 1e-3)] + 1e-3


@pytest.mark.parametrize('points', [wall(-1.0), wall(0.9, 0.5), wall(5.0), wall(0.9, count=2),
                                    np.zeros((0, 2))])
def test_what_is_not_in_the_way(points: np.ndarray) -> None:
    """Behind, beside, far away, too few points, nothing."""
    assert time_to_collision(points, FORWARD, ZONE) == math.inf


def test_a_curve_leads_past_an_obstacle_or_into_one() -> None:
    curve = np.array([0.5, 0.0, 1.0])  # to the left, radius 0.5 m
    assert time_to_collision(wall(0.95, -0.1), FORWARD, ZONE) < 2
    assert time_to_collision(wall(0.95, -0.1), curve, ZONE) == math.inf
    assert time_to_collision(wall(0.0, 0.95), FORWARD, ZONE) == math.inf
    assert time_to_collision(wall(0.4, 0.95), curve, ZONE) < 2


@pytest.mark.parametrize(('twist', 'free'), [
    ((0.3, 0, 0), False), ((-0.3, 0, 0), True), ((0, 0.2, 0), True), ((0, 0, 1.0), True),
    ((0.2, 0.2, 0), False), ((-0.2, 0.2, 0), True), ((0.3, 0, 1.0), False)])
def test_inside_the_zone_only_motion_deeper_in_is_blocked(twist: tuple[float, float, float],
                                                          free: bool) -> None:
    points = np.array([[0.25, 0.0]] * 3)
    ttc = time_to_collision(points, np.array(twist), ZONE)
    assert ttc == (math.inf if free else 0.0)


@given(st.floats(-math.pi, math.pi), st.floats(0.05, 0.29), st.floats(-math.pi, math.pi))
@settings(max_examples=100, deadline=None)
def test_from_anywhere_inside_the_zone_straight_away_is_free(bearing: float, distance: float,
                                                             heading: float) -> None:
    points = np.array([[distance * math.cos(bearing), distance * math.sin(bearing)]] * 3)
    away = -points[0] / distance * 0.4
    assert time_to_collision(points, np.array([*away, 0.0]), ZONE) == math.inf
    twist = np.array([0.4 * math.cos(heading), 0.4 * math.sin(heading), 0.0])
    closing = float(points[0] @ twist[:2]) > 1e-3 * distance
    assert (time_to_collision(points, twist, ZONE) == 0.0) == closing


def test_bad_ranges_are_masked() -> None:
    ranges = np.array([math.nan, math.inf, -math.inf, 0.0, 0.01, 1.0, 20.0, -1.0])
    points = scan_points(ScanReading(1, 0.0, 0.1, 0.05, 10.0, ranges), reach_m=5.0)
    assert points == pytest.approx(np.array([[math.cos(0.5), math.sin(0.5)]]))


CAMERA = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, 0, 1]])
INTRINSICS = (100.0, 100.0, 60.0, 40.0)


def depth_image(fraction_nan: float) -> np.ndarray:
    """A wall 1.5 m ahead of a camera 1 m above the ground."""
    depth = np.full((80, 120), 1.5)
    depth[np.random.default_rng(0).random(depth.shape) < fraction_nan] = math.nan
    return depth


def see(depth: np.ndarray) -> np.ndarray | None:
    return depth_points(depth, INTRINSICS, CAMERA, (0.1, 1.4), 5.0, 0.5)


@pytest.mark.parametrize('fraction', [0.0, 0.3])
def test_depth_finds_the_wall_through_missing_pixels(fraction: float) -> None:
    points = see(depth_image(fraction))
    assert points is not None
    assert points[:, 0] == pytest.approx(1.6)
    assert time_to_collision(points, np.array([0.8, 0, 0]), ZONE) < 2


@pytest.mark.parametrize('bad', [math.nan, math.inf, 0.0, -1.0])
def test_depth_without_measurements_is_unknown(bad: float) -> None:
    assert see(np.full((80, 120), bad)) is None
    assert see(np.zeros((0, 0))) is None


def test_a_level_camera_looks_ahead() -> None:
    np.testing.assert_allclose(mounted((0.1, 0.0, 1.0, 0.0, 0.0, 0.0)), CAMERA, atol=1e-12)


@pytest.mark.parametrize(('angles', 'seen'), [
    ((0.0, math.pi / 2, 0.0), (0.2, 0.0, -1.0)), ((0.0, 0.0, math.pi / 2), (0.2, 2.0, 1.0)),
    ((0.3, 0.0, 0.0), (2.2, 0.0, 1.0)), ((0.0, 0.3, 0.0), (0.2 + 2 * math.cos(0.3), 0.0,
                                                           1.0 - 2 * math.sin(0.3)))],
    ids=['down', 'left', 'rolled', 'nodding'])
def test_mount_of_a_camera(angles: tuple[float, float, float],
                           seen: tuple[float, float, float]) -> None:
    """What is 2 m ahead of the lens, in the frame of the base."""
    point = mounted((0.2, 0.0, 1.0, *angles)) @ np.array([0.0, 0.0, 2.0, 1.0])
    assert point[:3] == pytest.approx(np.array(seen))


def test_the_floor_before_a_nodding_camera_is_no_obstacle() -> None:
    """Every pixel of a camera that looks down on an empty floor, and a box in the middle."""
    down, height = 0.8, 1.2
    rows, columns = np.mgrid[:80, :120]
    x, y = (columns - 60.0) / 100, (rows - 40.0) / 100
    floor = height / (math.sin(down) + y * math.cos(down))
    at = mounted((0.0, 0.0, height, 0.0, down, 0.0))
    empty = depth_points(floor, INTRINSICS, at, (0.05, 1.5), 5.0, 0.5)
    assert empty is not None and len(empty) == 0
    box = np.where((np.abs(x) < 0.1) & (np.abs(y) < 0.1), floor - 0.4, floor)
    points = depth_points(box, INTRINSICS, at, (0.05, 1.5), 5.0, 0.5)
    assert points is not None and len(points) > 20
    assert time_to_collision(points, np.array([0.8, 0.0, 0.0]), ZONE) < 2


@pytest.mark.parametrize('intrinsics', [(math.nan, 100.0, 60.0, 40.0), (0.0, 100.0, 60.0, 40.0),
                                        (100.0, -1.0, 60.0, 40.0), (100.0, 100.0, math.inf, 40.0),
                                        (1e-308, 100.0, 1e308, 40.0)])
def test_depth_with_impossible_intrinsics_is_unknown(
        intrinsics: tuple[float, float, float, float]) -> None:
    """Regression: intrinsics that are not numbers made every obstacle vanish."""
    assert depth_points(depth_image(0.0), intrinsics, CAMERA, (0.1, 1.4), 5.0, 0.5) is None


@pytest.mark.parametrize('factor', [1, 4, 8, 20])
def test_a_large_depth_image_costs_no_more_than_a_small_one(factor: int) -> None:
    """Regression: a wall that filled 640 x 480 pixels took several ticks to look at."""
    fx, fy, cx, cy = (factor * v for v in INTRINSICS)
    points = depth_points(np.full((80 * factor, 120 * factor), 1.5), (fx, fy, cx, cy), CAMERA,
                          (0.1, 1.4), 5.0, 0.5)
    assert points is not None
    assert 500 < len(points) <= 5000
    assert np.ptp(points[:, 1]) == pytest.approx(1.8, abs=0.1)  # still all of the wall


def test_floor_and_ceiling_are_no_obstacles() -> None:
    points = depth_points(depth_image(0.0), INTRINSICS, CAMERA, (0.9, 1.0), 5.0, 0.5)
    assert points is not None
    seen = see(depth_image(0.0))
    assert seen is not None
    assert 0 < len(points) < 0.2 * len(seen)


def test_an_obstacle_in_one_scan_of_three_is_none() -> None:
    view = Surroundings()
    for points in (wall(5.0), wall(1.0), wall(5.0)):
        view.see(points, np.zeros(3))
    assert view.time_to_collision(FORWARD, np.zeros(3), ZONE) == math.inf
    view.see(wall(1.0), np.zeros(3))
    assert view.time_to_collision(FORWARD, np.zeros(3), ZONE) < 2


def test_an_obstacle_in_the_very_first_scan_counts() -> None:
    view = Surroundings()
    view.see(wall(1.0), np.zeros(3))
    assert view.time_to_collision(FORWARD, np.zeros(3), ZONE) < 2


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_own_motion_since_the_scan_is_made_up_for(x: float, y: float, yaw: float) -> None:
    """A wall that was seen elsewhere is where it was."""
    view = Surroundings()
    pose = np.array([x, y, yaw])
    in_base = wall(1.0)
    cos, sin = math.cos(yaw), math.sin(yaw)
    in_world = in_base @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]
    view.see(in_world, np.zeros(3))
    assert view.time_to_collision(FORWARD, pose, ZONE) == pytest.approx(
        time_to_collision(in_base, FORWARD, ZONE), abs=0.1)


def test_share_falls_from_slow_to_stop() -> None:
    shares = [allowed_share(t, 0.5, ZONE) for t in (math.inf, 2.0, 1.5, 1.0, 0.5, 0.4, 0.0)]
    assert shares[0] == shares[1] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-2:] == [0.0, 0.0]


def test_speed_leaves_room_to_brake() -> None:
    for clearance in np.linspace(0.0, 2.0, 21):
        v = ZONE.safe_speed(clearance)
        needed = v * ZONE.reaction_s + v * v / (2 * 1.2) + v * 1.2 / (2 * 12)
        assert needed <= clearance + 1e-9
