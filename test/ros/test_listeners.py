"""Who hears the commands."""

from __future__ import annotations

import pytest

from vla_humanoid_control.ros.listeners import Subscriber, deaf, nobody_hears

TWIST, STAMPED = 'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped'


def test_nobody_listens() -> None:
    """Regression: a walk to which no base listened was DONE."""
    assert nobody_hears('/cmd_vel', TWIST, []) == '/cmd_vel: nobody listens'


@pytest.mark.parametrize(('published', 'wanted', 'remedy'), [
    (TWIST, STAMPED, 'wants TwistStamped and gets Twist: set stamped_twist to true'),
    (STAMPED, TWIST, 'wants Twist and gets TwistStamped: set stamped_twist to false'),
    ('sensor_msgs/msg/JointState', 'std_msgs/msg/Float64MultiArray',
     'set joint_command_type to array'),
    ('std_msgs/msg/Float64MultiArray', 'sensor_msgs/msg/JointState',
     'set joint_command_type to joint_state'),
    ('sensor_msgs/msg/JointState', 'trajectory_msgs/msg/JointTrajectory',
     'wants JointTrajectory and gets JointState: set joint_command_type to trajectory'),
    ('sensor_msgs/msg/JointState', 'trajectory_msgs/msg/MultiDOFJointTrajectory',
     'wants MultiDOFJointTrajectory and gets JointState: no parameter')])
def test_who_wants_another_type_hears_nothing(published: str, wanted: str, remedy: str) -> None:
    listener = Subscriber('/base', wanted)
    said = nobody_hears('/commands', published, [listener])
    assert said.startswith('/commands: /base wants') and remedy in said
    assert deaf('/commands', published, [listener]) == [said]


def test_one_that_hears_is_enough_and_the_others_are_told_of() -> None:
    listeners = [Subscriber('/old_plot', STAMPED), Subscriber('/base', TWIST)]
    assert nobody_hears('/cmd_vel', TWIST, listeners) == ''
    said = deaf('/cmd_vel', TWIST, listeners)
    assert len(said) == 1 and '/old_plot' in said[0]


def test_who_listens_to_both_types_hears() -> None:
    listeners = [Subscriber('/mux', STAMPED), Subscriber('/mux', TWIST)]
    assert not nobody_hears('/cmd_vel', TWIST, listeners)
    assert not deaf('/cmd_vel', TWIST, listeners)
