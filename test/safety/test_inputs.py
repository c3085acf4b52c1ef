"""How many rays a scan must have."""

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

    def give(self, rays: int, angle_rad: float = 2 * math.pi, again: bool = False) -> bool:
        """Whether the scan is taken."""
        self.stamp_ns += 0 if again else 100_000_000
        return self.count.problem(ScanReading(self.stamp_ns, 0.0, angle_rad / rays, 0.05, 10.0,
                                              np.ones(rays))) == ''


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
    assert not any(scanner.give(rays) for rays in (380, 400, 420, 440, 460, 480))


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
