"""The scripted expert: what to do in a state, for any task. It sees the simulator's state.

The expert is a function of the state alone, so it can label any state for any task, those that a
policy gets into included. Its chunk of actions comes from rolling a kinematic model forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.robot.kinematics import ArmKinematics
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.handling import Handled, Handler, handled
from vla_humanoid_control.simulation.layout import STAND_OFF_M
from vla_humanoid_control.simulation.scene import workplace
from vla_humanoid_control.simulation.spots import discs_of
from vla_humanoid_control.simulation.twins import locate_from, meant
from vla_humanoid_control.simulation.ways import way_around
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import advance, wrap
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import (
    HAND_FAMILIES,
    MOVE_M,
    MOVES,
    OBJECT_FAMILIES,
    TURN_RAD,
    WAVE_S,
)

REACHABLE_M = 0.75
"""Farther from the base than this no hand comes [m]."""
WAVE_HZ = 0.5
"""A period that the policy's time features have: it cannot keep time with another."""
SEARCH_RAD_S = 0.8

_ARRIVED_RAD = 0.25
"""A joint this far from its posture has come to it [rad]."""
_RAISED_RAD = 0.45
"""From so far away of the posture on, a hand that is on its way up waves [rad]."""


@dataclass(frozen=True)
class Target:
    """The object that a task is about, as seen from the base.

    Attributes:
        position: float64 [3], its centre in the base frame, floor at z = 0 [m].
        height: Its height [m].
        seen: Whether the head camera sees it.
    """

    position: NDArray[np.float64]
    height: float
    seen: bool


@dataclass(frozen=True)
class ExpertState:
    """What the expert looks at.

    Attributes:
        joints: float64 [J], in robot order [rad; m for grippers].
        elapsed_s: Time since the instruction began [s].
        travelled: float64 [3], see `RobotObservation.travelled`.
        target: The task's object; None for tasks without one, or where it is not in the scene.
        handled: The same for `HAND_FAMILIES`.
        discs: float64 [N, 3], what the way to the target must go around, x, y and radius in the
            base frame [m]; see `ways.way_around`.
    """

    joints: NDArray[np.float64]
    elapsed_s: float
    travelled: NDArray[np.float64]
    target: Target | None = None
    handled: Handled | None = None
    discs: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))


_RIGHT_COSTS_M = 0.5
"""It goes around things on their left, unless that is so much longer [m]. A policy that learns the
mean of what it is shown would go straight at what is passed on either side."""
UNDER_WAY = 0.70
"""Progress stays below this until the task is done, and is 1 then: a gap that can be learnt."""


@dataclass(frozen=True)
class ExpertAction:
    """One action and how far the task has come; progress is 1 exactly when it is done.

    The action goes on towards the middle of what counts as done: a policy that comes to rest a
    little short of it is done all the same.
    """

    twist: NDArray[np.float64]
    joints: dict[str, float]
    progress: float


class Expert:
    """Labels states with actions."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._index = {n: i for i, n in enumerate(robot.joint_names)}
        self._controlled = tuple(j.name for j in robot.controlled)
        self._controlled_index = np.array([self._index[n] for n in self._controlled])
        self._home = {j.name: j.home for j in robot.controlled}
        self._lower = np.array([j.lower for j in robot.controlled])
        self._upper = np.array([j.upper for j in robot.controlled])
        self._speed = np.array([j.motion.velocity for j in robot.controlled])
        self._fastest = robot.top_twist
        self._arms = ArmKinematics(robot)
        self._table_m = workplace(robot).height_m
        self._gestures = robot.gestures
        # What looks down is what keeps a target in sight; a robot without a neck has none.
        self._nod = next(iter(robot.gestures.postures.get('look_down', {})), None)
        self._handler = Handler(robot) if robot.grasps else None
        self._rules: dict[str, Callable[[Task, ExpertState], ExpertAction]] = {
            'move': self._move, 'turn': self._turn, 'stop': self._stop, 'go_to': self._go_to,
            'reach': self._reach, 'gesture': self._gesture,
            'pick': self._handle, 'place': self._handle}

    def act(self, task: Task, state: ExpertState) -> ExpertAction:
        """The action for one state.

        Raises:
            UserError: The robot file lacks the posture or the fingers that the task needs, or the
                object is not in the scene.
        """
        return self._rules[task.family](task, state)

    def chunk(self, task: Task, state: ExpertState,
              horizon: int) -> tuple[NDArray[np.float32], float]:
        """The next actions, as they would follow if the body did what it is told.

        Returns:
            float32 [H, D] in the channels of the robot file, and the progress in `state`.
        """
        rows, progress = [], 0.0
        for step in range(horizon):
            action = self.act(task, state)
            progress = action.progress if step == 0 else progress
            joints = np.clip([action.joints[n] for n in self._controlled],
                             self._lower, self._upper)
            rows.append(np.concatenate([action.twist, joints]))
            state = self._roll(state, action.twist, joints)
        return np.array(rows, dtype=np.float32), progress

    def _roll(self, state: ExpertState, twist: NDArray[np.float64],
              joints: NDArray[np.float64]) -> ExpertState:
        reach = self._speed * CHUNK_DT_S * 0.8
        now = state.joints.copy()
        i = self._controlled_index
        now[i] += np.clip(joints - now[i], -reach, reach)
        target, discs = state.target, state.discs
        if target is not None:
            position = _seen_from(twist * CHUNK_DT_S, target.position)
            discs = _all_seen_from(twist * CHUNK_DT_S, discs)
            # A target that swings into view is taken to be seen from then on.
            in_view = abs(np.arctan2(position[1], position[0])) < 0.62
            target = replace(target, position=position, seen=target.seen or bool(in_view))
        thing = state.handled
        if thing is not None:
            driven = thing.targets.copy()
            driven[i] = joints
            thing = replace(thing, targets=driven)
        return ExpertState(now, state.elapsed_s + CHUNK_DT_S,
                           advance(state.travelled, twist, CHUNK_DT_S), target, thing, discs)

    def _move(self, task: Task, state: ExpertState) -> ExpertAction:
        way = np.array(MOVES[task.arguments[0]])
        along = float(state.travelled[:2] @ way)
        left = MOVE_M - along
        speed = 0.4 if way[0] else 0.3
        velocity = way * np.clip(1.8 * left, 0.0, speed) if left > 0.03 else np.zeros(2)
        # Where a turn crept in, turn back.
        twist = np.array([*velocity, np.clip(-1.0 * state.travelled[2], -.3, .3)])
        done = left <= 0.10
        return self._upright(twist, _progress(done, along / MOVE_M))

    def _turn(self, task: Task, state: ExpertState) -> ExpertAction:
        goal = TURN_RAD[task.arguments[0]]
        left = goal - state.travelled[2]
        rate = np.clip(2.0 * left, -0.8, 0.8) if abs(left) > 0.02 else 0.0
        progress = _progress(abs(left) < 0.15, state.travelled[2] / goal)
        return self._upright(np.array([0, 0, rate]), progress)

    def _stop(self, task: Task, state: ExpertState) -> ExpertAction:
        joints = {n: float(state.joints[self._index[n]]) for n in self._controlled}
        return ExpertAction(np.zeros(3), joints, 1.0)

    def _go_to(self, task: Task, state: ExpertState) -> ExpertAction:
        target = state.target
        if target is None or not target.seen:
            # Nothing in the image tells which way is shorter: always search to the left.
            return self._upright(np.array([0, 0, SEARCH_RAD_S]), 0.0)
        distance = float(np.hypot(target.position[0], target.position[1]))
        bearing = wrap(np.arctan2(target.position[1], target.position[0]))
        ahead = float(np.clip(1.2 * (distance - STAND_OFF_M), -0.15, 0.5))
        forward = ahead * max(0.0, np.cos(bearing)) ** 4
        turn = float(np.clip(1.8 * bearing, -0.8, 0.8))
        sideways = 0.0
        corners = way_around(np.zeros(2), target.position[:2], state.discs, _RIGHT_COSTS_M)
        if len(corners) > 1 and distance > STAND_OFF_M:
            # It keeps its eyes on the target, and steps aside: what is out of sight is lost.
            forward, sideways = self._along(corners[0], max(0.0, np.cos(bearing)) ** 4)
        done = abs(distance - STAND_OFF_M) < 0.10 and abs(bearing) < 0.25
        progress = _progress(done, 1 - (distance - STAND_OFF_M) / 3)
        neck = float(np.clip(np.arctan2(1.0, distance) - 0.22, 0.15, 0.85))
        return self._upright(np.array([forward, sideways, turn]), progress, neck)

    def _along(self, corner: NDArray[np.float64], share: float) -> tuple[float, float]:
        """Velocity towards a corner of a way [m/s], as fast as the base can in that direction."""
        ahead, left = corner / max(float(np.hypot(*corner)), 1e-6)
        fastest = min(0.5, *(f / abs(part) for f, part in zip(self._fastest[:2], (ahead, left))
                             if abs(part) > 1e-6))
        return share * fastest * ahead, share * fastest * left

    def _reach(self, task: Task, state: ExpertState) -> ExpertAction:
        target = state.target
        if target is None or np.hypot(*target.position[:2]) > REACHABLE_M:
            return self._upright(np.zeros(3), 0.0, 0.70)
        side = 'left' if target.position[1] > 0 else 'right'
        joints = self._nodding(0.70)
        hand = self._arms.hand(state.joints, side)
        top = target.position + np.array([0, 0, target.height / 2])
        offset = top[:2] - hand[:2]
        lateral = float(np.hypot(*offset))
        goal = top + np.array([0, 0, 0.02])
        near = lateral < 0.05
        if hand[2] < self._table_m + 0.06 and not near and not self._folded(state, side):
            # Fold the arm first: straight forward would run the hand into the table's edge.
            joints.update(self._posture(f'ready_{side}'))
            return ExpertAction(np.zeros(3), joints, 0.05)
        # Down only over the object; the servos leave a hand off by a centimetre or two.
        clearance = 0.12 * float(np.clip((lateral - 0.03) / 0.02, 0, 1))
        waypoint = goal + np.array([0, 0, clearance])
        if not near:
            waypoint[2] = max(waypoint[2], self._table_m + 0.20)
        step = waypoint - hand
        length = float(np.linalg.norm(step))
        waypoint = hand + step * min(1.0, 0.07 / max(length, 1e-6))
        joints.update(self._arms.towards(state.joints, side, waypoint,
                                         self._posture(f'reaching_{side}')))
        remaining = float(np.linalg.norm(goal - hand))
        progress = _progress(remaining < 0.04, max(0.05, 1 - remaining / 0.5))
        return ExpertAction(np.zeros(3), joints, progress)

    def _handle(self, task: Task, state: ExpertState) -> ExpertAction:
        if self._handler is None or state.handled is None:
            raise UserError(f'{task.key} needs a robot whose hands have fingers, and the '
                            'object in the scene.')
        joints, share, turn = self._handler.act(state.joints, state.handled)
        return ExpertAction(np.array([0.0, 0.0, turn]), joints, _progress(share >= 1, share))

    def _folded(self, state: ExpertState, side: str) -> bool:
        """Whether the forearm is up, so that the hand is above the table from here on."""
        return self._short_of(f'ready_{side}', state) < _ARRIVED_RAD

    def _short_of(self, name: str, state: ExpertState) -> float:
        """How far the joint that a posture moves most has still to go to it [rad]."""
        posture = self._posture(name)
        joint = max(posture, key=lambda n: abs(posture[n] - self._home[n]))
        way = posture[joint] - self._home[joint]
        left = posture[joint] - float(state.joints[self._index[joint]])
        return left if way > 0 else -left

    def _gesture(self, task: Task, state: ExpertState) -> ExpertAction:
        gesture = task.arguments[0]
        if gesture == 'wave':
            return self._wave(state)
        joints = {**self._home, **self._posture(gesture)}
        now = {n: state.joints[self._index[n]] for n in self._controlled}
        error = max(abs(now[n] - joints[n]) for n in joints if 'gripper' not in n)
        return ExpertAction(np.zeros(3), joints, _progress(error < 0.25, 1 - error / 2.0))

    def _wave(self, state: ExpertState) -> ExpertAction:
        posture = self._posture('wave')
        joints = {**self._home, **posture}
        raised = self._short_of('wave', state) < _RAISED_RAD
        if raised:
            phase = np.sin(2 * np.pi * WAVE_HZ * state.elapsed_s)
            for name, amplitude in self._gestures.swing.items():
                joints[name] = posture[name] + amplitude * phase
        done = state.elapsed_s >= WAVE_S and raised
        return ExpertAction(np.zeros(3), joints, _progress(done, state.elapsed_s / WAVE_S))

    def _posture(self, name: str) -> Mapping[str, float]:
        if (posture := self._gestures.postures.get(name)) is None:
            raise UserError(f'The robot file has no posture {name}.')
        return posture

    def _nodding(self, pitch: float) -> dict[str, float]:
        """Home, with the head down [rad], where the robot has a neck."""
        return {**self._home, **({} if self._nod is None else {self._nod: pitch})}

    def _upright(self, twist: NDArray[np.float64], progress: float,
                 pitch: float | None = None) -> ExpertAction:
        joints = dict(self._home) if pitch is None else self._nodding(pitch)
        twist = np.clip(twist, -self._fastest, self._fastest)
        return ExpertAction(twist, joints, float(progress))


def observe(world: World, task: Task, elapsed_s: float,
            travelled: NDArray[np.float64]) -> ExpertState:
    """The expert's view of a world."""
    target, discs = None, np.zeros((0, 3))
    start = world.layout.base_pose
    if task.family in OBJECT_FAMILIES and (goals := meant(world.objects, start, task)):
        index = goals[0]
        local = _seen_from(world.base_pose(), world.object_poses()[index][:3])
        target = Target(local, world.objects[index].size.height, world.sees(index))
        if task.family == 'go_to':
            discs = _discs(world, index)
    thing = handled(world, task) if task.family in HAND_FAMILIES else None
    return ExpertState(world.joint_positions(), elapsed_s, np.array(travelled), target, thing,
                       discs)


def _discs(world: World, target: int) -> NDArray[np.float64]:
    """What stands on the floor but the target, for `ExpertState.discs`."""
    poses = world.object_poses()
    standing = [poses[i, :2] for i, p in enumerate(world.objects)
                if p.on_table is None and i != target]
    return _all_seen_from(world.base_pose(), discs_of(standing, world.layout.obstacles))


def _seen_from(pose: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """A point [3], or x, y and radius of a disc, as seen from a base at a pose [3]."""
    return np.array([*locate_from(pose, point), point[2]])


def _all_seen_from(pose: NDArray[np.float64], discs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([_seen_from(pose, disc) for disc in discs]).reshape(-1, 3)


def _progress(done: bool, share: float) -> float:
    return 1.0 if done else UNDER_WAY * float(np.clip(share, 0, 1))
