"""Where things stand: the robot, the tables and the objects, drawn from a seed for a task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.anatomy import NEAREST_M
from vla_humanoid_control.simulation.obstacles import Obstacle
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE, Room, points_of
from vla_humanoid_control.simulation.scene import FLOOR_SIZE, TABLE_HALF_M, Placed, Workplace
from vla_humanoid_control.simulation.settings import PLAIN, Setting, harden
from vla_humanoid_control.simulation.spots import in_rectangle, is_free, near_table, way_is_clear
from vla_humanoid_control.simulation.twins import can_tell, locate_from, meant, named_by
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import locate, rotate
from vla_humanoid_control.tasks.task import FLOOR_SLOTS, TABLE_SLOTS, Task
from vla_humanoid_control.tasks.vocabulary import (
    COLOURS,
    HAND_FAMILIES,
    MOVE_M,
    MOVES,
    OBJECT_FAMILIES,
    SHAPES,
    TURN_RAD,
)

STAND_OFF_M = 0.66
"""From the base to a `go_to` object where the scripted expert stands [m]."""
_SIGHT_PAST_M = 0.40
"""Objects on the floor that are so far from a line of sight hide nothing [m]."""
_AT_TABLE = ('reach', *HAND_FAMILIES)
"""Families that begin at the table, whose objects stand on it."""
_APART_M = 0.7
"""A table stands at least so far from a wall inside the room [m]."""
_SPARE_M = 0.5
"""A way is free for so much longer than it is to be [m]."""
_DRIFT = 0.1
"""By this share of a way the room beside it grows, where more than one task is to be done."""

_DRAWS, _DRAWS_WITH_ROOM, _DRAWS_WITH_TWINS, _POSES_EACH = 1000, 300, 1500, 20

Pair = tuple[str, str]
"""Colour and shape."""


@dataclass(frozen=True)
class Layout:
    """A drawn scene.

    Attributes:
        base_pose: float64 [3]: x [m], y [m], yaw [rad].
        tables: float64 [2, 3]: x, y, yaw of each table; its local -x side is the one to stand at.
        objects: What stands where.
        obstacles: What stands there besides, in its way or not.
        room: Name of the room, one of `ROOMS`.
    """

    base_pose: NDArray[np.float64]
    tables: NDArray[np.float64]
    objects: tuple[Placed, ...]
    obstacles: tuple[Obstacle, ...] = ()
    room: str = SQUARE


def scene_rng(seed: int) -> np.random.Generator:
    """All chance in the scene of a seed; its layout is drawn first."""
    return np.random.default_rng([seed, 20])


def sample_layout(rng: np.random.Generator, task: Task | None, place: Workplace | None = None,
                  setting: Setting = PLAIN) -> Layout:
    """Draw a scene in which the task can be done and its words name one object only, or its twins.

    The way to a `go_to` object is free and the object unoccluded from where the robot starts;
    `reach` starts at the table. Of several steps each has room where the one before it ends.

    Args:
        rng: All chance in it.
        task: What is to be done; None for nothing in particular.
        place: The tables, and how the robot stands at them; by default for tall ones.
        setting: What makes the scene harder.

    Raises:
        UserError: Several steps, so much of a task, or such a setting, fit into no scene.
    """
    place = Workplace() if place is None else place
    if task is not None and task.family == 'place':  # room beside both, and within reach
        place = replace(place, most=2, aside_m=place.aside_m - 0.10)
    room = ROOMS[setting.room]
    tables = _sample_tables(rng, room)
    pairs = [(c, s) for c in COLOURS for s in SHAPES]
    rng.shuffle(pairs)
    named = _named(task)
    if targets := [*named['go_to'], *named['reach']]:
        pairs = [p for p in pairs if tuple(p) not in targets]
        # Half of the time the distractors are the hard ones, of the same colour or shape.
        if rng.random() < 0.5:
            pairs.sort(key=lambda p: all(p[0] != t[0] and p[1] != t[1] for t in targets))
    if task is not None and (task.steps or task.amount is not None):
        for _ in range(_DRAWS_WITH_ROOM):
            objects = _sample_objects(rng, task, named, pairs, tables, place)
            pose = _sample_pose_with_room(rng, task, tables, objects, place)
            if pose is not None:
                return Layout(pose, tables, objects)
        raise UserError(f'{task.key} has room in none of {_DRAWS_WITH_ROOM} scenes. After go_to, '
                        'for example, the object is in the way ahead.')
    if task is not None and task.twins:
        return _sample_with_twins(rng, task, named, pairs, tables, place)
    for _ in range(_DRAWS):
        objects = _sample_objects(rng, task, named, pairs, tables, place, room)
        pose = _sample_pose(rng, task, tables, objects, place, room)
        if pose is None:
            continue
        obstacles = harden(rng, setting, task, pose, tables, objects)
        if obstacles is not None:
            return Layout(pose, tables, objects, obstacles, setting.room)
    if setting == PLAIN:
        raise RuntimeError(f'No free layout found in {_DRAWS} draws.')
    raise UserError(f'{"A scene" if task is None else task.key} with {setting.to_mapping()} has '
                    f'room in none of {_DRAWS} draws: ask for fewer distractors or obstacles.')


def _named(task: Task | None) -> dict[str, list[Pair]]:
    """The objects that a task names, by the family that needs them."""
    named: dict[str, list[Pair]] = {family: [] for family in OBJECT_FAMILIES}
    for part in () if task is None else task.parts:
        family = 'reach' if part.family in HAND_FAMILIES else part.family
        for pair in part.objects:
            if pair not in named[family]:
                named[family].extend([pair] * (1 + part.twins))
    return named


def _sample_with_twins(rng: np.random.Generator, task: Task, named: dict[str, list[Pair]],
                       pairs: list[Pair], tables: NDArray[np.float64],
                       place: Workplace) -> Layout:
    """A scene in which the robot can tell the objects that a task's words name from each other."""
    for _ in range(_DRAWS_WITH_TWINS):
        objects = _sample_objects(rng, task, named, pairs, tables, place)
        for _ in range(_POSES_EACH):
            pose = _sample_pose(rng, task, tables, objects, place)
            if pose is None:
                continue
            named_ones = [objects[i] for i in named_by(objects, task)]
            if can_tell(objects, pose, task) and (task.family == 'reach' or all(
                    _in_sight(pose, goal, tables, objects, place) for goal in named_ones)):
                return Layout(pose, tables, objects)
    raise UserError(f'{task.key} with {task.twins} twins has room in none of {_DRAWS_WITH_TWINS} '
                    'scenes: ask for fewer of them, or of other objects.')


def _sample_tables(rng: np.random.Generator, room: Room) -> NDArray[np.float64]:
    while True:
        along = rng.uniform(-1.2, 1.2, 2)
        walls = rng.choice(4, 2, replace=False)
        tables = []
        for wall, shift in zip(walls, along):
            yaw = wall * np.pi / 2
            near = room.half_m[wall % 2] - TABLE_HALF_M[0] - 0.05
            tables.append((*rotate(near, shift, yaw), yaw))
        if not any(near_table(spot, np.array(table), _APART_M)
                   for inner in room.inner for spot in points_of(inner) for table in tables):
            return np.array(tables)


def _sample_objects(rng: np.random.Generator, task: Task | None, named: dict[str, list[Pair]],
                    pairs: list[Pair], tables: NDArray[np.float64],
                    place: Workplace, room: Room = ROOMS[SQUARE]) -> tuple[Placed, ...]:
    asked = None if task is None else task.distractors
    counts = {'floor': int(rng.integers(1, FLOOR_SLOTS)),
              'table': int(rng.integers(1, TABLE_SLOTS))}
    free = {'floor': FLOOR_SLOTS - len(named['go_to']), 'table': place.most - len(named['reach'])}
    # Where the target is; of several, the one that comes first.
    order = ('table', 'floor') if named['reach'] else ('floor', 'table')
    if asked is not None:  # where the target is, as far as they fit; then on the other surface
        here, there = order
        counts[here] = min(asked, free[here])
        counts[there] = asked - counts[here] or counts[there]
    counts = {kind: min(counts[kind], free[kind]) for kind in counts}
    # The hard distractors come first in `pairs`: they go where the target is.
    rest = iter(pairs)
    chosen = {kind: [next(rest) for _ in range(counts[kind])] for kind in order}
    chosen = {'floor': [*named['go_to'], *chosen['floor']],
              'table': [*named['reach'], *chosen['table']]}
    placed: list[Placed] = []
    for index, (colour, shape) in enumerate(chosen['floor']):
        spot = _free_floor_spot(rng, placed, tables, room)
        size = FLOOR_SIZE[shape]
        placed.append(Placed(index, colour, shape, np.array([*spot, size.height / 2]), size, None))
    local: list[NDArray[np.float64]] = []
    for index, (colour, shape) in enumerate(chosen['table']):
        spot = _free_table_spot(rng, local, place)
        local.append(spot)
        world = locate(tables[0], spot[0], spot[1])
        size = place.sizes[shape]
        placed.append(Placed(FLOOR_SLOTS + index, colour, shape,
                             np.array([*world, place.height_m + size.height / 2]), size, 0))
    return tuple(placed)


def _free_floor_spot(rng: np.random.Generator, placed: list[Placed],
                     tables: NDArray[np.float64], room: Room) -> NDArray[np.float64]:
    most = np.array(room.half_m) - 1.0
    while True:
        spot = rng.uniform(-most, most)
        apart = all(np.linalg.norm(spot - p.position[:2]) > 0.75 for p in placed)
        if apart and all(not near_table(spot, t, 0.55) for t in tables) \
                and all(not in_rectangle(spot, inner, 0.55) for inner in room.inner):
            return spot


def _free_table_spot(rng: np.random.Generator,
                     local: list[NDArray[np.float64]],
                     place: Workplace) -> NDArray[np.float64]:
    """In the table's frame, within reach of a robot that stands at the middle of its edge."""
    for attempt in range(10000):
        near, far = place.depth_m
        spot = np.array([rng.uniform(-TABLE_HALF_M[0] + near, -TABLE_HALF_M[0] + far),
                         rng.uniform(-place.aside_m, place.aside_m)])
        if all(np.linalg.norm(spot - o) > max(.15 - attempt * 1e-5, .13) for o in local):
            return spot
    raise RuntimeError('No free spot on the table.')


def _sample_pose(rng: np.random.Generator, task: Task | None, tables: NDArray[np.float64],
                 objects: tuple[Placed, ...], place: Workplace,
                 room: Room = ROOMS[SQUARE]) -> NDArray[np.float64] | None:
    family = None if task is None else task.family
    if family in _AT_TABLE:
        return _sample_pose_at_table(rng, tables, place)
    most = np.array(room.half_m) - 1.2
    pose = np.array([*rng.uniform(-most, most), rng.uniform(-np.pi, np.pi)])
    if not is_free(pose[:2], tables, objects, 0.55, room):
        return None
    if task is not None and (family == 'stop' or family == 'move'):
        direction = MOVES[task.arguments[0] if family == 'move' else 'forward']
        way = np.array(rotate(direction[0], direction[1], pose[2]))
        if not all(is_free(pose[:2] + way * s, tables, objects, 0.60, room)
                   for s in (.2, .4, .6, .8, 1.0, 1.2)):
            return None
    if task is not None and family == 'go_to':
        for goal in (objects[i] for i in meant(objects, pose, task)):
            away = float(np.linalg.norm(goal.position[:2] - pose[:2]))
            if not NEAREST_M <= away <= place.sight_m[1] \
                    or not way_is_clear(pose[:2], goal, objects):
                return None
    return pose


def _in_sight(pose: NDArray[np.float64], goal: Placed, tables: NDArray[np.float64],
              objects: tuple[Placed, ...], place: Workplace) -> bool:
    """Whether the head camera sees all of an object on the floor from a pose, the neck at home."""
    ahead, left = locate_from(pose, goal.position)
    way = goal.position[:2] - pose[:2]
    return bool(ahead > place.sight_m[0] and abs(left) < place.sight_aside * ahead
                and np.linalg.norm(way) <= place.sight_m[1]
                and way_is_clear(pose[:2], goal, objects, _SIGHT_PAST_M)
                and not any(near_table(pose[:2] + way * share, table, 0.0)
                            for share in np.linspace(0, 1, 12) for table in tables))


def _sample_pose_at_table(rng: np.random.Generator, tables: NDArray[np.float64],
                          place: Workplace) -> NDArray[np.float64]:
    back = TABLE_HALF_M[0] + place.stand_off_m + rng.uniform(-.02, .01)
    side = rng.uniform(-.05, .05)
    yaw = tables[0][2] + rng.uniform(-.08, .08)
    return np.array([*locate(tables[0], -back, side), yaw])


def _sample_pose_with_room(rng: np.random.Generator, task: Task, tables: NDArray[np.float64],
                           objects: tuple[Placed, ...],
                           place: Workplace) -> NDArray[np.float64] | None:
    """Where the robot has room for all that is to be done, one after the other."""
    at_table = any(part.family == 'reach' for part in task.parts)
    for _ in range(_POSES_EACH):
        start = _sample_pose_at_table(rng, tables, place) if at_table else \
            np.array([*rng.uniform(-2.3, 2.3, 2), rng.uniform(-np.pi, np.pi)])
        pose: NDArray[np.float64] | None = start
        if not at_table and not is_free(start[:2], tables, objects, 0.55):
            continue
        for part in task.parts:
            pose = None if pose is None else _after(pose, part, tables, objects, place)
        if pose is not None:
            return start
    return None


def _after(pose: NDArray[np.float64], part: Task, tables: NDArray[np.float64],
           objects: tuple[Placed, ...], place: Workplace) -> NDArray[np.float64] | None:
    """The base's pose [3] after a task that begins at `pose`; None where it has no room for it."""
    much = None if part.amount is None else part.amount.value
    if part.family == 'turn':
        angle = TURN_RAD[part.arguments[0]]
        angle = angle if much is None else np.copysign(np.radians(much), angle)
        return pose + np.array([0.0, 0.0, angle])
    if part.family == 'move':
        length = MOVE_M if much is None else much
        way = np.array(rotate(*MOVES[part.arguments[0]], pose[2]))
        if not all(is_free(pose[:2] + way * s, tables, objects, 0.60 + _DRIFT * (s - 0.2))
                   for s in np.arange(0.2, length + _SPARE_M + 0.1, 0.2)):
            return None
        return np.array([*pose[:2] + way * length, pose[2]])
    if part.family == 'go_to':
        goal = _find(objects, part)
        offset = goal.position[:2] - pose[:2]
        length = float(np.linalg.norm(offset))
        way = offset / length
        if not NEAREST_M <= length <= place.sight_m[1] \
                or not way_is_clear(pose[:2], goal, objects) \
                or any(near_table(pose[:2] + way * s, table, 0.45)
                       for s in np.arange(0.4, length - STAND_OFF_M, 0.2) for table in tables):
            return None
        return np.array([*goal.position[:2] - STAND_OFF_M * way, np.arctan2(way[1], way[0])])
    return pose


def _find(objects: tuple[Placed, ...], task: Task) -> Placed:
    """The object that a task names."""
    return next(p for p in objects if (p.colour, p.shape) == task.arguments)
