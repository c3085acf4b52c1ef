"""A body that walks on its own legs, by a walking policy under the base twist.

Every physics step each joint gets the torque of a PD law towards its target, within the motor's
limits. The walking policy sets the targets of legs and waist, 50 times a second; those of the arms
are whoever commands them, and there gravity is made up for, as robot drivers do by feed-forward.
So are those of fingers, which a walking policy does not know: their gains stand in the robot file.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from vla_humanoid_control.robot.anatomy import SimulationSpec
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.body import Array, Joints
from vla_humanoid_control.simulation.walking import PERIOD_S, Felt, tilt, walker_of
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import rotate, wrap

_SETTLE_S = 1.0
"""So long it stands by itself before it is put into a scene, once [s]."""
_AWAY = np.array([-30.0, 0.0, 0.0])  # where nothing of the room is


class LeggedBody:
    """A floating base on legs.

    After a fall it lies where it is: the walking policy rests and the joints hold their places,
    with torque, until `reset`.

    Args:
        robot: The robot.
        simulation: How it is simulated.
        model: The robot in its room, on a free joint, without actuators.
        data: The state.

    Raises:
        UserError: Its walking policy is not installed, or is none for this robot; or the robot
            file has no gains for the joints that the policy does not know.
    """

    def __init__(self, robot: RobotSpec, simulation: SimulationSpec, model: mujoco.MjModel,
                 data: mujoco.MjData) -> None:
        self._model = model
        self._use(robot, mujoco.MjData(model))
        self._home = {j.name: j.home for j in robot.joints}
        commanded = frozenset(j.name for j in robot.controlled)
        self._walker = walker_of(robot)
        # Those of the walking policy come first.
        walking = self._walker.policy.joints
        self._walk = len(walking)
        others = tuple(n for n in robot.joint_names if n not in walking)
        self._names = (*walking, *others)
        self._kp, self._kd = self._gains(robot, simulation, others)
        order = np.array([self._joints.index[n] for n in self._names])
        self._q, self._v = self._joints.qpos[order], self._joints.qvel[order]
        limited = [model.joint(n).id for n in self._names]
        self._most = np.where(model.jnt_actfrclimited[limited], model.jnt_actfrcrange[limited, 1],
                              np.inf)
        self._commanded = np.array([n in commanded for n in self._names])
        self._place_of = {n: i for i, n in enumerate(self._names)}
        free = next(j for j in range(model.njnt)
                    if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE
                    and model.jnt_bodyid[j] == model.body_rootid[model.body(simulation.trunk).id])
        self._root, self._speed = int(model.jnt_qposadr[free]), int(model.jnt_dofadr[free])
        self._stance = self._standing()
        self._use(robot, data)
        self._begin()

    def _gains(self, robot: RobotSpec, simulation: SimulationSpec,
               others: tuple[str, ...]) -> tuple[Array, Array]:
        """Stiffness and damping of every joint, in the order of `_names`."""
        if others and simulation.gains is None:
            raise UserError(f'Robot file {robot.file or robot.name}: simulation.gains is missing, '
                            f'the gains of joints that its walking policy does not know: '
                            f'{", ".join(others)}.')
        stiffness, damping = simulation.gains or (0.0, 0.0)
        policy = self._walker.policy
        return (np.append(policy.kp, np.full(len(others), stiffness)),
                np.append(policy.kd, np.full(len(others), damping)))

    def _use(self, robot: RobotSpec, data: mujoco.MjData) -> None:
        self._data, self._joints = data, Joints(robot, self._model, data)

    def _begin(self) -> None:
        self._twist: Array = np.zeros(3)
        self._targets = np.array([self._home[n] for n in self._names])
        self._steps = 0
        self._yaw = 0.0
        self._walker.reset()

    @property
    def fallen(self) -> bool:
        """See `Body`."""
        return self._walker.fallen

    @property
    def tilt_rad(self) -> float:
        """See `Body`."""
        return tilt(self._gravity())

    def reset(self, joints: Mapping[str, float]) -> None:
        """See `Body`."""
        self._begin()
        height, legs = self._stance[0], self._stance[1:]
        self._data.qpos[self._q] = legs
        self._set_upright(np.zeros(3), height)
        self.place_joints({n: v for n, v in joints.items()
                           if self._commanded[self._place_of[n]]})

    def _standing(self) -> Array:
        """Height of the base [m] and joint positions, as it stands by itself in an empty place."""
        self._begin()
        self._joints.place(self._home)
        self._set_upright(_AWAY, float(self._model.qpos0[self._root + 2]))
        self.advance(_SETTLE_S)
        return np.array([self._data.qpos[self._root + 2], *self._data.qpos[self._q]])

    def place(self, pose: Array) -> None:
        """See `Body`."""
        self._set_upright(pose, float(self._data.qpos[self._root + 2]))

    def _set_upright(self, pose: Array, height: float) -> None:
        x, y, yaw = pose
        self._data.qpos[self._root:self._root + 7] = (x, y, height, np.cos(yaw / 2), 0, 0,
                                                      np.sin(yaw / 2))
        self._data.qvel[self._speed:self._speed + 6] = 0
        self._data.qvel[self._v] = 0
        self._yaw = float(yaw)
        mujoco.mj_forward(self._model, self._data)

    def follow(self, base: Array, twist: Array) -> None:
        """See `Body`. What else moves of the base is not known, and taken for still."""
        data = self._data
        root = np.zeros(3)  # seen from the base, which the model has below it
        mujoco.mju_rotVecQuat(root, self._model.qpos0[self._root:self._root + 3], base[3:])
        data.qpos[self._root:self._root + 7] = (*(base[:3] + root), *base[3:])
        data.qvel[self._speed:self._speed + 6] = (
            *rotate(twist[0], twist[1], self._heading()), 0.0, 0.0, 0.0, twist[2])
        self._yaw += wrap(self._heading() - self._yaw)
        self._walker.notice(self._gravity())

    def place_joints(self, positions: Mapping[str, float]) -> None:
        """See `Body`."""
        self._joints.place(positions)
        self._aim(positions)
        mujoco.mj_forward(self._model, self._data)

    def apply(self, twist: Array, joints: Mapping[str, float]) -> None:
        """See `Body`."""
        self._twist = np.array(twist, dtype=float)
        self._aim(joints)

    def _aim(self, joints: Mapping[str, float]) -> None:
        for name, target in joints.items():
            self._targets[self._place_of[name]] = target

    def advance(self, duration_s: float) -> None:
        """See `Body`."""
        data, model = self._data, self._model
        period = round(PERIOD_S / model.opt.timestep)
        for _ in range(max(1, round(duration_s / model.opt.timestep))):
            if self._steps % period == 0:
                self._decide()
            self._steps += 1
            torque = self._kp * (self._targets - data.qpos[self._q]) \
                - self._kd * data.qvel[self._v]
            torque += np.where(self._commanded, data.qfrc_bias[self._v], 0.0)
            data.qfrc_applied[self._v] = np.clip(torque, -self._most, self._most)
            mujoco.mj_step(model, data)
        self._yaw += wrap(self._heading() - self._yaw)

    def _decide(self) -> None:
        """Let the walking policy set the targets of its joints."""
        data = self._data
        if self.fallen:
            return
        felt = Felt(self._gravity(), np.array(data.qvel[self._speed + 3:self._speed + 6]),
                    np.array(data.qpos[self._q[:self._walk]]),
                    np.array(data.qvel[self._v[:self._walk]]))
        told = self._walker.targets(felt, self._twist, self.twist())
        if told is None:
            self._targets = np.array(data.qpos[self._q])
            return
        own = ~self._commanded[:self._walk]
        self._targets[:self._walk][own] = told[own]

    def _rotation(self) -> Array:
        """From the frame of the base to the world's, float64 [3, 3]."""
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, self._data.qpos[self._root + 3:self._root + 7])
        return turn.reshape(3, 3)

    def _gravity(self) -> Array:
        gravity: Array = -self._rotation()[2]
        return gravity

    def _heading(self) -> float:
        turn = self._rotation()
        return float(np.arctan2(turn[1, 0], turn[0, 0]))

    def pose(self) -> Array:
        """See `Body`."""
        x, y = self._data.qpos[self._root:self._root + 2]
        return np.array([x, y, self._yaw])

    def twist(self) -> Array:
        """See `Body`."""
        vx, vy = self._data.qvel[self._speed:self._speed + 2]
        # The free joint's angular velocity is in the frame of the base.
        turn = float(self._rotation()[2] @ self._data.qvel[self._speed + 3:self._speed + 6])
        return np.array([*rotate(vx, vy, -self._heading()), turn])

    def target(self, joint: str) -> float:
        """See `Body`."""
        return float(self._targets[self._place_of[joint]])
