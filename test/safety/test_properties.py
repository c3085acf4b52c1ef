"""For every sequence of messages, clock jumps, parameter changes and restarts: no promise breaks.

`fuzz/world.py: World` does the things, `fuzz/watcher.py: Watcher` judges what is commanded; here
hypothesis chooses.
`python -m fuzz.fuzz` does the same at random, for as long as one likes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fuzz import fuzz
from fuzz.watcher import ViolationError
from fuzz.world import World
from vla_humanoid_control.perception.joints import JointStateMerger
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety import config, supervisor, ticks
from vla_humanoid_control.safety.base import BaseTracking
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.latch import Latch
from vla_humanoid_control.safety.limits import JointLimiter, TwistLimiter
from vla_humanoid_control.safety.mounts import Mounts
from vla_humanoid_control.safety.watchdogs import FrozenCheck, Watchdog
from vla_humanoid_control.types import SafetyState


class EverySequence(RuleBasedStateMachine):
    """Any action, any chance, in any order; `Watcher` raises on a broken promise."""

    robot: RobotSpec | None = None

    def __init__(self) -> None:
        super().__init__()
        EverySequence.robot = EverySequence.robot or load_robot('humanoid')
        self.world = World(EverySequence.robot, np.random.default_rng(0))

    @rule(kind=st.sampled_from(sorted(World.ACTIONS)), chance=st.integers(0, 2**32))
    def anything(self, kind: str, chance: int) -> None:
        self.world.act(kind, np.random.default_rng(chance))

    @rule(ticks=st.integers(1, 40))
    def walk(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()


TestEverySequence = EverySequence.TestCase
TestEverySequence.settings = settings(max_examples=10, stateful_step_count=25, deadline=None,
                                      suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize('seed', [11, 12])
def test_random_walks_through_everything(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.fuzz('humanoid', 4000, seed) == 0
    out = capsys.readouterr().out
    assert f'0 violations, seed {seed}' in out
    moving = float(out.split('moving ')[1].split('%')[0])
    assert moving > 20, out  # or else nothing was tested


def test_everything_happens(robot: RobotSpec) -> None:
    """Two rounds, one of them with a depth camera, leave nothing out that can be done."""
    counts = sum((fuzz.play(robot, 3, number, 4000).counts for number in (0, 1)), Counter())
    assert set(World.ACTIONS) <= set(counts), set(World.ACTIONS) - set(counts)
    assert {f'in {state.name}' for state in SafetyState} <= set(counts)


def test_a_broken_promise_is_reported_and_can_be_played_again(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('mujoco')  # without it, every round ends in an error
    monkeypatch.setattr(TwistLimiter, 'step', _step_change)
    assert fuzz.main(['--steps', '4000', '--seed', '5', '--jobs', '1']) == 1
    out = capsys.readouterr().out
    assert '2 violations, seed 5' in out
    told = out.split('VIOLATION in round 1, ')[1].splitlines()[0]
    again = out.split('--round 1')[0].split('fuzz ')[-1].split()
    assert fuzz.main([*again, '--round', '1']) == 1
    assert capsys.readouterr().out.splitlines()[-1] == told


def test_an_exception_is_a_broken_promise(robot: RobotSpec,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Latch, is_motion: bool) -> None:
        raise ZeroDivisionError
    monkeypatch.setattr(Latch, 'on_command', crash)
    assert 'ZeroDivisionError' in fuzz.play(robot, 0, 0).violation


@pytest.mark.parametrize('arguments', [['--robot', 'nobody'], ['--steps', '0'], ['--jobs', '0'],
                                       ['--round', '-1']])
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(arguments) == 2
    assert capsys.readouterr().err


# ---- the watcher itself: it must see when a promise is broken

def _step_change(self: TwistLimiter, target: np.ndarray) -> np.ndarray:
    self.velocity = np.clip(target, -self.max_velocity, self.max_velocity)
    return self.velocity


def _never_stale(self: Watchdog, now_s: float, scale: float = 1.0) -> str:
    del now_s, scale
    return '' if self.seen else 'missing'


def _always_reset(self: Latch, stands: bool, now_s: float) -> tuple[bool, str]:
    del stands, now_s
    self.reason = ''
    return True, ''


def _jump(self: JointLimiter, plan: Any) -> None:
    self.position = plan.stop


def _never_frozen(self: FrozenCheck, *_: Any) -> None:
    del self


def _any_number(where: str, value: Any, lower: float, upper: float) -> Any:
    del where, lower, upper
    return value


def _forget_latch(self: Latch, config: SafetyConfig) -> None:
    _latch_init(self, dataclasses.replace(config, start_latched=False))


_latch_init = Latch.__init__


def _age_of_the_latest(self: JointStateMerger, now_s: float) -> float:
    return now_s - float(self._arrivals_s.max())


def _never_off(self: BaseTracking, *_: Any) -> None:
    del self


def _any_stamp(self: Watchdog, *_: Any) -> str:
    return ''


@pytest.mark.parametrize(('place', 'name', 'sabotage'), [
    (TwistLimiter, 'step', _step_change), (Watchdog, 'stale', _never_stale),
    (Watchdog, '_problem', _any_stamp), (Latch, 'reset', _always_reset),
    (Latch, '_heartbeat_lost', lambda self, now_s: False), (Latch, '__init__', _forget_latch),
    (FrozenCheck, 'offer', _never_frozen),
    (config, '_number', _any_number), (JointLimiter, 'commit', _jump),
    (supervisor, 'tilt_rad', lambda reading: 0.0), (ticks, '_EARLY', 2.0),
    (JointStateMerger, 'age_s', _age_of_the_latest), (BaseTracking, 'measured', _never_off),
    (Mounts, 'problem', lambda self, sensor, frame: '')],
    ids=['steps', 'stale', 'stamps', 'reset', 'heartbeat', 'restart', 'frozen', 'bounds', 'jumps',
         'tilt', 'bursts', 'joints in parts', 'base', 'frames'])
def test_sabotage_is_noticed(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch, place: Any,
                             name: str, sabotage: Callable[..., Any] | float) -> None:
    monkeypatch.setattr(place, name, sabotage)
    noise = np.random.default_rng(5)
    world = World(robot, noise)
    kinds = (*World.ACTIONS, *World.COMMON * 2)

    def everything() -> None:
        for _ in range(1000):
            world.act(str(noise.choice(kinds)), noise)

    with pytest.raises(ViolationError):
        everything()
