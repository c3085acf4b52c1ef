"""The whole graph: words lead to motion within limits. What goes wrong is in test/faults."""

from __future__ import annotations

import numpy as np
import pytest
from graph_under_test import PERIOD_S, ROBOT, GraphUnderTest
from sensor_msgs.msg import JointState

from vla_humanoid_control.ros import qos
from vla_humanoid_control.types import BASE_CHANNELS

LIMITS = [ROBOT.base[c] for c in BASE_CHANNELS]


def test_words_lead_to_motion_within_limits_and_to_done(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    graph.say('walk forward')
    graph.wait_for(lambda: graph.task.startswith('DONE'), 'the task is done')
    graph.wait_for(graph.is_at_rest, 'the base is at rest')
    graph.assert_within_limits()
    moved = sum(t[0] for _, t in graph.twists) * PERIOD_S
    assert moved == pytest.approx(0.7, abs=0.1)
    assert max(c for _, c in graph.confidences) > 0.8
    states = [s.split(':')[0] for _, s in graph.task_states]
    assert [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s] \
        == ['IDLE', 'RUNNING', 'DONE']


def test_commands_are_published_from_start_to_end(graph: GraphUnderTest) -> None:
    """At rest, on the way, and at rest again. How many a second is measured by `make bench`."""
    graph.wait_until_ready()

    def goes_on(what: str) -> None:
        count = len(graph.twists), len(graph.targets)
        graph.wait_for(lambda: len(graph.twists) > count[0] + 25
                       and len(graph.targets) > count[1] + 25, what)
    goes_on('commands at rest')
    graph.walk()
    goes_on('commands on the way')
    graph.wait_for(lambda: graph.task.startswith('DONE'), 'done')
    graph.wait_for(graph.is_at_rest, 'the base is at rest')
    goes_on('commands after it')


def test_gesture_moves_the_arm_within_its_limits(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    graph.say('raise your left hand')
    graph.wait_for(lambda: graph.task.startswith('DONE'), 'the task is done')
    joints = [t for _, t in graph.targets]
    assert joints[-1]['left_shoulder_pitch'] < -2.0
    for name in ('left_shoulder_pitch', 'left_elbow'):
        joint, path = ROBOT.joint(name), np.array([j[name] for j in joints])
        assert (path >= joint.lower - 1e-9).all() and (path <= joint.upper + 1e-9).all()
        assert (np.abs(np.diff(path)) <= 2 * joint.motion.velocity * PERIOD_S + 1e-9).all()


def test_words_it_does_not_know_move_nothing(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    graph.say('file my taxes')
    graph.wait_for(lambda: graph.task.startswith('FAILED'), 'all retries are used up', 20.0)
    assert all(not t.any() for _, t in graph.twists)
    assert [s.split(':')[0] for _, s in graph.task_states].count('RETRYING') == 3


def test_a_command_right_after_a_reset_is_carried_out(graph: GraphUnderTest) -> None:
    """Regression: nearly always safety held, as it had not seen the command before it end."""
    graph.wait_until_ready()
    for _ in range(3):
        graph.press(True)
        graph.wait_for(lambda: graph.safety.startswith('ESTOP'), 'it is latched')
        graph.press(False)
        graph.wait_for(lambda: graph.reset()[0], 'the reset is accepted')
        graph.walk()
        graph.say('stop')
        graph.wait_for(graph.is_at_rest, 'the base is at rest', 10.0)


def test_silent_camera_stops_the_robot_and_is_reported(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    graph.walk()
    graph.robot.camera_on = False
    graph.wait_for(graph.is_at_rest, 'the base is at rest', 10.0)
    graph.assert_within_limits()
    graph.wait_for(lambda: 'no frame' in graph.health('vla_controller'), 'the reason is reported')


def test_malformed_gated_message_stops_with_the_reason(graph: GraphUnderTest) -> None:
    """Whoever sends it: a command that is not understood means stop, not ignore."""
    graph.wait_until_ready()
    graph.walk()
    intruder = graph.node.create_publisher(JointState, '/vla/action_gated', qos.STREAM)
    graph.wait_for(lambda: intruder.get_subscription_count() >= 2, 'discovery')
    graph.say('walk forward')
    bad = JointState(name=['base/linear_x', 'tail'], position=[0.0, 1.0], velocity=[0.1, 0.0])
    graph.wait_for(lambda: intruder.publish(bad) or any(
        s.startswith('STOP') and "unknown channel 'tail'" in s for _, s in graph.safety_states),
        'STOP with the reason', 3.0)


def test_parameters_change_within_bounds_and_only_there(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    for node, name, value in (('safety_monitor', 'robot', 'other'),
                              ('confidence_monitor', 'gate.open_threshold', 0.1),
                              ('vla_controller', 'task.max_retries', -1)):
        accepted, reason = graph.set(node, name, value)
        assert not accepted and reason, (node, name, value)
    assert graph.set('safety_monitor', 'safety.base_velocity_scale', [0.3, 0.3, 0.3])[0]
    graph.say('walk forward')
    graph.wait_for(lambda: graph.task.startswith('DONE'), 'done')
    fastest = max(abs(t[0]) for _, t in graph.twists)
    assert 0.1 < fastest <= 0.3 * LIMITS[0].velocity + 1e-6
