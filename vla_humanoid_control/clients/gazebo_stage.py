"""Gazebo as the place of one episode: its scene was set up when Gazebo began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import Point, Quaternion, TransformStamped, Vector3
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vla_humanoid_control.clients.stage import Stage, Wait
from vla_humanoid_control.robot.gazebo_bridge import OBJECT_POSES
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.messages import joints_from_msg, odometry_from_msg
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.mirror import Mirror
from vla_humanoid_control.simulation.settings import Setting
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task


class GazeboStage(Stage):
    """Follows Gazebo by its odometry, joint states and poses of objects, and judges that.

    Args:
        robot: The robot.
        task: What can be done in the scene.
        seed: Decides everything about it.
        setting: What makes it harder.

    Attributes:
        world: The scene; at first as it is to be set up.
    """

    def __init__(self, robot: RobotSpec, task: Task, seed: int, setting: Setting) -> None:
        super().__init__()
        if 'odom' not in robot.sensors:
            raise UserError(f'{robot.name}: without the sensor odom nobody knows where the robot '
                            'is in Gazebo.')
        self._robot, self._scene = robot, (task.key, seed, vars(setting))
        self._mirror = Mirror(robot, seed, task, setting)
        self.world = self._mirror.world
        self._monitor: TaskMonitor | None = None
        self._joints: dict[str, float] = {}
        self._objects: dict[str, NDArray[np.float64]] = {}
        self._is_followed = False

    def enter(self, node: Node, wait: Wait) -> None:
        """See `Stage`."""
        sensors = self._robot.sensors
        for kind, topic, hear in (
                (JointState, sensors['joint_states'].topic, self._on_joints),
                (TransformStamped, OBJECT_POSES, self._on_object),
                (Odometry, sensors['odom'].topic, self._on_odometry)):
            node.create_subscription(kind, topic, hear, qos.SENSOR_INPUT)

    def missing(self) -> str:
        """See `Stage`."""
        if unseen := set(self._mirror.names) - set(self._objects):
            return f'nothing of {", ".join(sorted(unseen))} from Gazebo'
        return '' if self._is_followed else 'no odometry or no joint states from Gazebo'

    def now_s(self) -> float:
        """See `Stage`."""
        return self.world.time_s

    def arrange(self, task: Task, seed: int, scene: Mapping[str, int | str]) -> None:
        """See `Stage`."""
        if (task.key, seed, dict(scene)) != self._scene:
            raise UserError(f'Gazebo has the scene of {self._scene[0]} with the seed '
                            f'{self._scene[1]}. Start it anew for another one.')

    def judge(self, task: Task) -> None:
        """See `Stage`."""
        self._monitor = TaskMonitor(task, self.world)
        self.truth = {}

    def close(self) -> None:
        """Free what it holds."""
        self._mirror.close()

    def _on_joints(self, msg: JointState) -> None:
        self._joints = {name: value for name, value in joints_from_msg(msg).positions.items()
                        if name in self._robot.joint_names}

    def _on_object(self, msg: TransformStamped) -> None:
        if msg.child_frame_id in self._mirror.names:
            self._objects[msg.child_frame_id] = _place(msg.transform.translation,
                                                       msg.transform.rotation)

    def _on_odometry(self, msg: Odometry) -> None:
        if not self._joints:
            return
        reading, world = odometry_from_msg(msg), self.world
        base = _place(msg.pose.pose.position, msg.pose.pose.orientation)
        self._mirror.follow(reading.stamp_ns * 1e-9, base, reading.twist, self._joints,
                            self._objects)
        self._is_followed = True
        if (monitor := self._monitor) is not None:
            monitor.update(world)
            self.truth = {'task': monitor.task.key, 'success': bool(monitor.success(world)),
                          'settle_s': monitor.settle_s,
                          'knocked_over': bool(monitor.knocked_over(world))}


def _place(p: Point | Vector3, q: Quaternion) -> NDArray[np.float64]:
    """float64 [7], position [m] and quaternion (w, x, y, z)."""
    return np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])
