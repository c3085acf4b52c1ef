"""A robot on legs comes to stand after a fault, and what is measured of it is what happened."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('mujoco')

from g1 import needs_g1

from benchmarks.stops import FAULTS, Stop, measure, table
from benchmarks.walking import TICK_S, rest
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.world import World

EMERGENCY, MONITOR, CAMERA = ('the emergency stop is pressed', 'the safety monitor dies',
                              'the camera is silent')


@pytest.fixture(scope='module')
def g1() -> Iterator[World]:
    world = World(load_robot('unitree_g1'))
    yield world
    world.close()


@needs_g1
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(('fault', 'state', 'decided_s'), [
    (EMERGENCY, 'ESTOP', (0.0, 0.06)), (CAMERA, 'STOP', (0.3, 0.6)), (MONITOR, '', (0.4, 0.6))])
def test_a_g1_stands_after(g1: World, fault: str, state: str,
                           decided_s: tuple[float, float]) -> None:
    stop = measure(g1, FAULTS[fault])
    assert stop.state.startswith(state)
    assert decided_s[0] <= stop.decided_s <= decided_s[1]
    assert stop.decided_s < stop.stands_s < 2.5
    assert 0.1 < stop.way_m < 0.7
    assert not stop.fell


@needs_g1
@pytest.mark.slow
def test_a_robot_that_does_not_stop_is_noticed(g1: World) -> None:
    stop = measure(g1, lambda walk: None)
    assert stop.way_m > 2.0
    assert stop.stands_s > 5.0


def test_rest_is_from_when_it_stays_there() -> None:
    way = np.minimum(np.arange(200) * 0.5 * TICK_S, 0.5)  # a second at 0.5 m/s, then nothing
    way_m, after_s = rest(np.array([[x, 0.0, 0.0] for x in way]))
    assert way_m == pytest.approx(0.5)
    assert after_s == pytest.approx(1.0, abs=0.06)
    assert rest(np.zeros((200, 3))) == (0.0, 0.0)


def test_a_fall_stands_in_the_table() -> None:
    assert '| 0.10 | 0.20 | 0.30 | 0.40 | yes |' in table(
        {'a fault': Stop(0.1, 0.2, 0.3, 0.4, True, 'STOP')})
