"""What a body is to the world: it takes commands, moves as time passes, and tells where it is.

Two kinds: `planar` slides on its base, and `legged` walks. Which one a robot has, its file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec

Array = NDArray[np.float64]


class Body(Protocol):
    """A simulated robot. It moves one model's state, in which the room is as well."""

    @property
    def fallen(self) -> bool:
        """Whether it lies."""

    @property
    def tilt_rad(self) -> float:
        """How far it leans from upright [rad]."""

    def reset(self, joints: Mapping[str, float]) -> None:
        """Begin anew, at rest, with all joints at the given positions [rad; m for grippers]."""

    def place(self, pose: Array) -> None:
        """Put the base somewhere at rest: x [m], y [m], yaw [rad]."""

    def follow(self, base: Array, twist: Array) -> None:
        """Put the base where another world has it, in motion; forward kinematics is the caller's.

        Args:
            base: float64 [7], position [m] and quaternion (w, x, y, z) of the frame `base_frame`.
            twist: float64 [3]: forward, left, turning left [m/s, m/s, rad/s].
        """

    def place_joints(self, positions: Mapping[str, float]) -> None:
        """Put joints at rest at the given positions [rad; m for grippers]."""

    def apply(self, twist: Array, joints: Mapping[str, float]) -> None:
        """Take a base twist [3] and joint targets; joints that are absent keep theirs."""

    def advance(self, duration_s: float) -> None:
        """Let time pass."""

    def pose(self) -> Array:
        """float64 [3]: x [m], y [m], yaw [rad, unwrapped] of the base."""

    def twist(self) -> Array:
        """float64 [3]: true velocity forward, left, turning left [m/s, m/s, rad/s]."""

    def target(self, joint: str) -> float:
        """Where a controlled joint is driven to [rad; m for grippers]."""


class Joints:
    """Where the robot's joints are in a model's state.

    Args:
        robot: The robot; every joint of its is in the model.
        model: The robot in its room.
        data: The state.
    """

    def __init__(self, robot: RobotSpec, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._data = data
        names = robot.joint_names
        self.index = {name: i for i, name in enumerate(names)}
        self.qpos = np.array([model.joint(n).qposadr[0] for n in names])
        self.qvel = np.array([model.joint(n).dofadr[0] for n in names])

    def positions(self) -> Array:
        """float64 [J], in the order of the robot file [rad; m for grippers]."""
        return np.array(self._data.qpos[self.qpos])

    def velocities(self) -> Array:
        """float64 [J] [rad/s; m/s for grippers]."""
        return np.array(self._data.qvel[self.qvel])

    def place(self, positions: Mapping[str, float]) -> None:
        """Put joints at rest; forward kinematics is the caller's."""
        for name, value in positions.items():
            self._data.qpos[self.qpos[self.index[name]]] = value
            self._data.qvel[self.qvel[self.index[name]]] = 0
