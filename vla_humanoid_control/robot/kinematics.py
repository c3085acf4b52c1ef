"""Forward and inverse kinematics of the arms, on the robot's model alone, in the base frame."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.model import load_model
from vla_humanoid_control.robot.spec import RobotSpec


class ArmKinematics:
    """Hand positions and the joint motion that moves a hand.

    The base frame is x forward, y left, z up, with the origin on the floor below the pelvis.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._model = load_model(robot)
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(n).qposadr[0] for n in robot.joint_names])
        self._index = {n: i for i, n in enumerate(robot.joint_names)}
        self._jacobian = np.zeros((3, self._model.nv))
        self._arms = {}
        self._site = {side: self._model.site(hand.site).id
                      for side, hand in robot.end_effectors.items()}
        for side, hand in robot.end_effectors.items():
            names = list(hand.joints)
            specs = [robot.joint(n) for n in names]
            self._arms[side] = (
                names,
                np.array([self._index[n] for n in names]),
                np.array([self._model.joint(n).dofadr[0] for n in names]),
                np.array([s.lower for s in specs]) + 0.02,
                np.array([s.upper for s in specs]) - 0.02)

    def hand(self, positions: NDArray[np.float64], side: str) -> NDArray[np.float64]:
        """float64 [3], grasp point of a hand [m] for joint positions [J] in robot order."""
        self._data.qpos[:] = self._model.qpos0
        self._data.qpos[self._qpos] = positions
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        return np.array(self._data.site_xpos[self._site[side]])

    def towards(self, positions: NDArray[np.float64], side: str, goal: NDArray[np.float64],
                posture: Mapping[str, float], iterations: int = 6) -> dict[str, float]:
        """Arm joint positions that bring a hand to a nearby goal, by damped least squares.

        The freedom that is left draws the arm towards a posture, without moving the hand.

        Args:
            positions: float64 [J], where the joints are [rad].
            side: One of the robot's end effectors.
            goal: float64 [3], where the grasp point is to be, in the base frame [m].
            posture: Joint name to preferred position [rad].
            iterations: Newton steps.

        Returns:
            Joint name to position for the joints of that arm, within their limits.
        """
        names, index, dofs, lower, upper = self._arms[side]
        q = positions.copy()
        rest = np.array([posture[n] for n in names])
        for _ in range(iterations):
            error = goal - self.hand(q, side)
            mujoco.mj_jacSite(self._model, self._data, self._jacobian, None,
                              self._site[side])
            jacobian = self._jacobian[:, dofs]
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + 4e-4 * np.eye(3))
            pull = 0.25 * (rest - q[index])
            step = inverse @ error + (np.eye(len(dofs)) - inverse @ jacobian) @ pull
            q[index] = np.clip(q[index] + np.clip(step, -.35, .35), lower, upper)
        return dict(zip(names, q[index].tolist()))
