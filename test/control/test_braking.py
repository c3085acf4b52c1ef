"""Where a base comes to rest, against the ramp that safety really brakes with."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.control.braking import Coasting, stopping_way
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.safety.limits import TwistLimiter
from vla_humanoid_control.types import BASE_CHANNELS

ROBOT = load_robot('humanoid')
LIMITS = [ROBOT.base[c] for c in BASE_CHANNELS]
DT_S = 0.02
DELAY_S = (0.1, 0.1, 0.1)


def driven(target: list[float], seconds: float) -> tuple[TwistLimiter, Coasting, float]:
    """A limiter that has chased a twist for so long, and who has heard its commands."""
    limiter, coasting, now_s = TwistLimiter(LIMITS, DT_S), Coasting(LIMITS, 0.5), 10.0
    for _ in range(round(seconds / DT_S)):
        now_s += DT_S
        coasting.on_command(limiter.step(np.array(target)).copy(), now_s)
    return limiter, coasting, now_s


@pytest.mark.parametrize('seconds', [0.1, 0.3, 2.0])
@pytest.mark.parametrize('target', [[0.4, 0.0, 0.0], [-0.6, 0.0, 0.0], [0.0, 0.3, 0.0],
                                    [0.0, 0.0, 0.8], [0.1, -0.2, -1.0]])
def test_the_base_comes_to_rest_where_it_was_said(target: list[float], seconds: float) -> None:
    """While it still gathers speed, too: a small rest of a way ends before it is at full speed."""
    limiter, coasting, now_s = driven(target, seconds)
    said = coasting.ahead(now_s, (0.0, 0.0, 0.0))
    way = np.zeros(3)
    while not limiter.at_rest:
        way += limiter.step(np.zeros(3)) * DT_S
    assert np.sign(said).tolist() == np.sign(target).tolist()
    np.testing.assert_allclose(said, way, atol=0.012)  # a command holds for a whole period


def test_a_delay_adds_the_way_at_the_present_speed() -> None:
    for speed in (0.4, -0.4):
        more = stopping_way(speed, 0.0, LIMITS[0], 0.5) - stopping_way(speed, 0.0, LIMITS[0], 0.0)
        assert more == pytest.approx(0.5 * speed)


def test_each_axis_has_a_delay_of_its_own() -> None:
    coasting = Coasting(LIMITS, 0.5)
    for now_s in (10.0, 10.5):
        coasting.on_command(np.array([0.4, 0.2, 0.5]), now_s)
    at_once = coasting.ahead(10.5, (0.0, 0.0, 0.0))
    later = coasting.ahead(10.5, (0.4, 0.1, 0.0))
    np.testing.assert_allclose(later - at_once, (0.16, 0.02, 0.0), atol=1e-9)


def test_braking_already_it_goes_less_far() -> None:
    steady = stopping_way(0.4, 0.0, LIMITS[0], 0.0)
    assert 0.0 < stopping_way(0.4, -1.2, LIMITS[0], 0.0) < steady
    assert stopping_way(0.4, 1.2, LIMITS[0], 0.0) > steady


def test_a_base_that_stands_or_is_told_nothing_goes_nowhere() -> None:
    coasting = Coasting(LIMITS, 0.5)
    assert not coasting.ahead(10.0, DELAY_S).any()
    coasting.on_command(np.array([0.4, 0.0, 0.0]), 10.0)
    assert coasting.ahead(10.4, DELAY_S)[0] > 0.1
    assert not coasting.ahead(10.6, DELAY_S).any()  # it has stopped by itself
    for now_s in (11.0, 11.02):
        coasting.on_command(np.zeros(3), now_s)
    assert not coasting.ahead(11.02, DELAY_S).any()


def test_commands_that_come_in_a_burst_are_no_endless_acceleration() -> None:
    coasting = Coasting(LIMITS, 0.5)
    coasting.on_command(np.array([0.3, 0.0, 0.0]), 10.0)
    coasting.on_command(np.array([0.32, 0.0, 0.0]), 10.0)
    most = stopping_way(0.32, LIMITS[0].acceleration, LIMITS[0], 0.0)
    assert 0.0 < coasting.ahead(10.0, (0.0, 0.0, 0.0))[0] <= most
