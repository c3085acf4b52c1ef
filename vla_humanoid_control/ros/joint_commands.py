"""The forms that `/joint_commands` can have: what is published, and what is read from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_humanoid_control.ros.messages import MessageError, joints_from_msg, joints_to_msg

JOINT_STATE, ARRAY, TRAJECTORY = 'joint_state', 'array', 'trajectory'
ARRAY_COMMANDS_GOES = 'array_commands goes with the next release: set joint_command_type to array'
_DUE_AFTER_PERIODS = 1.5
"""A trajectory's point is due after the next one has come: no controller arrives and waits."""

JointCommand: TypeAlias = 'JointState | Float64MultiArray | JointTrajectory'


@dataclass(frozen=True)
class JointCommandForm:
    """One form.

    Attributes:
        kind: Type of the messages.
        message: Gives one for a stamp [ns], targets by joint name [rad; m for grippers], in the
            order of the controlled joints, and the time between two messages [s].
        targets: Gives the targets of one by joint name, which the names of the controlled joints
            are handed in for; raises MessageError where it has none.
    """

    kind: Any
    message: Callable[[int, Mapping[str, float], float], JointCommand]
    targets: Callable[[Any, Sequence[str]], Mapping[str, float]]


def command_form(joint_command_type: str, array_commands: bool = False) -> JointCommandForm:
    """The form that parameters ask for.

    Args:
        joint_command_type: joint_state, array or trajectory.
        array_commands: Former name of 'array'.

    Raises:
        ValueError: There is no such form, or they ask for different ones.
    """
    if joint_command_type not in FORMS:
        raise ValueError(f'joint_command_type must be one of {", ".join(FORMS)}, got '
                         f'{joint_command_type!r}')
    if array_commands and joint_command_type == TRAJECTORY:
        raise ValueError('array_commands and joint_command_type trajectory exclude one another')
    return FORMS[ARRAY if array_commands else joint_command_type]


def _array(_stamp_ns: int, targets: Mapping[str, float], _period_s: float) -> Float64MultiArray:
    return Float64MultiArray(data=list(targets.values()))


def _of_array(msg: Float64MultiArray, controlled: Sequence[str]) -> Mapping[str, float]:
    if len(msg.data) != len(controlled):
        raise MessageError(f'{len(msg.data)} numbers for {len(controlled)} controlled joints')
    return dict(zip(controlled, msg.data))


def _trajectory(_stamp_ns: int, targets: Mapping[str, float], period_s: float) -> JointTrajectory:
    # Without a stamp it begins when it is received. With one it would be refused for ending in
    # the past wherever it takes longer on its way than its point is ahead.
    due = Duration(nanosec=round(_DUE_AFTER_PERIODS * period_s * 1e9))
    return JointTrajectory(joint_names=list(targets), points=[
        JointTrajectoryPoint(positions=list(targets.values()), time_from_start=due)])


def _of_trajectory(msg: JointTrajectory, _controlled: Sequence[str]) -> Mapping[str, float]:
    if len(msg.points) != 1:
        raise MessageError(f'a trajectory of {len(msg.points)} points, where one is followed')
    names, positions = msg.joint_names, msg.points[0].positions
    if not 0 < len(names) == len(positions):
        raise MessageError(f'{len(names)} names and {len(positions)} positions')
    if len(set(names)) != len(names):
        raise MessageError('a joint is named twice')
    return dict(zip(names, positions))


FORMS: Mapping[str, JointCommandForm] = {
    JOINT_STATE: JointCommandForm(
        JointState, lambda stamp_ns, targets, _period_s: joints_to_msg(stamp_ns, targets),
        lambda msg, _controlled: joints_from_msg(msg).positions),
    ARRAY: JointCommandForm(Float64MultiArray, _array, _of_array),
    TRAJECTORY: JointCommandForm(JointTrajectory, _trajectory, _of_trajectory),
}
"""Value of `joint_command_type` to what it means."""
