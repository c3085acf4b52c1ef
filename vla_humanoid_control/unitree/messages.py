"""Between the messages of Unitree's SDK and the package's own types. Pure functions of a message.

The messages are those of unitree_hg, unitree_go and unitree_api, whichever package brings them:
only the names of their fields count here.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.types import ImuReading, JointReading
from vla_humanoid_control.unitree.sdk_file import MOTORS, ArmSettings

# The messages as the robot's own C structures lay them out, which is what the check sum is of.
_COMMAND = struct.Struct('<2B2x' + 'B3x5fI' * MOTORS + '5I')
_STATE = struct.Struct('<2I2B2xI' + '13fh2x' + 'B3x4f2hf7I' * MOTORS + '40B5I')
_REVERSED = bytes(int(f'{n:08b}'[::-1], 2) for n in range(256))


def check_sum(packed: bytes) -> int:
    """The robot's check sum of a packed message: of all its 32-bit words but the last.

    CRC-32 with the polynomial 0x04C11DB7, highest bit of each word first and nothing inverted at
    the end. zlib has the same with all bits reversed, and inverted.
    """
    words = np.frombuffer(packed[:-4], '<u4').astype('>u4').tobytes()
    reverse = (zlib.crc32(words.translate(_REVERSED)) ^ 0xFFFFFFFF).to_bytes(4, 'little')
    return int.from_bytes(reverse.translate(_REVERSED), 'big')


def command_check_sum(command: Any) -> int:
    """Check sum that a LowCmd must carry."""
    motors = [v for m in command.motor_cmd
              for v in (m.mode, m.q, m.dq, m.tau, m.kp, m.kd, m.reserve)]
    return check_sum(_COMMAND.pack(command.mode_pr, command.mode_machine, *motors,
                                   *command.reserve, 0))


def state_check_sum(state: Any) -> int:
    """Check sum that a LowState must carry."""
    imu = state.imu_state
    motors = [v for m in state.motor_state
              for v in (m.mode, m.q, m.dq, m.ddq, m.tau_est, *m.temperature, m.vol, *m.sensor,
                        m.motorstate, *m.reserve)]
    return check_sum(_STATE.pack(
        *state.version, state.mode_pr, state.mode_machine, state.tick, *imu.quaternion,
        *imu.gyroscope, *imu.accelerometer, *imu.rpy, imu.temperature, *motors,
        *state.wireless_remote, *state.reserve, 0))


def joint_reading(state: Any, motors: Sequence[str], stamp_ns: int) -> JointReading:
    """What a LowState measures.

    Args:
        state: The message.
        motors: Joint of each motor, from motor 0.
        stamp_ns: When it came; the message has no time that others could read [ns].
    """
    measured = list(zip(motors, state.motor_state))
    return JointReading(stamp_ns, {name: float(m.q) for name, m in measured},
                        {name: float(m.dq) for name, m in measured})


def imu_reading(imu: Any, stamp_ns: int) -> ImuReading:
    """What an IMUState measures; its quaternion is w, x, y, z."""
    w, x, y, z = imu.quaternion
    return ImuReading(stamp_ns, np.array([x, y, z, w], np.float64),
                      np.array(imu.gyroscope, np.float64),
                      np.array(imu.accelerometer, np.float64))


def odometry_pose(state: Any) -> NDArray[np.float64]:
    """Where a SportModeState says that the base is, float64 [3]: x, y [m], yaw [rad]."""
    return np.array([state.position[0], state.position[1], state.imu_state.rpy[2]], np.float64)


def velocity_parameter(twist: NDArray[np.float64], duration_s: float) -> str:
    """Parameter of the call that takes a velocity: a base twist [3], for so long [s]."""
    return json.dumps({'velocity': [float(v) for v in twist], 'duration': duration_s})


def write_arm_command(command: Any, targets: Mapping[int, float], weight: float,
                      settings: ArmSettings, mode_machine: int) -> None:
    """Fill in a LowCmd: positions of some motors, their weight, and the check sum.

    Args:
        command: The message; motors that are not commanded must have no gains.
        targets: Motor to position [rad].
        weight: How much the robot follows them, 0 to 1.
        settings: Gains, and where the weight goes.
        mode_machine: As the robot's newest LowState has it.
    """
    command.mode_machine = mode_machine
    for motor, position in targets.items():
        entry = command.motor_cmd[motor]
        entry.q, entry.kp, entry.kd = position, settings.kp, settings.kd
    command.motor_cmd[settings.weight_motor].q = weight
    command.crc = command_check_sum(command)
