"""What makes a scene harder than the seed alone would: the room, obstacles, a target out of sight.

In a suite it is the key `scene` of an episode:

    scene: {room: long, obstacles: 2, target: behind}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.obstacles import OBSTACLES, Obstacle
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE, TRAINED_ROOMS, Room
from vla_humanoid_control.simulation.scene import Placed
from vla_humanoid_control.simulation.spots import around, discs_of, is_free
from vla_humanoid_control.simulation.twins import locate_from
from vla_humanoid_control.simulation.ways import is_clear, way_around
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import MOVES

BEHIND, HALF_HIDDEN = 'behind', 'half_hidden'
TARGETS = (BEHIND, HALF_HIDDEN)
"""How the target of `go_to` can be hard to see."""
_KEYS = ('room', 'obstacles', 'target')
_HIDES = 'post'
"""The obstacle that half hides a target, and stands nowhere else."""
MOST_OBSTACLES = len(OBSTACLES) - 1
"""As many can stand in a scene beside what hides its target."""
_BEHIND_RAD = 2.0
"""A target is behind the robot from this bearing on [rad]."""
_ROOM_M = 0.60
"""From an obstacle to the start and to the target [m]."""
_APART_M = 0.40
"""From an obstacle to whatever else stands there [m]."""
_TRIES = 12
"""So often obstacles are placed anew before all of the scene is."""
_MOVE_M = 1.2
"""Where it is to move, there is so much room ahead [m]."""


@dataclass(frozen=True)
class Setting:
    """Of a scene. The default adds nothing.

    Attributes:
        room: One of `ROOMS`.
        obstacles: How many things stand on the floor that no words name. For `go_to` one of them
            is in the way, where nothing hides the target.
        target: How the target is hard to see, one of `TARGETS`; '' where it is not. Behind, it
            is so at the start; half hidden, something stands before it.
    """

    room: str = SQUARE
    obstacles: int = 0
    target: str = ''

    def __post_init__(self) -> None:
        if not isinstance(self.room, str) or self.room not in ROOMS:
            raise UserError(f'room must be one of {", ".join(ROOMS)}, got {self.room!r}.')
        if isinstance(self.obstacles, bool) or not isinstance(self.obstacles, int) \
                or not 0 <= self.obstacles <= MOST_OBSTACLES:
            raise UserError(f'obstacles must be 0 to {MOST_OBSTACLES}, got {self.obstacles!r}.')
        if self.target not in ('', *TARGETS):
            raise UserError(f'target must be one of {", ".join(TARGETS)}, got {self.target!r}.')

    @staticmethod
    def from_mapping(mapping: Any, task: Task) -> Setting:
        """Read what a suite says of an episode's scene.

        Raises:
            UserError: A key or value is unknown, or the task has no such target.
        """
        if not isinstance(mapping, Mapping) or not set(mapping) <= set(_KEYS):
            raise UserError(f'scene must be a mapping of {", ".join(_KEYS)}, got {mapping!r}.')
        setting = Setting(**mapping)
        if setting != PLAIN and not _is_plain(task):
            raise UserError('scene is for one task, without an amount and without twins.')
        if setting != setting.of(task):
            raise UserError(f'target must be one of a task go_to; got {setting.target!r} for '
                            f'{task.key}.')
        return setting

    def of(self, task: Task | None) -> Setting:
        """What of it the scene of a task can have; None stands for any scene."""
        if task is None or (_is_plain(task) and task.family != 'go_to'):
            return replace(self, target='')
        return self if _is_plain(task) else PLAIN

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`; what adds nothing is left out."""
        return {key: getattr(self, key) for key in _KEYS
                if getattr(self, key) != getattr(PLAIN, key)}


PLAIN = Setting()


def _is_plain(task: Task) -> bool:
    return not task.twins and task.parts == (task,) and task.amount is None


def draw_setting(rng: np.random.Generator, task: Task) -> Setting:
    """A setting to learn from: half of them add nothing."""
    if rng.random() < 0.5 or not _is_plain(task):
        return PLAIN
    targets = ['', '', *(TARGETS if task.family == 'go_to' else ())]
    return Setting(str(rng.choice(TRAINED_ROOMS)), int(rng.integers(MOST_OBSTACLES + 1)),
                   str(rng.choice(targets)))


def harden(rng: np.random.Generator, setting: Setting, task: Task | None,
           pose: NDArray[np.float64], tables: NDArray[np.float64],
           objects: tuple[Placed, ...]) -> tuple[Obstacle, ...] | None:
    """The obstacles of a setting in a scene that has been drawn; None where it is not to be had.

    Args:
        rng: Of where they stand.
        setting: What is asked for.
        task: What is to be done there; None for nothing in particular.
        pose: float64 [3], of the base at the start.
        tables: float64 [2, 3], see `Layout`.
        objects: Of the scene.
    """
    if setting == PLAIN:
        return ()
    room, start = ROOMS[setting.room], pose[:2]
    goal = None
    if task is not None and task.family == 'go_to':
        goal = next(p for p in objects if (p.colour, p.shape) == task.arguments)
        ahead, left = locate_from(pose, goal.position)
        if setting.target == BEHIND and abs(np.arctan2(left, ahead)) < _BEHIND_RAD:
            return None
    for _ in range(_TRIES):
        obstacles = _place(rng, setting, goal, start, tables, objects, room)
        if obstacles is not None \
                and _has_way(task, goal, pose, tables, objects, obstacles, room, setting):
            return obstacles
    return None


def _place(rng: np.random.Generator, setting: Setting, goal: Placed | None,
           start: NDArray[np.float64], tables: NDArray[np.float64],
           objects: tuple[Placed, ...], room: Room) -> tuple[Obstacle, ...] | None:
    """Obstacles that stand free, of each other, too; None where one does not."""
    kinds = [str(k) for k in rng.permutation([k for k in OBSTACLES if k != _HIDES])]
    kinds = [*([_HIDES] if setting.target == HALF_HIDDEN else []), *kinds[:setting.obstacles]]
    placed: tuple[Obstacle, ...] = ()
    for kind in kinds:
        one = _before(rng, start, goal, kind) if goal is not None and not placed \
            else _anywhere(rng, kind, room)
        clear = one.radius + _ROOM_M
        if not is_free(one.position, tables, objects, one.radius + _APART_M, room, placed) \
                or np.linalg.norm(one.position - start) < clear \
                or (goal is not None
                    and np.linalg.norm(one.position - goal.position[:2]) < clear):
            return None
        placed = (*placed, one)
    return placed


def _before(rng: np.random.Generator, start: NDArray[np.float64], goal: Placed, kind: str
            ) -> Obstacle:
    """Somewhere on the way to an object; what hides it does so on one side."""
    way = goal.position[:2] - start
    length = float(np.linalg.norm(way))
    ahead, left = way / length, np.array([-way[1], way[0]]) / length
    radius, side = OBSTACLES[kind].radius, float(rng.choice([-1.0, 1.0]))
    if kind == _HIDES:
        along = length - rng.uniform(radius + _ROOM_M, radius + _ROOM_M + 0.3)
        aside = side * (radius + rng.uniform(0.01, 0.06))
    else:
        least = radius + _ROOM_M
        along = rng.uniform(least, max(least, length - least))
        aside = side * rng.uniform(0.0, 0.25)
    return Obstacle(kind, start + along * ahead + aside * left, rng.uniform(-np.pi, np.pi))


def _anywhere(rng: np.random.Generator, kind: str, room: Room) -> Obstacle:
    most = np.array(room.half_m) - 0.6
    return Obstacle(kind, rng.uniform(-most, most), rng.uniform(-np.pi, np.pi))


def _has_way(task: Task | None, goal: Placed | None, pose: NDArray[np.float64],
             tables: NDArray[np.float64], objects: tuple[Placed, ...],
             obstacles: tuple[Obstacle, ...], room: Room, setting: Setting) -> bool:
    """Whether the task can be done among the obstacles, and not without heeding them."""
    start = pose[:2]
    if task is not None and task.family in ('move', 'stop'):
        direction = MOVES[task.arguments[0] if task.family == 'move' else 'forward']
        end = start + _MOVE_M * np.array(rotate(*direction, pose[2]))
        return is_clear(start, end[None], discs_of((), obstacles))
    if goal is None:
        return True
    discs = discs_of(around(goal, objects), obstacles)
    corners = way_around(start, goal.position[:2], discs)
    points = np.vstack([start, corners])
    spots = [a + (b - a) * s for a, b in pairwise(points) for s in np.linspace(0, 1, 8)]
    return (is_clear(start, corners, discs) and (len(corners) > 1 or not setting.obstacles)
            and all(is_free(spot, tables, (), 0.50, room) for spot in spots
                    if np.linalg.norm(spot - goal.position[:2]) > 0.6))
