"""Free spots on the floor: apart from walls, tables and what else stands there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.obstacles import Obstacle
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE, Rectangle, Room
from vla_humanoid_control.simulation.scene import FLOOR_SIZE, TABLE_HALF_M, Placed
from vla_humanoid_control.simulation.ways import is_clear
from vla_humanoid_control.support.geometry import rotate

WAY_M = 0.62
"""A free way passes other objects at this distance or more: what the safety gate lets pass at full
speed, with nothing to walk around [m]."""
PAST_M = FLOOR_SIZE['ball'].radius
"""Of the margin from an object's centre so much is the object itself [m]."""


def near_table(spot: NDArray[np.float64], table: NDArray[np.float64], margin: float) -> bool:
    """Whether a spot [2] is over a table [3], or less than `margin` [m] from its edges."""
    offset = spot - table[:2]
    local = rotate(offset[0], offset[1], -table[2])
    return bool(abs(local[0]) < TABLE_HALF_M[0] + margin and
                abs(local[1]) < TABLE_HALF_M[1] + margin)


def is_free(spot: NDArray[np.float64], tables: NDArray[np.float64],
            objects: tuple[Placed, ...], margin: float, room: Room = ROOMS[SQUARE],
            obstacles: tuple[Obstacle, ...] = ()) -> bool:
    """Whether a base at `spot` keeps `margin` [m] from objects' centres, obstacles and tables."""
    return bool((np.abs(spot) < np.array(room.half_m) - margin).all()
                and all(not near_table(spot, t, margin - .1) for t in tables)
                and all(np.linalg.norm(spot - p.position[:2]) > margin
                        for p in objects if p.on_table is None)
                and all(not in_rectangle(spot, inner, margin) for inner in room.inner)
                and all(np.linalg.norm(spot - o.position) > o.radius + margin - PAST_M
                        for o in obstacles))


def in_rectangle(spot: NDArray[np.float64], rectangle: Rectangle, margin: float) -> bool:
    """Whether a spot [2] is in a rectangle, or less than `margin` [m] from it."""
    x, y, half_x, half_y = rectangle
    return bool(abs(spot[0] - x) < half_x + margin and abs(spot[1] - y) < half_y + margin)


def discs_of(positions: Sequence[NDArray[np.float64]], obstacles: tuple[Obstacle, ...],
             margin: float = WAY_M) -> NDArray[np.float64]:
    """What a way must go around, for `ways.way_around`.

    Args:
        positions: float64 [2] each, of objects on the floor [m].
        obstacles: Of the scene.
        margin: From an object's centre [m].

    Returns:
        float64 [positions + obstacles, 3]: x, y, radius [m].
    """
    rows = [(*p, margin) for p in positions]
    return np.array(rows + [(*o.position, o.radius + margin - PAST_M) for o in obstacles]
                    ).reshape(-1, 3)


def around(goal: Placed, objects: tuple[Placed, ...]) -> list[NDArray[np.float64]]:
    """Where the objects on the floor stand that are not the goal, float64 [2] each [m]."""
    return [p.position[:2] for p in objects if p is not goal and p.on_table is None]


def way_is_clear(spot: NDArray[np.float64], goal: Placed, objects: tuple[Placed, ...],
                 margin: float = WAY_M) -> bool:
    """Whether the straight way from `spot` to `goal` keeps `margin` from other floor objects."""
    return is_clear(spot, goal.position[None, :2], discs_of(around(goal, objects), (), margin))
