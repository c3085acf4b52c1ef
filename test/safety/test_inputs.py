"""What a scan must look at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.safety.inputs import RayCount
from vla_humanoid_control.types import ScanReading


class Scanner:
    """Gives scans that look at some angle [rad] with some number of rays."""

    def __init__(self) -> None:
        self.count = RayCount()
        self.stamp_ns = 0

    def give(self, rays: int, angle_rad: float = 2 * math.pi, again: bool = False,
             start_rad: float = 0.0) -> bool:
        """Whether the scan is taken."""
        self.stamp_ns += 0 if again else 100_000_000
        return self.count.problem(ScanReading(self.stamp_ns, start_rad, angle_rad / rays, 0.05,
                                              10.0, np.ones(rays))) == ''


@pytest.mark.parametrize(('odd', 'angle_rad'), [(100, 1.7), (720, 2 * math.pi), (350, 6.28)])
def test_an_odd_first_scan_does_not_lock_out_those_that_follow(odd: int, angle_rad: float) -> None:
    """Regression: it did for good, and the robot never moved."""
    scanner = Scanner()
    assert scanner.give(odd, angle_rad)
    taken = [scanner.give(300, 5.0) for _ in range(8)]
    assert taken == [False] * 4 + [True] * 4
    assert not scanner.give(odd, angle_rad)


def test_single_odd_scans_are_rejected_however_many_they_are() -> None:
    scanner = Scanner()
    for number in range(60):
        assert scanner.give(360 + number % 2)  # one ray more or less is no difference
        assert not any(scanner.give(720) for _ in range(4))
    assert not any(scanner.give(rays) for rays in (470, 490, 550, 600, 650, 700))


def test_the_same_odd_scan_again_and_again_is_one() -> None:
    scanner = Scanner()
    assert all(scanner.give(360) for _ in range(6))
    assert not scanner.give(720)
    assert not any(scanner.give(720, again=True) for _ in range(20))


@pytest.mark.parametrize('rays', [180, 720])
def test_a_scanner_may_change_its_resolution(rays: int) -> None:
    scanner = Scanner()
    assert all(scanner.give(360) for _ in range(6))
    assert [scanner.give(rays) for _ in range(6)] == [False] * 4 + [True] * 2


def test_a_scanner_that_goes_half_blind_is_not_trusted_again() -> None:
    """However long it lasts: behind the robot nothing would be seen any more."""
    scanner = Scanner()
    assert all(scanner.give(360) for _ in range(6))
    assert not any(scanner.give(180, math.pi) for _ in range(60))
    assert scanner.give(360)


@pytest.mark.parametrize(('low', 'high', 'angle_rad'), [
    (447, 453, 2 * math.pi), (1100, 1200, 2 * math.pi), (660, 700, 1.5 * math.pi),
    (20, 24, math.pi)])
def test_a_scanner_whose_number_of_rays_wobbles_goes_on(low: int, high: int, angle_rad: float
                                                        ) -> None:
    """Regression: each scan with more than one ray more or less than the first was rejected,
    although it looks at as much."""
    scanner, random = Scanner(), np.random.default_rng(0)
    assert all(scanner.give(int(rays), angle_rad) for rays in random.integers(low, high + 1, 300))


def test_a_scanner_that_turns_a_little_faster_or_slower_goes_on() -> None:
    """Its step is always the same, so that the last ray is now here, now there."""
    count, step_rad = RayCount(), 2 * math.pi / 450
    for number, rays in enumerate(np.random.default_rng(0).integers(447, 453, 300)):
        assert not count.problem(ScanReading(number + 1, -math.pi, step_rad, 0.05, 10.0,
                                             np.ones(rays)))


@pytest.mark.parametrize('lost_rad', [0.2, 0.5, math.pi])
@pytest.mark.parametrize('angle_rad', [2 * math.pi, 1.5 * math.pi])
@pytest.mark.parametrize('rays', [360, 300])
def test_a_scanner_that_loses_a_sector_is_not_trusted_whatever_its_number_of_rays(
        rays: int, angle_rad: float, lost_rad: float) -> None:
    scanner = Scanner()
    assert all(scanner.give(360 + n % 3, angle_rad) for n in range(9))
    assert not any(scanner.give(rays, angle_rad - lost_rad) for _ in range(30))


def test_as_much_to_see_elsewhere_is_not_the_same() -> None:
    """Regression: the number of rays was right, and so nobody noticed."""
    scanner = Scanner()
    assert all(scanner.give(180, math.pi, start_rad=-math.pi / 2) for _ in range(9))
    assert not any(scanner.give(180, math.pi, start_rad=math.pi / 2) for _ in range(30))


def test_all_around_is_all_around_wherever_it_begins() -> None:
    scanner = Scanner()
    assert all(scanner.give(360, start_rad=0.7 * n) for n in range(30))
