"""The forms of /joint_commands."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_humanoid_control.ros.joint_commands import FORMS, command_form
from vla_humanoid_control.ros.messages import MessageError
from vla_humanoid_control.safety.config import SafetyConfig

pytestmark = pytest.mark.ros

TARGETS = {'neck_yaw': 0.25, 'left_gripper': 0.02, 'waist_yaw': -1.0}
PERIOD_S = 1.0 / SafetyConfig().rate_hz


@pytest.mark.parametrize('name', FORMS)
def test_what_is_published_is_what_is_read(name: str) -> None:
    form = command_form(name)
    msg = form.message(7_000_000_123, TARGETS, PERIOD_S)
    assert isinstance(msg, form.kind)
    assert dict(form.targets(msg, tuple(TARGETS))) == TARGETS


def test_there_is_a_type_of_its_own_for_each() -> None:
    assert {name: form.kind for name, form in FORMS.items()} == {
        'joint_state': JointState, 'array': Float64MultiArray, 'trajectory': JointTrajectory}


def test_a_trajectory_has_one_point_due_a_little_after_the_next_one_comes() -> None:
    """One that is due before makes the arm stop between two messages. A stamp makes a controller
    refuse what comes a little late.
    """
    msg = command_form('trajectory').message(7_000_000_123, TARGETS, PERIOD_S)
    (point,) = msg.points
    due_s = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
    assert PERIOD_S < due_s <= 2 * PERIOD_S
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (0, 0)
    assert not point.velocities and not point.accelerations and not point.effort


def test_the_former_parameter_means_an_array_still() -> None:
    assert command_form('joint_state', array_commands=True) is FORMS['array']
    assert command_form('array', array_commands=True) is FORMS['array']


@pytest.mark.parametrize(('given', 'words'), [
    (('Trajectory', False), 'joint_state, array, trajectory'), (('', False), 'joint_command_type'),
    (('trajectory', True), 'exclude')])
def test_what_is_no_form_is_refused(given: tuple[str, bool], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        command_form(*given)


def trajectory(names: list[str], *points: list[float]) -> JointTrajectory:
    return JointTrajectory(joint_names=names, points=[JointTrajectoryPoint(positions=p)
                                                      for p in points])


@pytest.mark.parametrize(('name', 'msg', 'words'), [
    ('array', Float64MultiArray(data=[1.0]), '1 numbers for 3'),
    ('joint_state', JointState(name=['a']), '0 positions'),
    ('trajectory', trajectory(['a']), '0 points'),
    ('trajectory', trajectory(['a'], [1.0], [2.0]), '2 points'),
    ('trajectory', trajectory(['a', 'b'], [1.0]), '2 names and 1 positions'),
    ('trajectory', trajectory([], []), '0 names'),
    ('trajectory', trajectory(['a', 'a'], [1.0, 2.0]), 'twice')])
def test_a_message_that_cannot_be_followed_is_refused(name: str, msg: object, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        command_form(name).targets(msg, tuple(TARGETS))
