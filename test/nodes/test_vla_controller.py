"""The controller's node by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

import numpy as np
import rclpy
from chat_stand_in import StandIn, plan
from geometry_msgs.msg import Twist
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vla_humanoid_control.channels import decode_proposal
from vla_humanoid_control.language.reader import why_unplaced
from vla_humanoid_control.nodes.vla_controller import VlaController
from vla_humanoid_control.ros.managed import ERROR
from vla_humanoid_control.ros.messages import channels_from_msg, rgb_to_msg

pytestmark = pytest.mark.ros


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


def hear(node: VlaController, topic: str, message: Any) -> None:
    """As if it had come by the topic."""
    subscription, = [s for s in node.subscriptions if s.topic_name == topic]
    subscription.callback(message)


def test_what_is_heard_reaches_the_controller_and_what_it_says_is_published(
        node: VlaController, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[JointState] = []
    lines: list[str] = []
    monkeypatch.setattr(node._proposals, 'publish', sent.append)
    monkeypatch.setattr(node._task_states, 'publish', lambda msg: lines.append(msg.data))
    pixels = np.zeros((48, 64, 3), np.uint8)
    hear(node, '/camera/rgb/image_raw', rgb_to_msg(node.now_ns(), 'head', pixels))
    hear(node, '/vla_command', String(data='walk forward'))
    proposal = decode_proposal(channels_from_msg(sent[0]), node._joint_names)
    assert not proposal.action.twist.any() and proposal.stamp_ns > 0
    assert lines[-1] == 'RUNNING: walk forward'
    hear(node, '/safety/state', String(data='ESTOP: emergency stop (topic)'))
    assert lines[-1] == 'FAILED: walk forward (ESTOP: emergency stop (topic))'
    hear(node, '/safety/state', String(data='nonsense'))
    hear(node, '/joint_states', JointState(name=['a'], position=[0.0, 1.0]))
    assert node.controller.counts['joint_states_rejected'] == 1


def test_health_says_what_is_missing(node: VlaController) -> None:
    """Regression: without joint states it stayed OK."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    hear(node, '/camera/rgb/image_raw', rgb_to_msg(node.now_ns(), 'head', pixels))
    health = node.health()
    assert health.level == ERROR and health.message == 'joint_states: nothing heard yet'


def test_a_destroyed_node_leaves_no_thread(domain_id: int) -> None:
    """Regression: that of inference went on, and kept node and participant with it."""
    before = threading.active_count()
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted'], domain_id=domain_id)
    node = VlaController()
    node.trigger_configure()
    assert threading.active_count() > before
    node.destroy_node()
    rclpy.shutdown()
    assert threading.active_count() == before


@pytest.mark.parametrize(('name', 'lax', 'strict'), [
    ('frames.frozen_at_rest', False, True), ('frames.max_age_s', 4.0, 0.9),
    ('frames.frozen_after_s', 4.0, 0.3), ('joints_max_age_s', 4.0, 0.2),
    ('odometry_max_age_s', 4.0, 0.2), ('hang_timeout_s', 40.0, 0.9)])
def test_no_watchdog_becomes_laxer_in_motion(node: VlaController, name: str, lax: Any,
                                             strict: Any) -> None:
    """Regression: the checks of frames could be loosened while the robot walked."""
    def set_to(value: Any) -> tuple[bool, str]:
        result = node.set_parameters([Parameter(name, value=value)])[0]
        return result.successful, result.reason

    assert set_to(strict)[0]
    limits, config = node.controller.senses.frames.limits, node.controller.config
    walking = Twist()
    walking.linear.x = 0.3
    hear(node, '/cmd_vel', walking)
    accepted, reason = set_to(lax)
    assert not accepted and name.split('.')[-1] in reason and 'moves' in reason
    assert node.get_parameter(name).value == strict
    assert (node.controller.senses.frames.limits, node.controller.config) == (limits, config)
    assert set_to(strict)[0]
    hear(node, '/cmd_vel', Twist())
    assert set_to(lax)[0]


def test_what_is_asked_for_beside_a_laxer_watchdog_is_refused_with_it(node: VlaController) -> None:
    """One request takes effect whole or not at all."""
    walking = Twist()
    walking.linear.x = 0.3
    hear(node, '/cmd_vel', walking)
    before = node._settings.values
    answer = node.set_parameters_atomically([
        Parameter('joints_max_age_s', value=0.2), Parameter('task.max_retries', value=1),
        Parameter('frames.max_age_s', value=4.0)])
    assert not answer.successful and 'moves' in answer.reason
    assert node._settings.values == before


def test_a_twist_of_another_type_is_told(node: VlaController, context: Any) -> None:
    """Regression: with the type set for one node alone, the others heard nothing, and said so
    nowhere.
    """
    from geometry_msgs.msg import TwistStamped
    other = rclpy.create_node('other', context=context)  # one process has one type for a topic
    other.create_publisher(TwistStamped, '/cmd_vel', 1)
    for _ in range(100):
        node._look_for_other_twists()
        if node.controller.senses.base_problem:
            break
        time.sleep(0.1)
    assert 'TwistStamped' in node.controller.senses.base_problem
    assert 'stamped_twist' in node.controller.senses.base_problem
    other.destroy_node()


def test_a_planner_is_asked_beside_the_loop_and_its_steps_are_told(
        domain_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = StandIn()
    server.answer = plan('wave', 'go to the red box')
    rclpy.init(args=['--ros-args', '-p', 'policy:=scripted', '-p',
                     f'language.planner:={server.address}'], domain_id=domain_id)
    node = VlaController()
    try:
        node.trigger_configure()
        node.trigger_activate()
        lines: list[str] = []
        monkeypatch.setattr(node._task_states, 'publish', lambda msg: lines.append(msg.data))
        node.controller.task._unreadable = why_unplaced  # as a policy that learnt our tasks
        said = 'give us a howdy, then sashay to the red box'
        hear(node, '/vla_command', String(data=said))
        assert lines[-1] == f'HELD: {said} (asking the planner what it means)'
        for _ in range(200):
            node._on_plan()  # an executor calls it
            if lines[-1].startswith('RUNNING'):
                break
            time.sleep(0.05)
        assert lines[-1] == f'RUNNING: {said} (step 1 of 2: wave)'
    finally:
        node.destroy_node()
        rclpy.shutdown()
        server.close()
