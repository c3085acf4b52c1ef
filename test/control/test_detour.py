"""Around what stands in the way: by scans of discs, and a policy that walks straight at a goal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_humanoid_control.control.detour import FREE_S, Detour
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.geometry import advance, rotate
from vla_humanoid_control.types import BASE_CHANNELS, ScanReading

ROBOT = load_robot('humanoid')
SOON_S = 0.8
AHEAD = np.array([0.4, 0.0, 0.0])
PLACE = np.zeros(3)
Disc = tuple[float, float, float]  # x, y, radius [m]


def scan(discs: list[Disc], place: NDArray[np.float64] = PLACE, rays: int = 180) -> ScanReading:
    """What a scanner in the middle of the base sees of discs."""
    step = 2 * math.pi / rays
    bearings, ranges = -math.pi + step * np.arange(rays), np.full(rays, np.inf)
    for x, y, radius in discs:
        ahead, left = rotate(x - place[0], y - place[1], -place[2])
        along = ahead * np.cos(bearings) + left * np.sin(bearings)
        across = left * np.cos(bearings) - ahead * np.sin(bearings)
        hit = (np.abs(across) < radius) & (along > 0)
        ranges[hit] = np.minimum(ranges[hit],
                                 along[hit] - np.sqrt(radius ** 2 - across[hit] ** 2))
    return ScanReading(0, -math.pi, step, 0.05, 10.0, ranges)


def sees(discs: list[Disc], robot: RobotSpec = ROBOT) -> Detour:
    """One that has seen them twice, as it takes to believe it."""
    detour = Detour(robot)
    for now_s in (0.9, 1.0):
        detour.on_scan(scan(discs), PLACE, now_s)
    return detour


@dataclass
class Walk:
    """A base that follows its twist at once, under a policy as the shipped one is."""

    goal: Disc
    discs: list[Disc]
    place: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    nearest_m: float = math.inf
    aside_m: float = 0.0

    def to_its_end(self, seconds: float = 40.0) -> float:
        """How far it is from the goal's middle when it stands, or time is up [m]."""
        detour = Detour(ROBOT)
        for step in range(round(seconds * 10)):
            detour.on_scan(scan([*self.discs, self.goal], self.place), self.place, 0.1 * step)
            ahead, left = rotate(self.goal[0] - self.place[0], self.goal[1] - self.place[1],
                                 -self.place[2])
            away, bearing = math.hypot(ahead, left), math.atan2(left, ahead)
            speed = np.clip(1.2 * (away - 0.66), -0.15, 0.5) * max(0.0, math.cos(bearing)) ** 4
            if abs(speed) < 0.01 and abs(bearing) < 0.1:
                break
            twist = np.array([speed, 0.0, np.clip(1.8 * bearing, -0.8, 0.8)])
            twist = detour.around(twist, twist, self.place, SOON_S, 0.1 * step)
            assert (np.abs(twist) <= ROBOT.top_twist * (1 + 1e-9)).all()
            self.aside_m = max(self.aside_m, abs(float(self.place[1])))
            self.place = advance(self.place, twist, 0.1)
            for x, y, radius in self.discs:
                self.nearest_m = min(self.nearest_m, math.hypot(
                    x - self.place[0], y - self.place[1]) - radius)
        return math.hypot(self.goal[0] - self.place[0], self.goal[1] - self.place[1])


def test_where_the_way_is_free_the_twist_is_the_policys() -> None:
    for discs in ([], [(2.0, 0.0, 0.2)], [(0.8, 0.9, 0.2)], [(-0.6, 0.0, 0.2)]):
        detour = sees(discs)
        assert detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.0) is AHEAD
        assert not detour.is_on(1.0)


@pytest.mark.parametrize('turn', [0.0, 0.3, -0.3])
def test_what_is_met_soon_is_gone_around_as_fast_and_with_the_turn_that_the_policy_wants(
        turn: float) -> None:
    twist = AHEAD + np.array([0.0, 0.0, turn])
    detour = sees([(0.7, 0.05, 0.2)])
    around = detour.around(twist, twist, PLACE, SOON_S, 1.0)
    assert around[2] == turn and around[1] < 0  # it stands a little to the left
    share = around[:2] / ROBOT.top_twist[:2]
    assert math.hypot(*around[:2]) == pytest.approx(0.4) or np.abs(share).max() == pytest.approx(1)
    assert detour.is_on(1.0) and not detour.is_on(3.0)


def test_the_side_that_it_began_with_is_kept() -> None:
    detour = sees([(0.7, 0.05, 0.2)])
    assert detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.0)[1] < 0
    for now_s in (1.1, 1.2, 1.3):
        detour.on_scan(scan([(0.7, -0.02, 0.2)]), PLACE, now_s)
    assert detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.3)[1] < 0
    detour.begin_anew()
    for now_s in (1.4, 1.5):
        detour.on_scan(scan([(0.7, -0.02, 0.2)]), PLACE, now_s)
    assert detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.5)[1] > 0


def test_what_was_seen_moves_with_the_base() -> None:
    """The base has turned to the left since: what was ahead is on its right now."""
    detour = sees([(0.7, 0.0, 0.15)])
    turned = np.array([0.0, 0.0, math.pi / 2])
    assert detour.around(AHEAD, AHEAD, turned, SOON_S, 1.0) is AHEAD


@pytest.mark.parametrize('why', ['it creeps', 'the scan is old', 'one scan alone was bad',
                                 'no way is free', 'the frame is unknown', 'it sees nothing'])
def test_else_the_twist_is_left_to_safety(why: str) -> None:
    discs, twist, now_s = [(0.7, 0.0, 0.2)], AHEAD, 1.0
    detour = sees(discs)
    if why == 'it creeps':
        twist = np.array([0.04, 0.0, 0.2])
    elif why == 'the scan is old':
        now_s = 2.0
    elif why == 'one scan alone was bad':
        detour = sees([])
        detour.on_scan(scan(discs), PLACE, 1.0)
    elif why == 'no way is free':
        detour = sees([(0.6 * math.cos(a), 0.6 * math.sin(a), 0.2)
                       for a in np.arange(0, 2 * math.pi, 0.3)])
    else:
        detour = Detour(ROBOT)
        bad = replace(scan(discs), frame='elsewhere') if why == 'the frame is unknown' \
            else replace(scan(discs), ranges_m=np.full((2, 2), np.nan))
        for at_s in (0.9, 1.0):
            detour.on_scan(bad, PLACE, at_s)
    assert detour.around(twist, twist, PLACE, SOON_S, now_s) is twist


def test_what_the_policy_plans_to_stop_before_is_what_it_goes_to() -> None:
    """However late it does: a policy may go on at full speed until it is there."""
    detour = sees([(0.7, 0.0, 0.2)])
    assert detour.around(AHEAD, AHEAD * 0.2, PLACE, SOON_S, 1.0) is AHEAD
    assert detour.around(AHEAD, np.zeros(3), PLACE, SOON_S, 1.0) is AHEAD
    assert detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.0) is not AHEAD


def test_a_base_that_cannot_step_aside_stays_before_it() -> None:
    limits = {**ROBOT.base, BASE_CHANNELS[1]: replace(ROBOT.base[BASE_CHANNELS[1]],
                                                         velocity=1e-6)}
    assert sees([(0.7, 0.0, 0.2)], replace(ROBOT, base=limits)).around(
        AHEAD, AHEAD, PLACE, SOON_S, 1.0) is AHEAD


@pytest.mark.parametrize(('looks_deg', 'first_deg', 'side'), [
    (0, -20, 1), (0, -120, -1), (-100, -20, -1)])
def test_it_steps_only_where_the_scanner_looks(looks_deg: float, first_deg: float, side: int
                                               ) -> None:
    """The scanner sees 140 degrees, and what stands ahead at its edge."""
    mount = (0.0, 0.0, 0.3, 0.0, 0.0, math.radians(looks_deg))
    robot = replace(ROBOT, sensors={**ROBOT.sensors, 'scan': replace(
        ROBOT.sensors['scan'], frame='laser', mount=mount)})
    detour = Detour(robot)
    bearings = math.radians(first_deg) + np.radians(np.arange(0, 141, 2))
    ranges = np.where(np.abs(bearings + mount[5]) < 0.25, 0.5, np.inf)
    for now_s in (0.9, 1.0):
        detour.on_scan(ScanReading(0, float(bearings[0]), math.radians(2), 0.05, 10.0, ranges,
                                   'laser'), PLACE, now_s)
    assert math.copysign(1, detour.around(AHEAD, AHEAD, PLACE, SOON_S, 1.0)[1]) == side


def test_what_it_goes_to_is_not_gone_around() -> None:
    """It slows down before it."""
    for distance in (1.0, 1.5, 3.0):
        walk = Walk((distance, 0.0, 0.2), [])
        assert walk.to_its_end() == pytest.approx(0.66, abs=0.03)
        assert walk.aside_m < 1e-6


@pytest.mark.parametrize('seed', range(30))
def test_it_arrives_and_keeps_what_safety_keeps(seed: int) -> None:
    """One to three things on the way, no wider than a person."""
    rng = np.random.default_rng(seed)
    discs: list[Disc] = []
    for first in np.linspace(0.9, 3.6, 1 + seed % 3):
        discs.append((first + rng.uniform(0.0, 0.2), rng.uniform(-0.4, 0.4),
                      rng.uniform(0.1, 0.28)))
    walk = Walk((5.2, 0.0, 0.13), discs)
    assert walk.to_its_end() == pytest.approx(0.66, abs=0.03), discs
    assert walk.nearest_m > ROBOT.footprint_radius_m + 0.05
    assert FREE_S > SOON_S
