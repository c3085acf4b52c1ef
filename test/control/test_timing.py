"""Policies slower or faster than our own: asked as they want, and no robot stands still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.control.timing import OLDEST_S, Timing
from vla_humanoid_control.evaluation.rollout import Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    TRAVELLED,
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    Observation,
    PolicySpec,
    Prompt,
    StateFeature,
)
from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
OURS = ControlSpec(('head',), (8, 8), (), ('base/linear_x',), 8, 0.1)


def test_our_own_pace_leaves_every_limit_as_it_is() -> None:
    assert Timing.of(OURS) == Timing()
    config = SafetyConfig()
    assert (config.proposal_timeout_s, config.max_stamp_age_s) == (
        Timing().proposal_timeout_s, Timing().max_stamp_age_s)


def test_a_slow_policy_gets_time_within_what_safety_allows() -> None:
    slow = Timing.of(replace(OURS, rate_hz=2.0, latency_s=0.4))
    assert slow.rate_hz == 10.0  # proposals go on between its answers
    assert slow.proposal_timeout_s == pytest.approx(1.1)
    assert slow.stale_after_s == pytest.approx(0.9) and slow.hang_timeout_s == pytest.approx(4.0)
    slowest = Timing.of(replace(OURS, rate_hz=5.0, latency_s=0.9))
    assert slowest.proposal_timeout_s == pytest.approx(OLDEST_S)
    SafetyConfig(proposal_timeout_s=slowest.proposal_timeout_s,
                 max_stamp_age_s=slowest.max_stamp_age_s)  # is within its bounds


def test_a_fast_policy_is_followed() -> None:
    assert Timing.of(replace(OURS, rate_hz=50.0, latency_s=0.01)).rate_hz == 50.0


@pytest.mark.parametrize(('rate_hz', 'latency_s', 'why'), [
    (10.0, 1.0, 'act on what it saw 2 s ago. At most 1.8 s'), (0.2, 0.1, 'asked every 5 s'),
    (500.0, 0.001, '500 times a second')])
def test_what_no_robot_should_follow_is_refused(rate_hz: float, latency_s: float, why: str
                                                ) -> None:
    with pytest.raises(UserError, match=why):
        Timing.of(replace(OURS, rate_hz=rate_hz, latency_s=latency_s), 'Policy X')


def test_each_limit_is_told_to_the_node_that_has_it() -> None:
    assert {node: set(values) for node, values in Timing().parameters().items()} == {
        'vla_controller': {'rate_hz', 'hang_timeout_s'},
        'confidence_monitor': {'gate.stale_after_s'},
        'safety_monitor': {'safety.proposal_timeout_s', 'safety.max_stamp_age_s'}}


class Walker:
    """Walks 0.6 m ahead, one action at a time or in chunks, and counts how often it is asked."""

    def __init__(self, rate_hz: float, latency_s: float, horizon: int) -> None:
        self.spec = PolicySpec(
            (), (StateFeature(TRAVELLED, ('x', 'y', 'yaw')),),
            ActionSpace((ActionGroup('base', ActionKind.BASE_TWIST, ('base/linear_x',)),),
                        horizon, 1.0 / rate_hz), rate_hz=rate_hz, latency_s=latency_s)
        self.asked_ns: list[int] = []

    def reset(self, prompt: Prompt) -> None:
        self.asked_ns = []

    def infer(self, observation: Observation) -> ActionChunk:
        self.asked_ns.append(observation.stamp_ns)
        left_m = 0.6 - observation.state[TRAVELLED][-1, 0]
        speed = 0.2 if left_m > 0.05 else 0.0
        return ActionChunk(np.full((self.spec.actions.horizon, 1), speed, np.float32),
                           1.0 if left_m <= 0.05 else 0.3, {CONFIDENCE: np.array(0.9)})

    def close(self) -> None:
        pass


@pytest.mark.parametrize(('rate_hz', 'latency_s', 'horizon'), [
    (3.0, 0.3, 1), (3.0, 0.3, 4), (2.0, 0.6, 1), (50.0, 0.01, 1), (10.0, 0.1, 8)])
def test_it_walks_without_standing_still_and_is_asked_at_its_own_pace(
        rate_hz: float, latency_s: float, horizon: int) -> None:
    walker = Walker(rate_hz, latency_s, horizon)
    rollout = Rollout(ROBOT, FittedPolicy(walker, Embodiment.fit(walker.spec, ROBOT)),
                      latency_s=latency_s)
    speeds: list[float] = []
    apply = rollout.world.apply
    rollout.world.apply = lambda twist, joints: (  # type: ignore[method-assign]
        speeds.append(float(twist[0])), apply(twist, joints))[-1]
    try:
        result = rollout.run(Episode('e', 'walk forward', Task.from_key('move:forward'), 3))
    finally:
        rollout.close()
    assert result.success, result.reason
    assert result.safety_interventions == 0
    moving = np.flatnonzero(np.array(speeds) > 0.15)
    assert (np.array(speeds)[moving[0]:moving[-1]] > 0.1).all()
    between_s = np.diff(walker.asked_ns) / 1e9
    assert np.median(between_s) == pytest.approx(max(1.0 / rate_hz, latency_s), abs=0.06)
