"""The controller's node by itself."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vla_humanoid_control.channels import decode_proposal
from vla_humanoid_control.control.inference import Outcome, Request
from vla_humanoid_control.nodes.vla_controller import NEWS_S, VlaController
from vla_humanoid_control.ros.messages import channels_from_msg
from vla_humanoid_control.types import ActionChunk, Observation

pytestmark = pytest.mark.ros

ESTOP = 'ESTOP: emergency stop (topic)'


@pytest.fixture
def node(domain_id: int) -> Iterator[VlaController]:
    """A node that is active."""
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted'], domain_id=domain_id)
    node = VlaController()
    node.trigger_configure()
    node.trigger_activate()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_a_command_during_an_emergency_stop_is_refused_with_the_reason(node: VlaController
                                                                       ) -> None:
    """Regression: it began, and ended without a word when the stop was next heard of."""
    node._on_command(String(data='walk forward'))
    node._on_safety_state(String(data=ESTOP))
    assert node._task.describe() == f'FAILED: walk forward ({ESTOP})'
    node._on_command(String(data='wave'))
    node._refuse_latched(time.monotonic() + NEWS_S)
    assert node._task.describe() == f'FAILED: wave (refused in {ESTOP})'
    assert node._counts['commands_rejected'] == 1
    node._on_safety_state(String(data=ESTOP))  # said again once a second
    assert node._task.describe().startswith('FAILED: wave')
    node._on_command(String(data='stop'))
    assert node._task.describe() == 'DONE: stop'
    node._on_safety_state(String(data='STOP: recovering'))
    node._on_command(String(data='wave'))
    assert node._task.describe() == 'RUNNING: wave'


def test_a_command_that_overtakes_the_news_of_a_reset_is_carried_out(node: VlaController) -> None:
    """Regression: a command right after a reset could be refused as given before it."""
    node._on_safety_state(String(data=ESTOP))
    node._on_command(String(data='wave'))
    node._refuse_latched(time.monotonic())
    assert not node._task.is_active
    node._on_safety_state(String(data='HOLD: no task'))
    assert node._task.describe() == 'RUNNING: wave'
    node._refuse_latched(time.monotonic() + NEWS_S)
    assert node._task.describe() == 'RUNNING: wave'


def test_a_stop_undoes_a_command_that_waits_for_the_news_of_a_reset(node: VlaController) -> None:
    """The last word counts, whatever safety says after it."""
    node._on_safety_state(String(data=ESTOP))
    node._on_command(String(data='wave'))
    node._on_command(String(data='stop'))
    node._on_safety_state(String(data='HOLD: no task'))
    assert node._task.describe() == 'DONE: stop'


def test_a_task_of_an_idle_robot_begins_with_a_hold(node: VlaController,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: right after a reset, safety waited for one until the task had failed."""
    sent: list[JointState] = []
    monkeypatch.setattr(node._proposals, 'publish', sent.append)
    node._add_frame('head', np.zeros((48, 64, 3), np.uint8), node.now_ns())
    node._on_command(String(data='walk forward'))
    proposal = decode_proposal(channels_from_msg(sent[0]), node._joint_names)
    assert not proposal.action.twist.any() and not proposal.action.joints
    assert proposal.confidence == 0.0 and proposal.stamp_ns > 0


@pytest.mark.parametrize('speed', [math.nan, math.inf, 1e308, -7.0])
def test_commands_that_safety_never_gave_are_no_way_travelled(node: VlaController, speed: float
                                                              ) -> None:
    """Regression: one NaN of a foreign publisher spoilt the odometry of the whole task."""
    foreign, own = Twist(), Twist()
    foreign.linear.x, own.linear.x = speed, 0.3
    for twist in (own, foreign, own):
        node._on_cmd_vel(twist)
    way = node._odometer.travelled(time.monotonic())
    assert 0.0 < way[0] < 0.3


class Hung:
    """A worker whose inference takes its time, and ends at last."""

    def __init__(self, generation: int) -> None:
        blank = Observation(0, {}, np.zeros(0))
        self.outcome = Outcome(Request(generation, 'wave', blank), None, 'too late', False, 9.0)
        self.is_busy, self.seconds = True, 5.0

    def busy_s(self, now_s: float) -> float:
        return self.seconds

    def take(self) -> Outcome:
        return self.outcome


def test_an_inference_that_hangs_no_longer_is_no_longer_reported(
        node: VlaController, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: it stayed an error until the next command."""
    node._on_command(String(data='wave'))
    worker = Hung(node._task.generation)
    monkeypatch.setattr(node, '_worker', worker)
    node._tick()
    node._on_command(String(data='stop'))
    worker.seconds = 9.0
    node._tick()
    assert node.health().message == 'inference hangs for 9.0 s'
    node._on_outcome()
    assert 'hangs' not in node.health().message
    monkeypatch.undo()  # the worker of before, to be closed


@pytest.mark.parametrize('actions', [None, 'forward', [[0.1]], np.full((8, 22), None)])
def test_a_policy_that_gives_no_numbers_fails_the_task_and_not_the_node(
        node: VlaController, monkeypatch: pytest.MonkeyPatch, actions: Any) -> None:
    """Regression: the controller's process ended with a TypeError."""
    node._on_command(String(data='wave'))
    worker = Hung(node._task.generation)
    monkeypatch.setattr(node, '_worker', worker)
    bad = ActionChunk(node._spec.channels, actions, 0.1, 0.9, 0.1)
    for retry in range(4):
        request = Request(node._task.generation, 'wave', Observation(retry, {}, np.zeros(0)))
        worker.outcome = Outcome(request, bad, '', False, 0.1)
        node._on_outcome()
        assert node._task.describe().startswith('RETRYING' if retry < 3 else 'FAILED')
        assert 'must be an array' in node._task.describe()
    monkeypatch.undo()  # the worker of before, to be closed


@pytest.mark.parametrize(('name', 'lax', 'strict'), [
    ('frames.frozen_at_rest', False, True), ('frames.max_age_s', 4.0, 0.9),
    ('frames.frozen_after_s', 4.0, 0.3), ('joints_max_age_s', 4.0, 0.2),
    ('hang_timeout_s', 40.0, 0.9)])
def test_no_watchdog_becomes_laxer_in_motion(node: VlaController, name: str, lax: Any,
                                             strict: Any) -> None:
    """Regression: the checks of frames could be loosened while the robot walked."""
    def set_to(value: Any) -> tuple[bool, str]:
        result = node.set_parameters([Parameter(name, value=value)])[0]
        return result.successful, result.reason

    assert set_to(strict)[0]
    limits = node._frames.limits
    walking = Twist()
    walking.linear.x = 0.3
    node._on_cmd_vel(walking)
    accepted, reason = set_to(lax)
    assert not accepted and name.split('.')[-1] in reason and 'moves' in reason
    assert node.get_parameter(name).value == strict and node._frames.limits == limits
    assert set_to(strict)[0]
    node._on_cmd_vel(Twist())
    assert set_to(lax)[0]


def test_what_is_asked_for_beside_a_laxer_watchdog_is_refused_with_it(node: VlaController) -> None:
    """One request takes effect whole or not at all."""
    walking = Twist()
    walking.linear.x = 0.3
    node._on_cmd_vel(walking)
    before = node._settings.value, node._frames.limits, node._task.config
    answer = node.set_parameters_atomically([
        Parameter('joints_max_age_s', value=0.2), Parameter('task.max_retries', value=1),
        Parameter('frames.max_age_s', value=4.0)])
    assert not answer.successful and 'moves' in answer.reason
    assert (node._settings.value, node._frames.limits, node._task.config) == before
