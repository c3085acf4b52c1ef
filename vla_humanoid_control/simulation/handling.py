"""The scripted expert with fingers: it picks things up. It sees the simulator's state.

A hand comes down around the object with its palm upright, thumb on the near side, closes, and
lifts. Everything is told in the frame of the base: x forward, y left, z up, the origin on the
floor. Arms are moved by inverse kinematics; what they lack is made up for by moving the targets on
from where they are, since a robot's joints give way to friction and to what a hand carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.contacts import grasped_by
from vla_humanoid_control.simulation.scene import workplace
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError

Array = NDArray[np.float64]

LIFT_M = 0.16
"""So high it lifts a hand that holds something [m]."""
_HALF_HAND_M = 0.05
"""A hand is so broad that its middle stays above a table by this [m]."""
_OVER_M = 0.03
"""An open hand passes over things by so much [m]."""
_STEP_M = 0.05
"""A hand is sent so far ahead of where it is at once [m]."""
_ONTO_M, _AT_M = 0.025, 0.014
"""Within the first of an object's middle a hand comes down on it, within the second it closes."""
_SHIFT_M = 0.05
"""By so much an object may shift in a hand that closes [m]."""
_CLOSING = 0.15
"""A hand that has come by this share of the way to its grip is closing."""
_GAIN, _LEAD_RAD = 0.4, 0.25
"""Targets move on by this share of what a joint lacks, and are ahead of it by so much at most."""


@dataclass(frozen=True)
class Handled:
    """An object that is to be picked up, and who is to do it.

    Attributes:
        position: float64 [3], the object's middle in the base frame [m].
        height: The object's [m].
        rest: Height of its middle above the floor where it stands on the table [m].
        root: float64 [4, 4], from the frame of the robot's root body to that of the base.
        targets: float64 [J], where the joints are driven to, in robot order [rad].
        hand: The hand that has it between its fingers; empty for none.
    """

    position: Array
    height: float
    rest: float
    root: Array
    targets: Array
    hand: str


def handled(world: World, colour: str, shape: str) -> Handled:
    """See `Handled`. Raises UserError if the scene has no such object."""
    index = world.find(colour, shape)
    simulation = world.robot.simulation
    assert simulation is not None  # else there is no world of it
    x, y, yaw = world.base_pose()
    base = _transform(np.array([x, y, 0.0]), np.array(
        [[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]))
    body = int(world.model.body_rootid[world.model.body(simulation.trunk).id])
    inverse = np.linalg.inv(base)
    root = inverse @ _transform(world.data.xpos[body], world.data.xmat[body].reshape(3, 3))
    position = (inverse @ np.append(world.object_poses()[index][:3], 1.0))[:3]
    now = dict(zip(world.robot.joint_names, world.joint_positions())) | world.joint_targets()
    height = world.objects[index].size.height
    return Handled(position, height, workplace(world.robot).height_m + height / 2, root,
                   np.array([now[n] for n in world.robot.joint_names]), grasped_by(world, index))


class Handler:
    """Moves arms and fingers.

    Args:
        robot: One on a free joint, whose hands have fingers.

    Raises:
        UserError: mink is not installed, or the robot's base is on no free joint.
    """

    def __init__(self, robot: RobotSpec) -> None:
        if not robot.walks:
            raise UserError('The expert knows the fingers of robots on legs only; '
                            f'{robot.name} has body: {robot.body}.')
        self._robot = robot
        self._table = workplace(robot).height_m
        self._index = {n: i for i, n in enumerate(robot.joint_names)}
        self._home = {j.name: j.home for j in robot.controlled}
        self._hands = {side: EndEffector(robot, robot.end_effectors[side].site)
                       for side in robot.grasps}

    def pick(self, joints: Array, thing: Handled) -> tuple[dict[str, float], float]:
        """Joint targets and how far it has come, up to 1 where the object is held up.

        Args:
            joints: float64 [J], in robot order [rad].
            thing: What to pick up.
        """
        places = {side: self.place(joints, thing, side) for side in self._hands}
        side = thing.hand or min(places, key=lambda s: float(
            np.linalg.norm(places[s] - thing.position)))
        hand, lifted = places[side], thing.position[2] - thing.rest
        if thing.hand:
            up = LIFT_M - lifted
            return (self._move(joints, thing, side, hand + (0, 0, up), shut=True),
                    1.0 if up < 0.03 else 0.6)
        low = max(self._table + _HALF_HAND_M, thing.position[2])
        aside = float(np.hypot(*(thing.position - hand)[:2]))
        around = aside < _AT_M and abs(hand[2] - low) < _AT_M
        closing = self._shut(joints, side) > _CLOSING and aside < _SHIFT_M \
            and abs(hand[2] - low) < _SHIFT_M
        if around or closing:
            return self._move(joints, thing, side, np.array([*hand[:2], low]), shut=True), 0.4
        over = thing.position[2] + thing.height / 2 + _HALF_HAND_M + _OVER_M
        goal = np.array([*thing.position[:2], low if aside < _ONTO_M else over])
        if aside > 2 * _ONTO_M and hand[2] < over - _OVER_M:
            goal[:2] = hand[:2]  # up first
        return self._move(joints, thing, side, goal, shut=False), 0.1

    def place(self, joints: Array, thing: Handled, side: str) -> Array:
        """float64 [3], where a hand's grasp point is [m]."""
        there = self._hands[side].pose(joints, 3)
        place: Array = (thing.root @ np.append(there, 1.0))[:3]
        return place

    def _shut(self, joints: Array, side: str) -> float:
        """The share of the way to its grip that a hand has come."""
        grip = self._robot.end_effectors[side].grip
        return float(np.mean([(joints[self._index[n]] - self._home[n]) / (v - self._home[n])
                              for n, v in grip.items()]))

    def _move(self, joints: Array, thing: Handled, side: str, goal: Array, *,
              shut: bool) -> dict[str, float]:
        """Targets that bring a hand towards a place, palm upright and fingers ahead."""
        end = self._hands[side]
        step = goal - self.place(joints, thing, side)
        length = float(np.linalg.norm(step))
        goal = goal + step * (min(1.0, _STEP_M / max(length, 1e-9)) - 1.0)
        inverse = np.linalg.inv(thing.root)
        level = np.zeros(4)
        mujoco.mju_mat2Quat(level, inverse[:3, :3].ravel())
        target = np.concatenate([(inverse @ np.append(goal, 1.0))[:3], level])
        wanted = end.follow(joints, target[None])[0]
        told = dict(self._home)
        for other in self._hands:  # where the other arm is, it stays
            if other != side:
                told |= {n: float(thing.targets[self._index[n]])
                         for n in self._robot.end_effectors[other].joints}
        for name, value in zip(end.joints, wanted):
            i = self._index[name]
            ahead = thing.targets[i] + _GAIN * (value - joints[i])
            told[name] = float(np.clip(ahead, joints[i] - _LEAD_RAD, joints[i] + _LEAD_RAD))
        if shut:
            told |= self._robot.end_effectors[side].grip
        return told


def _transform(position: Array, rotation: Array) -> Array:
    """float64 [4, 4]."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix

