"""For every sequence of messages, clock jumps, parameter changes and restarts: no promise breaks.

`fuzz.World` does the things, `fuzz.Watcher` judges what is commanded; here hypothesis chooses.
`python -m vla_humanoid_control.safety.fuzz` does the same at random, for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from vla_humanoid_control.robot import RobotSpec, load_robot
from vla_humanoid_control.safety import fuzz, supervisor
from vla_humanoid_control.safety.latch import Latch
from vla_humanoid_control.safety.limits import JointLimiter, TwistLimiter
from vla_humanoid_control.safety.watchdogs import Watchdog


class EverySequence(RuleBasedStateMachine):
    """Any action, any chance, in any order; `Watcher` raises on a broken promise."""

    robot: RobotSpec | None = None

    def __init__(self) -> None:
        super().__init__()
        EverySequence.robot = EverySequence.robot or load_robot('humanoid')
        self.world = fuzz.World(EverySequence.robot, np.random.default_rng(0))

    @rule(kind=st.sampled_from(sorted(fuzz.World.ACTIONS)), chance=st.integers(0, 2**32))
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
def test_random_walks_through_everything(robot: RobotSpec, seed: int,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.fuzz(robot, 2500, seed) == 0
    out = capsys.readouterr().out
    assert '0 violations' in out
    moving = float(out.split('moving ')[1].split('%')[0])
    assert moving > 20, out  # or else nothing was tested


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


def _any_stamp(self: Watchdog, *_: Any) -> str:
    return ''


@pytest.mark.parametrize(('place', 'name', 'sabotage'), [
    (TwistLimiter, 'step', _step_change), (Watchdog, 'stale', _never_stale),
    (Watchdog, '_problem', _any_stamp), (Latch, 'reset', _always_reset),
    (JointLimiter, 'commit', _jump), (supervisor, '_EARLY', 2.0)],
    ids=['steps', 'stale', 'stamps', 'reset', 'jumps', 'bursts'])
def test_sabotage_is_noticed(robot: RobotSpec, monkeypatch: pytest.MonkeyPatch, place: Any,
                             name: str, sabotage: Callable[..., Any] | float) -> None:
    monkeypatch.setattr(place, name, sabotage)
    noise = np.random.default_rng(5)
    world = fuzz.World(robot, noise)
    kinds = (*fuzz.World.ACTIONS, *fuzz.World.COMMON * 2)

    def everything() -> None:
        for _ in range(500):
            world.act(str(noise.choice(kinds)), noise)

    with pytest.raises(fuzz.ViolationError):
        everything()
