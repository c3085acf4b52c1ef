"""Node: the walking controller of a robot on legs, where its simulator has none, as Gazebo."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Empty
from trajectory_msgs.msg import JointTrajectory

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import LET_GO, WALKING_IMU, WALKING_JOINTS
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.joint_commands import TRAJECTORY, command_form
from vla_humanoid_control.ros.managed import ERROR, OK, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.messages import (
    MessageError,
    imu_from_msg,
    joints_from_msg,
    odometry_from_msg,
)
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.ros.robot_commands import base_command
from vla_humanoid_control.safety.inputs import imu_problem
from vla_humanoid_control.simulation.walking import PERIOD_S, Felt, walker_of
from vla_humanoid_control.support.bounds import check_bounds, fixed
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import ImuReading, JointReading

READY_WITHIN_RAD = 0.1
"""With all its joints so near to home it begins to walk [rad]."""
READY_WITHIN_S = 2.0
"""After this time it begins in any case [s]."""
LET_GO_EVERY_S = 1.0
"""Between two requests to let go of the robot: one may be lost while the bridge starts [s]."""
SILENT_S = 1.0
"""Without joint states for so long, something is wrong; on the steady clock [s]."""
_EARLY_S = 0.2 * PERIOD_S  # joint states come when they come


@dataclass(frozen=True)
class WalkingParameters:
    """Parameters of `walking_controller`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        stamped_twist: Whether /cmd_vel is a TwistStamped.
    """

    robot: str = fixed('unitree_g1')
    stamped_twist: bool = fixed(False)

    def __post_init__(self) -> None:
        check_bounds(self)


class WalkingController(ManagedNode):
    """Moves legs and waist so that the base follows its velocity command.

    The robot hangs at first. Its joints are driven to the home posture; then it is let go, and the
    walking policy decides every `PERIOD_S` of the time in the stamps of the joint states. Without
    a base command for `command_timeout_s`, or without odometry, it stands. Without IMU or joint
    states it decides nothing, and the joints keep their last targets. Once fallen it keeps the
    posture it fell in, until time begins anew.

    Subscribers:
        cmd_vel (geometry_msgs/Twist, or TwistStamped)
        walking/imu (sensor_msgs/Imu): attitude and angular velocity of the base link
        joint_states (JointState, with velocities), odom (Odometry): as the robot file names them

    Publishers:
        walking/joint_commands (trajectory_msgs/JointTrajectory): one point for the joints that
            nobody else commands
        walking/let_go (std_msgs/Empty): what holds the robot is to let it go

    Parameters: `WalkingParameters`.
    """

    def __init__(self) -> None:
        super().__init__('walking_controller')
        self._settings = Parameters(self, WalkingParameters)

    def configure(self) -> None:
        p = self._settings.value
        self._robot = robot = load_robot(p.robot)
        self._walker = walker_of(robot)
        if 'odom' not in robot.sensors:
            raise UserError(f'Robot {robot.name}: without the sensor odom nobody knows how fast '
                            'it walks.')
        commanded, joints = {j.name for j in robot.controlled}, self._walker.policy.joints
        self._own = np.array([name not in commanded for name in joints])
        self._names = tuple(n for n, own in zip(joints, self._own, strict=True) if own)
        self._home = np.array([robot.joint(name).home for name in self._names])
        self._form = command_form(TRAJECTORY)
        sensors = robot.sensors
        self._imu_stale_s = sensors['imu'].timeout_s if 'imu' in sensors else \
            sensors['joint_states'].timeout_s
        self._targets_out = self.advertise(JointTrajectory, WALKING_JOINTS, qos.STREAM)
        self._let_go_out = self.advertise(Empty, LET_GO, qos.EVENT)
        self.subscribe(TwistStamped if p.stamped_twist else Twist, 'cmd_vel', self._on_twist,
                       qos.STREAM)
        self.subscribe(Imu, WALKING_IMU, self._on_imu, qos.SENSOR_INPUT)
        self.subscribe(Odometry, sensors['odom'].topic, self._on_odometry, qos.SENSOR_INPUT)
        self.subscribe(JointState, sensors['joint_states'].topic, self._on_joints,
                       qos.SENSOR_INPUT)
        self._counts = {'decisions': 0, 'messages_rejected': 0}
        self._begin()

    def _begin(self) -> None:
        """With nothing known and nothing done."""
        self._walker.reset()
        self._twist: NDArray[np.float64] = np.zeros(3)
        self._twist_ns = self._odom_ns = 0
        self._measured: NDArray[np.float64] = np.zeros(3)
        self._imu: ImuReading | None = None
        self._first_ns = self._decided_ns = 0
        self._heard_s = float('-inf')
        self._let_go_ns: int | None = None
        self._walks = self._is_blind = False
        self._kept: NDArray[np.float64] | None = None
        self._problem = ''

    def activate(self) -> None:
        self._begin()

    # --- what is heard ----------------------------------------------------------------------

    def _on_twist(self, msg: Twist | TwistStamped) -> None:
        try:
            self._twist = base_command(msg)
        except MessageError as error:
            self._refuse(str(error))
            return
        self._twist_ns = self._decided_ns

    def _on_imu(self, msg: Imu) -> None:
        try:
            reading = imu_from_msg(msg)
        except MessageError as error:
            self._refuse(f'walking/imu: {error}')
            return
        if problem := imu_problem(reading):
            self._refuse(f'walking/imu: {problem}')
            return
        self._imu = reading

    def _on_odometry(self, msg: Odometry) -> None:
        reading = odometry_from_msg(msg)
        if not np.isfinite(reading.twist).all():
            self._refuse('odometry: not finite')
            return
        self._measured, self._odom_ns = reading.twist, reading.stamp_ns

    def _on_joints(self, msg: JointState) -> None:
        try:
            joints = self._checked(joints_from_msg(msg))
        except MessageError as error:
            self._refuse(f'joint states: {error}')
            return
        if not self.is_active:
            return
        self._heard_s = time.monotonic()
        if joints.stamp_ns < self._decided_ns:
            self._begin()  # a simulation that begins anew
        if joints.stamp_ns - self._decided_ns >= (PERIOD_S - _EARLY_S) * 1e9:
            self._decide(joints)

    def _checked(self, joints: JointReading) -> JointReading:
        """A reading that has every joint of the walking policy, with its velocity."""
        for name in self._walker.policy.joints:
            values = joints.positions.get(name, math.nan), joints.velocities.get(name, math.nan)
            if not all(map(math.isfinite, values)):
                raise MessageError(f'no position and velocity of {name}')
        return joints

    def _refuse(self, problem: str) -> None:
        self._counts['messages_rejected'] += 1
        self._problem = problem
        self.warn('input', problem)

    # --- what is done -----------------------------------------------------------------------

    def _decide(self, joints: JointReading) -> None:
        """Command the joints for the next `PERIOD_S`, by what is known now."""
        now_ns = joints.stamp_ns
        imu = self._imu
        self._is_blind = imu is None or now_ns - imu.stamp_ns > self._imu_stale_s * 1e9
        if imu is None or self._is_blind:
            return
        self._first_ns = self._first_ns or now_ns
        self._decided_ns = now_ns
        self._counts['decisions'] += 1
        positions = joints.positions
        if not self._walks:
            off = max(abs(positions[n] - h) for n, h in zip(self._names, self._home, strict=True))
            self._walks = off < READY_WITHIN_RAD \
                or now_ns - self._first_ns > READY_WITHIN_S * 1e9
        if not self._walks:
            self._command(now_ns, self._home)
            return
        if self._let_go_ns is None or now_ns - self._let_go_ns >= LET_GO_EVERY_S * 1e9:
            self._let_go_ns = now_ns
            self._let_go_out.publish(Empty())
        self._command(now_ns, self._stepping(joints, imu))

    def _stepping(self, joints: JointReading, imu: ImuReading) -> NDArray[np.float64]:
        """Targets of the own joints [rad]."""
        order = self._walker.policy.joints
        gravity = Rotation.from_quat(imu.orientation_xyzw).inv().apply((0.0, 0.0, -1.0))
        felt = Felt(gravity, imu.angular_velocity,
                    np.array([joints.positions[n] for n in order]),
                    np.array([joints.velocities[n] for n in order]))
        told = self._walker.targets(felt, self._asked(joints.stamp_ns), self._measured)
        if told is not None:
            return told[self._own]
        if self._kept is None:
            self._kept = felt.positions[self._own]
            self.get_logger().error('The robot has fallen. Walking ends until time begins anew.')
        return self._kept

    def _asked(self, now_ns: int) -> NDArray[np.float64]:
        """The command, or to stand where it is old or nobody measures what comes of it."""
        sensors = self._robot.sensors
        if now_ns - self._twist_ns > self._robot.command_timeout_s * 1e9 \
                or now_ns - self._odom_ns > sensors['odom'].timeout_s * 1e9:
            return np.zeros(3)
        return self._twist

    def _command(self, stamp_ns: int, targets: NDArray[np.float64]) -> None:
        named: Mapping[str, float] = dict(zip(self._names, targets.tolist(), strict=True))
        self._targets_out.publish(self._form.message(stamp_ns, named, PERIOD_S))

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        if self._walker.fallen:
            return Health(ERROR, 'the robot has fallen', self._counts)
        if (silent_s := time.monotonic() - self._heard_s) > SILENT_S:
            since = f' for {silent_s:.1f} s' if math.isfinite(silent_s) else ' yet'
            return Health(ERROR, f'no joint states{since}', self._counts)
        if self._is_blind:
            return Health(ERROR, 'no walking/imu', self._counts)
        if not self._walks:
            return Health(WARN, 'on the way to the home posture', self._counts)
        if self._problem:
            return Health(WARN, self._problem, self._counts)
        return Health(OK, '', self._counts)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(WalkingController, args)


if __name__ == '__main__':
    main()
