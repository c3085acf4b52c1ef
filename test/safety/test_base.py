"""A base that does not do what it is told, and one that does it as real ones do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig

Drive = Callable[[np.ndarray], np.ndarray]
REASON = 'the base does not follow'


def stuck(told: np.ndarray) -> np.ndarray:
    return np.zeros(3)


@pytest.mark.parametrize('twist', [(0.4, 0.0, 0.0), (-0.3, 0.0, 0.0), (0.0, 0.3, 0.0),
                                   (0.0, 0.0, 0.5), (0.2, 0.1, -0.4)])
def test_a_base_that_stands_though_told_to_move_stops_the_robot(
        robot: RobotSpec, make_bench: Any, twist: tuple[float, float, float]) -> None:
    """Regression: its motors were off, or it listened elsewhere, and nobody noticed."""
    bench = make_bench(robot, twist=twist, drive=stuck)
    bench.until('RUN')
    config = bench.config
    late_s = bench.until('STOP')
    assert late_s < config.base_lag_s + config.base_tracking_s + 0.2 + 0.5  # it speeds up first
    assert REASON in bench.log[-1][1].reason
    bench.check_limits()


def test_one_wheel_that_stands_turns_the_base_and_stops_it(running: Any) -> None:
    running.drive = lambda told: np.array([told[0] / 2, 0.0, 2.0 * told[0]])
    running.until('STOP')
    assert 'rad/s' in running.log[-1][1].reason


@pytest.mark.parametrize('drive', [lambda told: 2.5 * told, lambda told: -told],
                         ids=['too fast', 'backwards'])
def test_a_base_that_moves_otherwise_stops_the_robot(running: Any, drive: Drive) -> None:
    running.drive = drive
    running.until('STOP')
    assert REASON in running.log[-1][1].reason


def test_a_base_that_moves_though_told_to_stand_stops_the_robot(running: Any) -> None:
    """It is pushed, or someone else drives it; nothing but standing still ends that."""
    running.is_open = False
    running.run(1.0)
    assert running.log[-1][1].state.name == 'HOLD'
    running.drive = lambda told: np.array([0.0, -0.3, 0.0])
    running.until('STOP')
    assert 'and is told to stand' in running.log[-1][1].reason
    running.run(2.0)
    assert running.log[-1][1].state.name == 'STOP'
    running.drive = None
    running.until('HOLD')


def test_it_stays_stopped_until_the_command_ends(running: Any) -> None:
    """Else it would be tried again once it stands as told, again and again."""
    running.drive = stuck
    running.until('STOP')
    running.run(8.0)
    assert {c.state.name for _, c in running.log[-390:]} == {'STOP'}
    running.drive = None
    running.run(2.0)
    assert running.log[-1][1].state.name == 'STOP'
    running.is_open = False
    running.until('HOLD')
    running.is_open = True
    running.until('RUN')
    running.run(3.0)
    assert running.log[-1][1].state.name == 'RUN'


class Late:
    """A base with delay, inertia, a dead zone, slip, and noise."""

    def __init__(self, delay_s: float = 0.0, inertia_s: float = 0.0, dead: float = 0.0,
                 slip: float = 0.0, sway: float = 0.0) -> None:
        self.waiting = deque([np.zeros(3)] * (1 + round(delay_s / 0.02)))
        self.share = 1.0 if inertia_s == 0 else 0.02 / (inertia_s + 0.02)
        self.dead, self.slip, self.sway = dead, slip, sway
        self.twist = np.zeros(3)
        self.tick = 0
        self.noise = np.random.default_rng(0)

    def __call__(self, told: np.ndarray) -> np.ndarray:
        self.tick += 1
        self.waiting.append(told)
        target = self.waiting.popleft() * (1 - self.slip)
        self.twist = self.twist + self.share * (target - self.twist)
        still = np.abs(self.twist) < self.dead
        swaying = self.sway * np.sin(2 * np.pi * 1.5 * 0.02 * self.tick) * np.array([1, 1, 2])
        return np.where(still, 0.0, self.twist) + swaying + 0.02 * self.noise.normal(size=3)


@pytest.mark.parametrize('nature', [
    {}, {'delay_s': 0.3}, {'inertia_s': 0.25}, {'delay_s': 0.2, 'inertia_s': 0.15},
    {'slip': 0.2}, {'slip': -0.2}, {'dead': 0.08}, {'sway': 0.2},
    {'delay_s': 0.15, 'inertia_s': 0.1, 'slip': 0.2, 'dead': 0.05, 'sway': 0.1}],
    ids=lambda nature: ' '.join(nature) or 'exact')
def test_what_ordinary_bases_do_stops_nothing(running: Any, nature: dict[str, float]) -> None:
    """Commands that start, end, turn round, creep and alternate, at the full limits."""
    running.drive = Late(**nature)
    chance = np.random.default_rng(1)
    limits = np.array([m.velocity for m in running.robot.base.values()])
    since = len(running.log)
    for _ in range(30):
        kind = chance.choice(['any', 'creep', 'full', 'stand'])
        share = {'any': chance.uniform(-1, 1, 3), 'creep': chance.uniform(-0.2, 0.2, 3),
                 'full': chance.choice([-1.0, 0.0, 1.0], 3), 'stand': np.zeros(3)}[kind]
        running.twist = tuple((share * limits).tolist())
        running.run(float(chance.choice([0.3, 1.0, 3.0])))
    assert {c.state.name for _, c in running.log[since:]} == {'RUN'}


@pytest.mark.parametrize('left_out', ['twist', 'pose'])
def test_drivers_that_leave_out_the_twist_or_the_pose_are_fine(running: Any, left_out: str
                                                               ) -> None:
    running.off = {'odom'}
    pose = np.zeros(3)
    for _ in range(200):
        told = running.log[-1][1].twist
        pose = pose + 0.02 * told
        running.safety.on_odom(np.zeros(3) if left_out == 'twist' else told, running.now_s,
                               pose=np.zeros(3) if left_out == 'pose' else pose)
        running.step()
    assert running.log[-1][1].state.name == 'RUN', running.log[-1][1].reason


@pytest.mark.parametrize('pose', [np.full(3, np.nan), np.zeros(2)])
def test_a_pose_that_cannot_be_is_rejected(running: Any, pose: np.ndarray) -> None:
    before = running.safety.diagnostics(running.now_s)['accepted/odom']
    running.safety.on_odom(np.zeros(3), running.now_s, pose=pose)
    told = running.safety.diagnostics(running.now_s)
    assert told['accepted/odom'] == before
    assert told['last_rejection/odom'] == 'the pose is not three finite numbers'


def test_a_jump_of_the_pose_is_no_motion(running: Any) -> None:
    """As when odometry is corrected, or begins anew."""
    since = len(running.log)
    for _ in range(20):
        running.pose = running.pose + np.array([3.0, -2.0, 1.0])
        running.run(0.7)
    assert {c.state.name for _, c in running.log[since:]} == {'RUN'}


def test_without_its_watchdog_nobody_asks_whether_the_base_follows(robot: RobotSpec,
                                                                   make_bench: Any) -> None:
    bench = make_bench(robot, SafetyConfig(watch_odom=False), drive=stuck)
    assert bench.run(5.0).state.name == 'RUN'
