"""The scripted expert with fingers: picks up and puts down, and sees the simulator's state.

A hand comes down around the object with its palm upright, thumb on the near side, closes, and
lifts. Where the object belongs beside another one, the hand carries it there, on the side on which
its palm has room, lowers it until it stands, opens, and rises.

Everything is told in the frame of the base: x forward, y left, z up, the origin on the floor. Arms
are moved by inverse kinematics; what they lack is made up for by moving the targets on from where
they are, since a robot's joints give way to friction and to what a hand carries.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.contacts import borne, grasped_by
from vla_humanoid_control.simulation.scene import workplace
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import mount_pose
from vla_humanoid_control.tasks.task import Task

Array = NDArray[np.float64]

LIFT_M = 0.15
"""So high it lifts a hand that holds something [m]."""
_CARRY_M = 0.09
"""So high it carries it: a hand that is near the shoulder can hardly be level [m]."""
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
_ROOM_M = 0.035
"""Between an object and the one that it is put beside [m]."""
_THERE_M = 0.02
"""So near to where it belongs an object is there [m]."""
_DOWN_M = 0.03
"""What a hand carries it sends down by so much at once [m]."""
_LOW_M = 0.01
"""What is less far above the table may be let go [m]."""
_STEADY = 0.35
"""What leans by less than this share of the angle at which it tips over may be let go; what leans
more is lowered more slowly, while it is righted."""
_CLOSING = 0.15
"""A hand that has come by this share of the way to its grip is closing."""
_ASIDE_M, _INWARDS, _MOST_INWARDS_RAD = 0.12, 6.5, 0.8
"""For an object that is less to the side than the first [m], a hand turns inwards by so much per
metre, up to the third [rad/m, rad]."""
_OUTSIDE_M, _TURN_RAD_S = 0.07, 0.5
"""What is less far on a hand's own side than the first is brought there by turning the body."""
_TURNING = 0.03
"""Beside 1 for a metre, a radian that a hand is turned: close to the body it cannot be level."""
_GAIN, _LEAD_RAD, _MOST_RAD = 0.4, 0.08, 0.15
"""Targets move on by this share of what a joint lacks, of which no more than the third counts, and
are ahead of it by the second at most."""


@dataclass(frozen=True)
class Handled:
    """An object that is to be picked up, and who is to do it.

    Attributes:
        position: float64 [3], the object's middle in the base frame [m].
        height: The object's [m].
        rest: Height of its middle above the floor where it stands on the table [m].
        up: float64 [3], which way its top is.
        steady: Whether it would stay upright where it is let go.
        root: float64 [4, 4], from the frame of the robot's root body to that of the base.
        targets: float64 [J], where the joints are driven to, in robot order [rad].
        hand: The hand that has it between its fingers; empty for none.
        stands: Whether something else bears it.
        other: float64 [3], the middle of the object that it is to be put beside [m]; None where
            it is to be picked up only.
        apart: How far from each other the middles of both are then [m].
    """

    position: Array
    height: float
    rest: float
    up: Array
    steady: bool
    root: Array
    targets: Array
    hand: str
    stands: bool
    other: Array | None
    apart: float


def handled(world: World, task: Task) -> Handled:
    """See `Handled`. Raises UserError if the scene lacks an object of the task."""
    index, *others = (world.find(*pair) for pair in task.objects)
    simulation = world.robot.simulation
    assert simulation is not None  # else there is no world of it
    x, y, yaw = world.base_pose()
    body = int(world.model.body_rootid[world.model.body(simulation.trunk).id])
    inverse = np.linalg.inv(mount_pose((x, y, 0.0, 0.0, 0.0, yaw)))
    root = inverse @ _transform(world.data.xpos[body], world.data.xmat[body].reshape(3, 3))
    places = [(inverse @ np.append(world.object_poses()[i][:3], 1.0))[:3]
              for i in (index, *others)]
    apart = _ROOM_M + sum(world.objects[i].size.radius for i in (index, *others))
    now = dict(zip(world.robot.joint_names, world.joint_positions())) | world.joint_targets()
    height = world.objects[index].size.height
    turned = np.zeros(9)
    mujoco.mju_quat2Mat(turned, world.object_poses()[index][3:7])
    up = inverse[:3, :3] @ turned.reshape(3, 3)[:, 2]
    tips = np.arctan2(world.objects[index].size.radius, height / 2)
    steady = bool(up[2] > np.cos(_STEADY * tips)) or world.objects[index].shape == 'ball'
    return Handled(places[0], height, workplace(world.robot).height_m + height / 2, up, steady,
                   root, np.array([now[n] for n in world.robot.joint_names]),
                   grasped_by(world, index), borne(world, index),
                   places[1] if others else None, apart)


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
        self._hands = {side: EndEffector(robot, robot.end_effectors[side].site, _TURNING)
                       for side in robot.grasps}

    def act(self, joints: Array, thing: Handled) -> tuple[dict[str, float], float, float]:
        """Joint targets, how far it has come, and how fast the body is to turn [rad/s].

        It has come to 1 where the object is held or put down.

        Args:
            joints: float64 [J], in robot order [rad].
            thing: What to pick up, and where to put it.
        """
        places = {side: self.where(joints, thing, side) for side in self._hands}
        side = thing.hand or min(places, key=lambda s: float(
            np.linalg.norm((places[s] - thing.position)[:2])))
        hand = places[side]
        if thing.other is not None:
            # A palm is on its own side of what it holds: there the other object must not be.
            beside = thing.other[:2] + (0, thing.apart if side == 'left' else -thing.apart)
            way = beside - thing.position[:2]
            low = thing.position[2] - thing.rest < _LOW_M  # the hand itself may be on the table
            if (thing.stands or low) and float(np.hypot(*way)) < _THERE_M + 0.01 \
                    and (not thing.hand or thing.steady):
                return *self._release(joints, thing, side, hand), 0.0
            if thing.hand:
                is_up = thing.position[2] - thing.rest > _CARRY_M / 2
                turn = _turn(beside, side) if is_up else 0.0
                return *self._carry(joints, thing, side, hand, None if turn else way), turn
        if thing.hand:
            up = LIFT_M - (thing.position[2] - thing.rest)
            return (self._move(joints, thing, side, hand + (0, 0, up), shut=True),
                    1.0 if up < 0.03 else 0.6, 0.0)
        return *self._seize(joints, thing, side, hand), 0.0

    def _carry(self, joints: Array, thing: Handled, side: str, hand: Array,
               way: Array | None) -> tuple[dict[str, float], float]:
        """Up, across where there is a way, and down onto the table."""
        lifted = thing.position[2] - thing.rest
        aside = 0.0 if way is None else float(np.hypot(*way))
        if way is not None and aside < (_THERE_M if lifted > _CARRY_M / 2 else 3 * _THERE_M):
            down = max(-lifted, -_DOWN_M) - 0.01 if aside < _THERE_M else 0.0
            down *= 1.0 if thing.steady or lifted < 0.02 else 0.3
            step = np.array([*way, down])
        elif way is None or lifted < _CARRY_M - 0.04:
            step = np.array([0.0, 0.0, _CARRY_M - lifted])
        else:
            step = np.array([*way, _CARRY_M - lifted])
        return self._move(joints, thing, side, hand + step, shut=True, righting=True), 0.7

    def _release(self, joints: Array, thing: Handled, side: str,
                 hand: Array) -> tuple[dict[str, float], float]:
        """Open where the hand is, then straight up."""
        over = thing.rest + thing.height / 2 + _HALF_HAND_M + _OVER_M
        up = 0.0 if self._shut(joints, side) > _CLOSING else over - hand[2]
        return (self._move(joints, thing, side, hand + (0, 0, up), shut=False),
                1.0 if hand[2] > over - _OVER_M else 0.9)

    def _seize(self, joints: Array, thing: Handled, side: str,
               hand: Array) -> tuple[dict[str, float], float]:
        """Down around it, and shut."""
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

    def where(self, joints: Array, thing: Handled, side: str) -> Array:
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
              shut: bool, righting: bool = False) -> dict[str, float]:
        """Targets that bring a hand towards a place: palm upright, or what it holds."""
        end = self._hands[side]
        step = goal - self.where(joints, thing, side)
        length = float(np.linalg.norm(step))
        goal = goal + step * (min(1.0, _STEP_M / max(length, 1e-9)) - 1.0)
        inverse = np.linalg.inv(thing.root)
        level = np.zeros(4)
        turned = _inwards(thing, side)
        if righting:
            now = np.zeros(9)
            mujoco.mju_quat2Mat(now, end.pose(joints)[3:7])
            turned = _to_vertical(thing.up) @ thing.root[:3, :3] @ now.reshape(3, 3)
        mujoco.mju_mat2Quat(level, (inverse[:3, :3] @ turned).ravel())
        target = np.concatenate([(inverse @ np.append(goal, 1.0))[:3], level])
        wanted = end.follow(joints, target[None])[0]
        told = dict(self._home)
        for other in self._hands:  # where the other arm is, it stays
            if other != side:
                told |= {n: float(thing.targets[self._index[n]])
                         for n in self._robot.end_effectors[other].joints}
        own = [self._index[n] for n in end.joints]
        lack = wanted - joints[own]
        # All by the same share: a hand that joints reach one by one takes another way.
        lack *= min(1.0, _MOST_RAD / max(float(np.abs(lack).max()), 1e-9))
        for name, i, short in zip(end.joints, own, lack):
            ahead = thing.targets[i] + _GAIN * short
            told[name] = float(np.clip(ahead, joints[i] - _LEAD_RAD, joints[i] + _LEAD_RAD))
        if shut:
            told |= self._robot.end_effectors[side].grip
        return told


def _turn(place: Array, side: str) -> float:
    """How fast the body turns until a place is before the hand's own side [rad/s]."""
    outside = float(place[1] if side == 'left' else -place[1])
    if outside > _OUTSIDE_M:
        return 0.0
    rate = min(_TURN_RAD_S, 6.0 * (_OUTSIDE_M + 0.03 - outside))
    return -rate if side == 'left' else rate


def _to_vertical(up: Array) -> Array:
    """The least rotation that brings a direction up, float64 [3, 3]."""
    axis = np.cross(up, (0.0, 0.0, 1.0))
    turn, matrix = np.zeros(4), np.zeros(9)
    angle = float(np.arctan2(np.linalg.norm(axis), up[2]))
    mujoco.mju_axisAngle2Quat(turn, axis / max(float(np.linalg.norm(axis)), 1e-9), angle)
    mujoco.mju_quat2Mat(matrix, turn)
    return matrix.reshape(3, 3)


def _inwards(thing: Handled, side: str) -> Array:
    """Which way a hand points, float64 [3, 3]: ahead, and before the body inwards.

    An arm that points ahead does not come before the body: the elbow would have to be in it.
    """
    outside = thing.position[1] if side == 'left' else -thing.position[1]
    angle = float(np.clip((_ASIDE_M - outside) * _INWARDS, 0.0, _MOST_INWARDS_RAD))
    angle = -angle if side == 'left' else angle
    return mount_pose((0.0, 0.0, 0.0, 0.0, 0.0, angle))[:3, :3]


def _transform(position: Array, rotation: Array) -> Array:
    """float64 [4, 4]."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix

