r"""Pictures of rooms and the objects in view of the head camera, for the network that finds them.

    python -m vla_humanoid_control.collection.object_views --output data/objects/train
    python -m vla_humanoid_control.collection.object_views --output data/objects/g1 \
        --robot unitree_g1

Once interrupted, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.collection.postures import REACH_PITCH_RAD, anywhere, random_posture
from vla_humanoid_control.data.object_views import ObjectViews
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.robot.head_camera import HeadCamera
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation import scene
from vla_humanoid_control.simulation.other_world import OtherWorld
from vla_humanoid_control.simulation.seeing import SIZE, TrueObject, TrueView
from vla_humanoid_control.simulation.spots import is_free
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.outputs import make_folder
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

FIRST_SEED = {'train': 500_000_000, 'test': 600_000_000}
"""Split to the first of its scenes' seeds; they share none, nor any with suites."""
_EACH, _PER_SCENE = 500, 4
_EMPTY, _OTHER_WORLD, _ALIKE = 0.05, 0.04, 0.45
"""Shares of scenes without objects, from another world, and with several objects of a kind."""


@dataclass(frozen=True)
class View:
    """One picture.

    Attributes:
        image: As the camera gives it but for its noise, RGB uint8 [480, 640, 3].
        joints: Joint name to position, of those that the camera moves with [rad].
        objects: What is in it.
    """

    image: NDArray[np.uint8]
    joints: dict[str, float]
    objects: tuple[TrueObject, ...]


class ViewSampler:
    """Draws scenes, and the robot in them, looking.

    Raises:
        UserError: The machine cannot draw; says why.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._world = World(robot)
        self._truth = TrueView(self._world)
        self._place = scene.workplace(robot)
        self._carrying = HeadCamera(robot).joints

    @property
    def robot(self) -> str:
        """Name of the robot."""
        return self._robot.name

    def scene(self, seed: int, count: int = _PER_SCENE) -> list[View]:
        """Some views of one scene, which the seed decides."""
        rng = np.random.default_rng([seed, 41])
        if rng.random() < _OTHER_WORLD:
            return self._elsewhere(rng, count)
        task = _task(rng)
        self._world.reset(seed, task)
        if rng.random() < _EMPTY:
            self._replace(rng, [])
        elif rng.random() < _ALIKE:
            self._replace(rng, _some_alike(rng, len(self._world.objects)))
        views = []
        for number in range(count):
            posture = self._looking(rng)
            if number:
                self._world.place_base(self._somewhere(rng))
            elif task is not None and task.family == 'reach':
                posture |= {n: float(rng.normal(REACH_PITCH_RAD, 0.08))
                            for n in self._robot.gestures.postures.get('look_down', ())}
            self._world.place_joints(posture)
            views.append(self.view())
        return views

    def start(self, seed: int) -> list[View]:
        """The view at the start of a task with an object on the floor, of one to three alike."""
        rng = np.random.default_rng([seed, 42])
        pair = (str(rng.choice(COLOURS)), str(rng.choice(SHAPES)))
        self._world.reset(seed, Task('go_to', pair, twins=int(rng.integers(3))))
        return [self.view()]

    def view(self) -> View:
        """What there is to see now."""
        reading = self._world.joint_reading().positions
        return View(self._world.render(), {n: reading[n] for n in self._carrying},
                    self._truth.objects())

    def close(self) -> None:
        """Free the drawing contexts."""
        self._truth.close()
        self._world.close()

    def _elsewhere(self, rng: np.random.Generator, count: int) -> list[View]:
        other = OtherWorld(rng)
        views = [View(other.render(640, 480, float(rng.uniform(0, 20))),
                      dict.fromkeys(self._carrying, 0.), ()) for _ in range(count)]
        other.close()
        return views

    def _replace(self, rng: np.random.Generator, kinds: list[tuple[str, str]]) -> None:
        """Give the objects that are there other colours and shapes; those without one vanish."""
        world = self._world
        for placed in world.objects[len(kinds):]:
            scene.show_object(world.model, placed.slot, None)
            world.data.joint(f'object_{placed.slot}').qpos[:2] = (30 + placed.slot, 0)
        changed = []
        for placed, (colour, shape) in zip(world.objects, kinds):
            sizes = scene.FLOOR_SIZE if placed.on_table is None else self._place.sizes
            size, position = sizes[shape], placed.position.copy()
            position[2] += (size.height - placed.size.height) / 2
            scene.show_object(world.model, placed.slot, shape, scene.sample_rgb(rng, colour))
            world.data.joint(f'object_{placed.slot}').qpos[:3] = position
            changed.append(replace(placed, colour=colour, shape=shape, size=size,
                                   position=position))
        world.objects = tuple(changed)
        mujoco.mj_forward(world.model, world.data)

    def _somewhere(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """A pose of the base with room for it: any, or before an object or a table."""
        layout = self._world.layout
        for _ in range(200):
            pose = np.array([*rng.uniform(-2.9, 2.9, 2), rng.uniform(-np.pi, np.pi)])
            if rng.random() < 0.85:
                places = [p.position[:2] for p in self._world.objects] or [layout.tables[0][:2]]
                place = places[int(rng.integers(len(places)))]
                way = rng.uniform(-np.pi, np.pi)
                length = rng.uniform(0.4, self._place.sight_m[1] + 0.2)
                pose = np.array([*place - length * np.array([np.cos(way), np.sin(way)]),
                                 way + rng.uniform(-.7, .7)])
            if is_free(pose[:2], layout.tables, layout.objects, 0.35):
                return pose
        return layout.base_pose

    def _looking(self, rng: np.random.Generator) -> dict[str, float]:
        """Where the joints are: at times the head is turned, at times what carries it."""
        posture = {j.name: j.home for j in self._robot.joints} | random_posture(self._robot, rng)
        looks = [p for n, p in self._robot.gestures.postures.items() if n.startswith('look_')]
        own = {name for look in looks for name in look}
        if rng.random() < 0.35:
            posture |= anywhere(self._robot, looks, rng, beyond_rad=0.2)
        if rng.random() < 0.15:
            posture |= {j.name: float(j.home + rng.uniform(-0.5, 0.5))
                        for j in self._robot.controlled
                        if j.name in self._carrying and j.name not in own}
        return posture


def _task(rng: np.random.Generator) -> Task | None:
    """What the scene is for: reaching begins at the table, with small objects before the robot."""
    pair = (str(rng.choice(COLOURS)), str(rng.choice(SHAPES)))
    return (None, Task('reach', pair), Task('reach', pair, twins=1), Task('go_to', pair),
            Task('go_to', pair, twins=1), Task('go_to', pair, distractors=4)
            )[int(rng.integers(6))]


def _some_alike(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Colours and shapes of a scene's objects, out of one to three kinds."""
    kinds = [(str(rng.choice(COLOURS)), str(rng.choice(SHAPES)))
             for _ in range(int(rng.integers(1, 4)))]
    return [kinds[int(rng.integers(len(kinds)))] for _ in range(count)]


def rows_of(view: View, frame: int) -> list[list[float]]:
    """A view's objects as rows of `data.object_views.COLUMNS`."""
    return [[frame, COLOURS.index(o.seen.colour), SHAPES.index(o.seen.shape), o.seen.on_table,
             o.seen.score, o.pixels, *o.seen.box, *o.centre, o.seen.bearing_rad,
             o.seen.distance_m] for o in view.objects]


def collect(output: Path, frames: int, seed: int, split: str, starts: bool = False,
            robot: str = 'humanoid') -> None:
    """Draw pictures into files of `output`; those that are there stay.

    Args:
        output: The folder.
        frames: How many pictures at least.
        seed: Decides the scenes, of the split.
        split: One of `FIRST_SEED`.
        starts: Whether to draw what is seen at the start of tasks alone.
        robot: Name or path of the robot file.

    Raises:
        UserError: Nothing can be written there, or the machine cannot draw.
    """
    make_folder(output, '--output')
    sampler = ViewSampler(load_robot(robot))
    line = ProgressLine('objects')
    draw, each = (sampler.start, 1) if starts else (sampler.scene, _PER_SCENE)
    began, drawn = time.monotonic(), 0
    shards = [(number, output / f'{seed:03d}_{number:04d}.npz')
              for number in range(-(-frames // _EACH))]
    todo = [(number, path) for number, path in shards if not path.exists()]
    for done, (number, path) in enumerate(todo):
        pictures: list[NDArray[np.uint8]] = []
        joints: list[dict[str, float]] = []
        objects: list[list[float]] = []
        first = FIRST_SEED[split] + seed * 1_000_000 + number * _EACH
        for offset in range(_EACH // each):
            for view in draw(first + offset):
                objects += rows_of(view, len(pictures))
                pictures.append(resize_image(view.image, SIZE))
                joints.append(view.joints)
            drawn += each
            rate = drawn / (time.monotonic() - began)
            line.show(drawn / (len(todo) * _EACH), rate, 'frames',
                      (len(todo) * _EACH - drawn) / rate, f'file {done + 1} of {len(todo)}')
        ObjectViews.of(sampler.robot, pictures, joints, objects).write(path)
    line.close()
    sampler.close()


def main() -> None:
    """Read the arguments, and draw."""
    parser = argparse.ArgumentParser(description='Pictures of objects in view, with what they are')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument('--frames', type=int, default=14_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--split', choices=tuple(FIRST_SEED), default='train')
    parser.add_argument('--starts', action='store_true',
                        help='views from where tasks start, of one to three objects alike')
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    arguments = parser.parse_args()
    collect(arguments.output, arguments.frames, arguments.seed, arguments.split, arguments.starts,
            arguments.robot)


if __name__ == '__main__':
    main()
