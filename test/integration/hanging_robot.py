"""Plays a Unitree G1 in Gazebo: it hangs, its joints follow trajectories, and nobody walks for it.

As `robot/sdf.py` describes it: the gains of the walking policy for legs and waist, those of the
model for the arms, and nothing that makes up for their weight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import mujoco
import numpy as np
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Empty
from trajectory_msgs.msg import JointTrajectory

from vla_humanoid_control.robot.links import read_links
from vla_humanoid_control.robot.spec import LET_GO, WALKING_IMU, WALKING_JOINTS, RobotSpec
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import (
    imu_to_msg,
    joints_to_msg,
    odometry_to_msg,
    twist_to_msg,
)
from vla_humanoid_control.simulation.walking import tilt, walking_gains
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import heading, rotate
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.types import ImuReading

STEP_S, SENSORS_S = 0.001, 0.005
HANGS_M = 0.05


class HangingRobot:
    """The robot with its topics, in a room, in real time.

    Attributes:
        is_let_go: Whether it stands by itself.
        measures: Whether sensors are published.
        command: Base twist that is published at 50 Hz; None for silence.
    """

    def __init__(self, robot: RobotSpec, domain_node: Node) -> None:
        self._robot, self._node = robot, domain_node
        self._world = World(robot)
        self._world.reset(3, Task.from_key('move:forward'))  # with nothing in the way
        self._model, self._data = self._world.model, self._world.data
        self._model.opt.timestep = STEP_S
        gains = {link.joint.name: (link.joint.stiffness, link.joint.servo_damping)
                 for link in read_links(robot) if link.joint and link.joint.spec}
        gains.update(walking_gains(robot))
        self._kp, self._kd = (np.array([gains[n][i] for n in robot.joint_names]) for i in (0, 1))
        self._q = np.array([self._model.joint(n).qposadr[0] for n in robot.joint_names])
        self._v = np.array([self._model.joint(n).dofadr[0] for n in robot.joint_names])
        self._most = np.array([self._model.jnt_actfrcrange[self._model.joint(n).id, 1]
                               for n in robot.joint_names])
        self._targets = np.array([j.home for j in robot.joints])
        self._index = {n: i for i, n in enumerate(robot.joint_names)}
        self._data.qpos[2] += HANGS_M
        self._data.qpos[self._q] = 0.0  # as Gazebo begins
        self._hook = np.array(self._data.qpos[:7])
        self._odometry: tuple[np.ndarray, np.ndarray] = (np.zeros(3), np.zeros(3))
        self.is_let_go, self.measures = False, True
        self.command: np.ndarray | None = None
        self._began_s, self._ticks = time.monotonic(), 0
        node = domain_node
        node.create_subscription(JointTrajectory, WALKING_JOINTS, self._on_targets, qos.STREAM)
        node.create_subscription(Empty, LET_GO, self._on_let_go, qos.EVENT)
        self._joints_out = node.create_publisher(JointState, 'joint_states', qos.SENSOR_OUTPUT)
        self._imu_out = node.create_publisher(Imu, WALKING_IMU, qos.SENSOR_OUTPUT)
        self._odom_out = node.create_publisher(Odometry, 'odom', qos.SENSOR_OUTPUT)
        self._twist_out = node.create_publisher(Twist, 'cmd_vel', qos.STREAM)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def _on_targets(self, msg: JointTrajectory) -> None:
        for name, position in zip(msg.joint_names, msg.points[0].positions, strict=True):
            self._targets[self._index[name]] = position

    def _on_let_go(self, _msg: Empty) -> None:
        self.is_let_go = True

    @property
    def tilt_rad(self) -> float:
        return tilt(-self._rotation()[2])

    @property
    def height_m(self) -> float:
        return float(self._data.qpos[2])

    @property
    def pose(self) -> np.ndarray:
        """x [m], y [m], yaw [rad]."""
        return np.array([*self._data.qpos[:2], heading(self._data.qpos[3:7])])

    def _rotation(self) -> np.ndarray:
        w, x, y, z = self._data.qpos[3:7]
        return Rotation.from_quat((x, y, z, w)).as_matrix()

    def run(self, until: Callable[[], Any], most_s: float) -> bool:
        """Let its time pass, no faster than the clock; whether `until` came to be."""
        end_s = self._data.time + most_s
        while self._data.time < end_s:
            if until():
                return True
            self._tick()
        return False

    def _tick(self) -> None:
        for _ in range(round(SENSORS_S / STEP_S)):
            torque = self._kp * (self._targets - self._data.qpos[self._q]) \
                - self._kd * self._data.qvel[self._v]
            self._data.qfrc_applied[self._v] = np.clip(torque, -self._most, self._most)
            mujoco.mj_step(self._model, self._data)
            if not self.is_let_go:
                self._data.qpos[:7], self._data.qvel[:6] = self._hook, 0.0
        if self.measures:
            self._publish()
        self._ticks += 1
        late_s = time.monotonic() - self._began_s - self._ticks * SENSORS_S
        self._began_s += max(0.0, late_s)  # a busy machine makes it slower, never faster
        until_s = self._began_s + self._ticks * SENSORS_S
        while (left_s := until_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left_s)
        self._executor.spin_once(timeout_sec=0.0)

    def _publish(self) -> None:
        stamp_ns = round(self._data.time * 1e9) + 1
        names = self._robot.joint_names
        positions: Mapping[str, float] = dict(zip(names, self._data.qpos[self._q].tolist()))
        velocities: Mapping[str, float] = dict(zip(names, self._data.qvel[self._v].tolist()))
        w, x, y, z = self._data.qpos[3:7]
        self._imu_out.publish(imu_to_msg(ImuReading(
            stamp_ns, np.array([x, y, z, w]), np.array(self._data.qvel[3:6]), np.zeros(3)),
            self._robot.base_frame))
        if self._ticks % 4 == 0:
            vx, vy = self._data.qvel[:2]
            turn = float(self._rotation()[2] @ self._data.qvel[3:6])
            twist = np.array([*rotate(vx, vy, -self.pose[2]), turn])
            self._odom_out.publish(odometry_to_msg(stamp_ns, self.pose, twist,
                                                   self._robot.base_frame))
            if self.command is not None:
                self._twist_out.publish(twist_to_msg(self.command))
        self._joints_out.publish(joints_to_msg(stamp_ns, positions, velocities))

    def close(self) -> None:
        """Free what it holds."""
        self._executor.shutdown()
        self._world.close()
