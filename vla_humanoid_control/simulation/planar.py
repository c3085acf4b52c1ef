"""A body whose base slides: joints by position servos, legs that swing along for the eye."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.body import Array, Joints
from vla_humanoid_control.simulation.gait import Gait
from vla_humanoid_control.support.geometry import heading, rotate, wrap


class PlanarBody:
    """The base follows its twist on planar joints, the first three of the model.

    Args:
        robot: The robot.
        model: The robot in its room, with an actuator of each joint's name.
        data: The state.
    """

    fallen = False
    tilt_rad = 0.0

    def __init__(self, robot: RobotSpec, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._joints = Joints(robot, model, data)
        self._ctrl = {n: model.actuator(n).id for n in robot.joint_names}
        self._twist: Array = np.zeros(3)
        self._gait = Gait()

    def reset(self, joints: Mapping[str, float]) -> None:
        """See `Body`."""
        self._joints.place(joints)
        for name, value in joints.items():
            self._data.ctrl[self._ctrl[name]] = value
        self._twist = np.zeros(3)
        self._gait = Gait()

    def place(self, pose: Array) -> None:
        """See `Body`."""
        self._data.qpos[:3] = pose
        self._data.qvel[:3] = 0
        mujoco.mj_forward(self._model, self._data)

    def follow(self, base: Array, twist: Array) -> None:
        """See `Body`. The judge counts whole turns."""
        yaw = self._data.qpos[2] + wrap(heading(base[3:]) - self._data.qpos[2])
        self._data.qpos[:3] = (base[0], base[1], yaw)
        self._data.qvel[:3] = (*rotate(twist[0], twist[1], yaw), twist[2])

    def place_joints(self, positions: Mapping[str, float]) -> None:
        """See `Body`."""
        self._joints.place(positions)
        for name, value in positions.items():
            self._data.ctrl[self._ctrl[name]] = value
        mujoco.mj_forward(self._model, self._data)

    def apply(self, twist: Array, joints: Mapping[str, float]) -> None:
        """See `Body`."""
        self._twist = np.array(twist, dtype=float)
        for name, target in joints.items():
            self._data.ctrl[self._ctrl[name]] = target

    def advance(self, duration_s: float) -> None:
        """See `Body`."""
        data = self._data
        for _ in range(max(1, round(duration_s / self._model.opt.timestep))):
            data.ctrl[:2] = rotate(self._twist[0], self._twist[1], data.qpos[2])
            data.ctrl[2] = self._twist[2]
            mujoco.mj_step(self._model, data)
        # The legs step along with the base, in place of a walking controller's own motion.
        for name, target in self._gait.targets(self._twist, duration_s).items():
            data.ctrl[self._ctrl[name]] = target

    def pose(self) -> Array:
        """See `Body`."""
        return np.array(self._data.qpos[:3])

    def twist(self) -> Array:
        """See `Body`."""
        vx, vy, turn = self._data.qvel[:3]
        return np.array([*rotate(vx, vy, -self._data.qpos[2]), turn])

    def target(self, joint: str) -> float:
        """See `Body`."""
        return float(self._data.ctrl[self._ctrl[joint]])
