"""Node: a real Unitree robot, with the topics of the simulated one. Never run on a machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.joint_commands import (
    JOINT_STATE,
    JointCommand,
    JointCommandForm,
    command_form,
)
from vla_humanoid_control.ros.managed import ERROR, OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.messages import (
    MessageError,
    imu_to_msg,
    joints_to_msg,
    odometry_to_msg,
)
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.ros.robot_commands import base_command, joint_command
from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed
from vla_humanoid_control.types import BASE_CHANNELS, CONTROL_PERIOD_S
from vla_humanoid_control.unitree.arms import ArmHandover
from vla_humanoid_control.unitree.base import BaseHandover
from vla_humanoid_control.unitree.channel import SdkChannel
from vla_humanoid_control.unitree.messages import imu_reading, joint_reading, odometry_pose
from vla_humanoid_control.unitree.odometry import PoseDifferences
from vla_humanoid_control.unitree.sdk_file import load_sdk_file

READ_PERIOD_S = 0.01


@dataclass(frozen=True)
class BridgeParameters:
    """Parameters of `unitree_bridge`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        sdk: Topics of the robot's SDK, a name in config/embodiments/sdk/, or a path.
        network_interface: Network interface that the robot is at, such as eth0; lo for a simulated
            robot on this machine.
        dds_domain: DDS domain of the robot; that of a real one is 0.
        stamped_twist: Whether /cmd_vel is a TwistStamped.
        joint_command_type: What /joint_commands is: joint_state, array or trajectory, as in
            `safety_monitor`; give it to both, below `/**`.
    """

    robot: str = fixed('unitree_g1')
    sdk: str = fixed('unitree_g1')
    network_interface: str = fixed('lo')
    dds_domain: int = bounded(0, 0, 232, at_start=True)
    stamped_twist: bool = fixed(False)
    joint_command_type: str = fixed(JOINT_STATE)

    def __post_init__(self) -> None:
        check_bounds(self)
        self.joint_commands()

    def joint_commands(self) -> JointCommandForm:
        """The form of /joint_commands."""
        return command_form(self.joint_command_type)


class UnitreeBridge(ManagedNode):
    """Hands what safety commands to the robot's own controllers, and what they measure back.

    - Base: the walking controller is asked for each velocity for a short time
      (`unitree/base.py`), so that the base stands within the robot file's `command_timeout_s`
      after safety is silent, and also where this node dies. Without any base command nothing is
      asked for, and a person's remote control has the robot.
    - Arms: their weight rises and falls slowly (`unitree/arms.py`), and falls to zero before this
      node ends.
    - Measurements are passed on once each, never again. Where the robot is silent, its topics are.

    Subscribers:
        cmd_vel (geometry_msgs/Twist, or TwistStamped)
        joint_commands (sensor_msgs/JointState, std_msgs/Float64MultiArray, or
            trajectory_msgs/JointTrajectory of one point)

    Publishers:
        joint_states (JointState), imu/data (Imu), odom (Odometry): up to 100 Hz, as the robot
            file names them

    Parameters: `BridgeParameters`.
    """

    def __init__(self) -> None:
        super().__init__('unitree_bridge')
        self._settings = Parameters(self, BridgeParameters)

    def configure(self) -> None:
        p = self._settings.value
        self._robot = robot = load_robot(p.robot)
        self._sdk = load_sdk_file(p.sdk, robot)
        self._limits = {j.name: (j.lower, j.upper) for j in robot.controlled}
        self._stale_s = robot.sensors['joint_states'].timeout_s
        self._channel = SdkChannel(self._sdk, p.network_interface, p.dds_domain)
        self._joints_out = self.advertise(JointState, robot.sensors['joint_states'].topic,
                                          qos.SENSOR_OUTPUT)
        outputs = {name: self.advertise(kind, robot.sensors[name].topic, qos.SENSOR_OUTPUT)
                   for name, kind in (('imu', Imu), ('odom', Odometry)) if name in robot.sensors}
        self._imu_out, self._odom_out = outputs.get('imu'), outputs.get('odom')
        self._form = p.joint_commands()
        self.subscribe(TwistStamped if p.stamped_twist else Twist, 'cmd_vel', self._on_twist,
                       qos.STREAM)
        self.subscribe(self._form.kind, 'joint_commands', self._on_joints, qos.STREAM)
        self._counts = {'states': 0, 'commands_rejected': 0}
        self._problem = ''
        self._forget()

    def _forget(self) -> None:
        arms = self._sdk.arms
        self._base = BaseHandover(
            np.array([self._robot.base[channel].velocity for channel in BASE_CHANNELS]),
            self._robot.command_timeout_s)
        self._state_s = float('-inf')
        self._arms = ArmHandover((*arms.held, *self._limits), arms.ramp_s, self._stale_s)
        self._differences = PoseDifferences()

    def activate(self) -> None:
        self._forget()
        self.every(READ_PERIOD_S, self._read)
        self.every(CONTROL_PERIOD_S, self._move_arms)
        self.every(1.0 / self._sdk.walking_rate_hz, self._walk)

    def deactivate(self) -> None:
        self._walk(let_go=True)
        while (command := self._arms.step(time.monotonic(), let_go=True)) and command.weight > 0.0:
            self._channel.move_arms(command.targets, command.weight)
            time.sleep(CONTROL_PERIOD_S)
        if command is not None:
            self._channel.move_arms(command.targets, 0.0)

    def release(self) -> None:
        if hasattr(self, '_channel'):
            del self._channel

    # --- commands ---------------------------------------------------------------------------

    def _on_twist(self, msg: Twist | TwistStamped) -> None:
        try:
            self._base.on_twist(base_command(msg), time.monotonic())
        except MessageError as error:
            self._refuse(str(error))

    def _on_joints(self, msg: JointCommand) -> None:
        try:
            targets = joint_command(msg, self._form, tuple(self._limits))
        except MessageError as error:
            self._refuse(str(error))
            return
        self._arms.on_targets(self._within_limits(targets), time.monotonic())

    def _within_limits(self, targets: Mapping[str, float]) -> dict[str, float]:
        return {name: min(max(position, self._limits[name][0]), self._limits[name][1])
                for name, position in targets.items()}

    def _refuse(self, problem: str) -> None:
        self._counts['commands_rejected'] += 1
        self._problem = problem
        self.warn('command', problem)

    def _walk(self, let_go: bool = False) -> None:
        twist = self._base.step(time.monotonic(), let_go)
        if twist is not None:
            self._channel.walk(twist, self._base.request_s)

    def _move_arms(self) -> None:
        command = self._arms.step(time.monotonic())
        if command is not None:
            self._channel.move_arms(command.targets, command.weight)

    # --- measurements -----------------------------------------------------------------------

    def _read(self) -> None:
        stamp_ns = self.now_ns()
        if (state := self._channel.state()) is not None:
            joints = joint_reading(state, self._sdk.motors, stamp_ns)
            self._state_s = time.monotonic()
            self._arms.on_measured(joints.positions, self._state_s)
            self._joints_out.publish(joints_to_msg(stamp_ns, joints.positions, joints.velocities))
            self._counts['states'] += 1
        if self._imu_out and (imu := self._channel.imu()) is not None:
            trunk = self._robot.simulation.trunk if self._robot.simulation else ''
            self._imu_out.publish(imu_to_msg(imu_reading(imu, stamp_ns), trunk))
        if self._odom_out and (heard := self._channel.odometry()) is not None:
            state, sent_s = heard
            pose = odometry_pose(state)
            twist = self._differences.twist(pose, sent_s)
            self._odom_out.publish(odometry_to_msg(stamp_ns, pose, twist, self._robot.base_frame))

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        values = {**self._counts, 'states_rejected': self._channel.rejected,
                  'arm_weight': self._arms.weight}
        if time.monotonic() - self._state_s > self._stale_s:
            topic, interface = self._sdk.topics.state, self._settings.value.network_interface
            return Health(ERROR, f'no {topic} from the robot on {interface}', values)
        if self._problem:
            return Health(WARN, self._problem, values)
        return Health(OK, '', values)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(UnitreeBridge, args)


if __name__ == '__main__':
    main()
