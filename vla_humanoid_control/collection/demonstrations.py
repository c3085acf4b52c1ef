"""Demonstrations: frames from the room, each labelled by the expert for several tasks.

Three sources, all seeded: the robot is put anywhere in a scene (`placed`), the expert acts under
disturbance (`driven`), or a policy acts and the expert corrects (`corrected`, DAgger, Ross 2011).
Because the expert can label any state for any task, one frame teaches that the same image asks for
different actions under different words.

    data/<name>/shard_00000/  frames.npy  joints.npy  samples.npz  meta.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.collection.postures import random_posture, starting_posture
from vla_humanoid_control.data.shards import write_shard
from vla_humanoid_control.interfaces import CHUNK_DT_S, CHUNK_HORIZON, IMAGE_SIZE
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.rooms import ROOMS
from vla_humanoid_control.simulation.scene import TABLE_HALF_M, workplace
from vla_humanoid_control.simulation.settings import PLAIN, Setting, draw_setting
from vla_humanoid_control.simulation.spots import is_free
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import advance, locate
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import (
    COLOURS,
    GESTURES,
    MOVES,
    SHAPES,
    TASK_KEYS,
    TURNS,
)
from vla_humanoid_control.types import CONTROL_PERIOD_S, RobotObservation


class Driver(Protocol):
    """Acts in the expert's place. See `corrections.PolicyDriver`."""

    def begin(self, key: str, seed: int) -> None:
        """Begin the task of that key."""

    def act(self, observation: RobotObservation) -> tuple[NDArray[np.float64], dict[str, float]]:
        """Base twist [3] and joint targets for an observation."""


@dataclass
class Shard:
    """Samples in the making. See `data/shards.py` for the arrays."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    joints: list[NDArray[np.float64]] = field(default_factory=list)
    previous: list[int] = field(default_factory=list)
    rows: list[tuple[int, int, float, NDArray[np.float64], NDArray[np.float32], float,
                     tuple[float, float, float, float]]] = field(default_factory=list)

    def save(self, path: Path, robot: RobotSpec, split: str, seed: int) -> None:
        """Write the shard."""
        names = ('frame', 'task', 'elapsed_s', 'travelled', 'actions', 'progress', 'target')
        write_shard(path, self.frames, self.joints, dict(zip(names, zip(*self.rows))), {
            'tasks': list(TASK_KEYS), 'channels': list(robot.action_channels),
            'joint_names': list(robot.joint_names), 'dt_s': CHUNK_DT_S,
            'image_size': list(IMAGE_SIZE), 'split': split, 'seed': seed}, self.previous)


class Collector:
    """Fills shards. One collector a process."""

    def __init__(self, robot: RobotSpec, driver: Driver | None = None,
                 tasks: Sequence[str] = (), harder: bool = False) -> None:
        """Make a collector; without a driver the disturbed expert acts, without tasks all.

        Half of the scenes are `harder` where that is asked for; see `settings.draw_setting`.
        """
        self._harder = harder
        self._tasks = [Task.from_key(key) for key in tasks]
        self._robot = robot
        self._world = World(robot)
        self._expert = Expert(robot)
        self._driver = driver
        self._task_index = {k: i for i, k in enumerate(TASK_KEYS)}
        self._controlled = [j.name for j in robot.controlled]
        self._speed = np.array([j.motion.velocity for j in robot.controlled])
        self._gestures = [g for g in GESTURES if g in robot.gestures.postures]

    def shard(self, seed: int, frames: int) -> Iterator[tuple[int, Shard]]:
        """Yield the frames so far and the shard, until it has that many frames."""
        shard, episode = Shard(), 0
        while len(shard.frames) < frames:
            rng = np.random.default_rng([seed, episode, 7])
            scene_seed = int(rng.integers(2 ** 31))
            kind = rng.random()
            if self._tasks:
                self._episode(shard, rng, scene_seed, self._tasks[rng.integers(len(self._tasks))])
            elif self._driver is not None:
                self._episode(shard, rng, scene_seed, self._random_task(rng, (.42, .34, .24)))
            elif kind < 0.40:
                self._placed(shard, rng, scene_seed)
            elif kind < 0.54:
                self._episode(shard, rng, scene_seed, self._random_task(rng, (1, 0, 0)))
            elif kind < 0.82:
                self._episode(shard, rng, scene_seed, self._random_task(rng, (0, 1, 0)))
            else:
                self._episode(shard, rng, scene_seed, self._random_task(rng, (0, 0, 1)))
            episode += 1
            yield len(shard.frames), shard

    def _placed(self, shard: Shard, rng: np.random.Generator, seed: int) -> None:
        """The robot anywhere in one scene, half of the time near an object."""
        world = self._world
        task = self._random_task(rng, (1, 0, 0))
        world.reset(seed, task, setting=self._setting(rng, task))
        room, obstacles = ROOMS[world.layout.room], world.layout.obstacles
        most = np.array(room.half_m) - 0.9
        floor = [p for p in world.objects if p.on_table is None]
        for _ in range(24):
            pose = np.array([*rng.uniform(-most, most), rng.uniform(-np.pi, np.pi)])
            near = floor[rng.integers(len(floor))] if rng.random() < 0.7 else None
            if near is not None:
                angle = rng.uniform(-np.pi, np.pi)
                distance = rng.uniform(.5, 1.3) if rng.random() < 0.5 else rng.uniform(.5, 3.2)
                pose[:2] = near.position[:2] - distance * np.array([np.cos(angle), np.sin(angle)])
                pose[2] = angle + rng.normal(0, .45)
            if not is_free(pose[:2], world.layout.tables, world.objects, 0.46, room, obstacles):
                continue
            world.place_base(pose)
            posture = random_posture(self._robot, rng)
            if near is not None and rng.random() < .6 and 'neck_pitch' in posture:
                distance = float(np.linalg.norm(near.position[:2] - pose[:2]))
                posture['neck_pitch'] = float(np.clip(
                    np.arctan2(1.0, distance) - 0.22 + rng.normal(0, .06), .1, .9))
            world.place_joints(posture)
            self._record(shard, rng, None, rng.uniform(0, 20), _random_travelled(rng))

    def _episode(self, shard: Shard, rng: np.random.Generator, seed: int, task: Task) -> None:
        """One task from a random start, disturbed or driven by a policy."""
        world = self._world
        world.reset(seed, task, starting_posture(self._robot, task, rng),
                    self._setting(rng, task))
        if task.family == 'reach':
            self._vary_table_pose(rng)
        if self._driver is not None:
            self._driver.begin(task.key, seed)
        elapsed = 0.0
        travelled: NDArray[np.float64] = np.zeros(3)
        twist: NDArray[np.float64] = np.zeros(3)
        reference = np.array([world.joint_reading().positions[n] for n in self._controlled])
        disturbance = _Disturbance(rng, len(self._controlled), task.family)
        steps, done = int(min(task.time_limit_s, 14.0) / CHUNK_DT_S), 0
        for _ in range(steps):
            frame = self._frame()
            done += self._record(shard, rng, task, elapsed, travelled, frame)
            if done > 10 or world.fallen:
                break
            wanted, targets = self._decide(task, frame, elapsed, travelled)
            if self._driver is None:
                wanted, targets = disturbance.apply(wanted, targets)
                wanted = np.clip(wanted, -self._robot.top_twist, self._robot.top_twist)
            for _ in range(round(CHUNK_DT_S / CONTROL_PERIOD_S)):
                twist = twist + np.clip(wanted - twist, -.03, .03) * np.array([1, 1, 2.])
                reach = self._speed * CONTROL_PERIOD_S
                reference = reference + np.clip(targets - reference, -reach, reach)
                world.apply(twist, dict(zip(self._controlled, reference.tolist())))
                world.advance(CONTROL_PERIOD_S)
                travelled = advance(travelled, twist, CONTROL_PERIOD_S)
            elapsed += CHUNK_DT_S
            if task.family == 'reach' and self._driver is None and rng.random() < .03:
                task = self._another_on_table(rng, task)

    def _setting(self, rng: np.random.Generator, task: Task) -> Setting:
        return draw_setting(rng, task) if self._harder else PLAIN

    def _decide(self, task: Task, frame: NDArray[np.uint8], elapsed: float,
                travelled: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._driver is None:
            action = self._expert.act(task, observe(self._world, task, elapsed, travelled))
            return action.twist, np.array([action.joints[n] for n in self._controlled])
        twist, joints = self._driver.act(RobotObservation(
            self._world.stamp_ns, {'head': frame}, self._world.joint_positions(), elapsed,
            travelled))
        return twist, np.array([joints[n] for n in self._controlled])

    def _frame(self) -> NDArray[np.uint8]:
        # Twice the policy's size, then averaged: what a real camera's optics do to fine detail.
        image = self._world.render('head', IMAGE_SIZE[0] * 2, IMAGE_SIZE[1] * 2)
        return np.asarray(cv2.resize(image, IMAGE_SIZE, interpolation=cv2.INTER_AREA))

    def _record(self, shard: Shard, rng: np.random.Generator, task: Task | None, elapsed: float,
                travelled: NDArray[np.float64], frame: NDArray[np.uint8] | None = None) -> bool:
        """Add one frame with its labels; returns whether the task is done in it."""
        first = task is None or elapsed == 0.0
        shard.previous.append(len(shard.frames) - (0 if first else 1))
        shard.frames.append(self._frame() if frame is None else frame)
        shard.joints.append(self._world.joint_positions())
        done = False
        if task is not None:
            done = self._label(shard, task, elapsed, travelled) >= 1.0
        for other in self._other_tasks(rng, task):
            if other.family in ('move', 'turn'):
                self._label(shard, other, rng.uniform(0, 6), _travelled_for(rng, other))
            elif other.family == 'gesture':
                self._label(shard, other, rng.uniform(0, 9), _random_travelled(rng))
            else:
                self._label(shard, other, rng.uniform(0, 15), _random_travelled(rng))
        return done

    def _label(self, shard: Shard, task: Task, elapsed: float,
               travelled: NDArray[np.float64]) -> float:
        state = observe(self._world, task, elapsed, travelled)
        actions, progress = self._expert.chunk(task, state, CHUNK_HORIZON)
        where = (np.nan,) * 4
        if task.family in ('go_to', 'reach'):
            index = self._world.index_of(*task.arguments)
            where = (0.0, np.nan, np.nan, np.nan)
            if index is not None and state.target is not None and state.target.seen:
                where = (1.0, *self._world.image_position(self._world.object_poses()[index][:3]))
        shard.rows.append((len(shard.frames) - 1, self._task_index[task.key], elapsed,
                           np.array(travelled), actions, progress, where))
        return progress

    def _other_tasks(self, rng: np.random.Generator, task: Task | None) -> list[Task]:
        """Further tasks to label this frame for."""
        placed = [p for p in self._world.objects if p.on_table is None]
        tabled = [p for p in self._world.objects if p.on_table is not None]
        at_table = task is not None and task.family == 'reach'
        tasks = [Task('go_to', (p.colour, p.shape)) for p in placed]
        if at_table:
            tasks = tasks[:1] + [Task('reach', (p.colour, p.shape)) for p in tabled]
        # Something that is not here: look for it, and do not take another object for it.
        absent = (str(rng.choice(COLOURS)), str(rng.choice(SHAPES)))
        if rng.random() < 0.3 and self._world.index_of(*absent) is None:
            tasks.append(Task('go_to' if rng.random() < 0.8 else 'reach', absent))
        if not at_table:
            tasks.append(Task('move', (str(rng.choice(list(MOVES))),)))
            tasks.append(Task('turn', (str(rng.choice(TURNS)),)))
            if self._gestures:
                tasks.append(Task('gesture', (str(rng.choice(self._gestures)),)))
            if rng.random() < 0.15:
                tasks.append(Task('stop'))
        return [t for t in tasks if task is None or t.key != task.key]

    def _random_task(self, rng: np.random.Generator, weights: tuple[float, float, float]) -> Task:
        """A random go_to, reach, or other task, with those weights."""
        family = rng.choice(['go_to', 'reach', 'other'], p=np.array(weights) / sum(weights))
        if family != 'other':
            return Task(str(family), (str(rng.choice(COLOURS)), str(rng.choice(SHAPES))))
        kind = rng.random()
        if kind < 0.25:
            return Task('move', (str(rng.choice(list(MOVES))),))
        if kind < 0.45 or not self._gestures:
            return Task('turn', (str(rng.choice(TURNS)),))
        # A wave takes three times as long to learn as a posture: it is a motion.
        waves = kind < 0.60 and 'wave' in self._gestures
        return Task('gesture', ('wave' if waves else str(rng.choice(self._gestures)),))

    def _vary_table_pose(self, rng: np.random.Generator) -> None:
        table = self._world.layout.tables[0]
        back = TABLE_HALF_M[0] + workplace(self._robot).stand_off_m + rng.uniform(-.03, .02)
        side = rng.uniform(-.08, .08)
        self._world.place_base(np.array([*locate(table, -back, side),
                                         table[2] + rng.uniform(-.12, .12)]))

    def _another_on_table(self, rng: np.random.Generator, task: Task) -> Task:
        tabled = [p for p in self._world.objects if p.on_table is not None]
        chosen = tabled[rng.integers(len(tabled))]
        return Task('reach', (chosen.colour, chosen.shape))


class _Disturbance:
    """Slowly varying noise on the executed action; labels are the expert's (DART, Laskey 2017)."""

    def __init__(self, rng: np.random.Generator, joints: int, family: str) -> None:
        self._rng = rng
        strength = float(rng.choice([0.0, 0.5, 1.0, 1.5]))
        base = strength * (np.array([.12, .08, .25]) if family != 'reach' else np.zeros(3))
        self._scale = np.concatenate([base, np.full(joints, .10 * strength)])
        self._noise = np.zeros(3 + joints)

    def apply(self, twist: NDArray[np.float64], joints: NDArray[np.float64]
              ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self._noise = .85 * self._noise + .53 * self._rng.normal(0, self._scale)
        return twist + self._noise[:3], joints + self._noise[3:]


def _random_travelled(rng: np.random.Generator) -> NDArray[np.float64]:
    """Anything that may have been travelled on the way of some other task."""
    if rng.random() < 0.4:
        return np.zeros(3)
    return np.array([*rng.normal(0, .8, 2), rng.normal(0, 1.5)])


def _travelled_for(rng: np.random.Generator, task: Task) -> NDArray[np.float64]:
    """Somewhere along a move or a turn."""
    if rng.random() < 0.25:
        return np.zeros(3)
    if task.family == 'move':
        way = np.array(MOVES[task.arguments[0]])
        along, across = rng.uniform(-.1, .85), rng.normal(0, .04)
        return np.array([way[0] * along - way[1] * across, way[1] * along + way[0] * across,
                         rng.normal(0, .06)])
    goal = {'left': np.pi / 2, 'right': -np.pi / 2, 'around': np.pi}[task.arguments[0]]
    return np.array([*rng.normal(0, .03, 2), goal * rng.uniform(-.05, 1.12)])
