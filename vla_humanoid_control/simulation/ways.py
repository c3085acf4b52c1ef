"""The way around what stands on the floor: discs that the middle of a base must not enter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WIDER = 1.06
"""A way leads past a disc at so many times its radius."""
_MOST_CORNERS = 3
_STEEPEST_RAD = 1.3
"""A way leaves the straight one at no more than this."""
_TOUCH_M = 1e-6


def way_around(start: Array, goal: Array, discs: Array, right_costs_m: float = 0.0) -> Array:
    """The corners of a short way, its end included.

    What the start or the end is in already only keeps from coming nearer: there is always a way.

    Args:
        start: float64 [2] [m].
        goal: float64 [2] [m].
        discs: float64 [N, 3]: x, y, radius [m].
        right_costs_m: A disc is passed on its right only where that is shorter by so much [m].

    Returns:
        float64 [C, 2], C from 1 to 4 or so; a straight way has the goal alone.
    """
    shrunk = discs.copy()
    for end in (start, goal):
        away = np.hypot(*(discs[:, :2] - end).T)
        shrunk[:, 2] = np.minimum(shrunk[:, 2], (away - _TOUCH_M) / _WIDER)
    return np.array(_corners(start, goal, shrunk[shrunk[:, 2] > 0], _MOST_CORNERS, right_costs_m))


def _corners(start: Array, goal: Array, discs: Array, most: int, right_costs_m: float
             ) -> list[Array]:
    first = _first_in_the_way(start, goal, discs)
    if first is None or most == 0:
        return [goal]
    ways = []
    for side in (1.0, -1.0):
        corner = _past(start, goal, discs[first], side)
        ways.append([*_corners(start, corner, discs, most - 1, right_costs_m)[:-1], corner,
                     *_corners(corner, goal, discs, most - 1, right_costs_m)])
    left, right = ways
    return right if length_of(start, right) + right_costs_m < length_of(start, left) else left


def _past(start: Array, goal: Array, disc: Array, side: float) -> Array:
    """Where the tangents from both ends meet, on the left (1) or right (-1) of the disc."""
    length = max(float(np.hypot(*(goal - start))), _TOUCH_M)
    ahead = (goal - start) / length
    left = np.array([-ahead[1], ahead[0]])
    along, aside = float((disc[:2] - start) @ ahead), side * float((disc[:2] - start) @ left)
    rises = []
    for distance in (along, length - along):
        away = max(float(np.hypot(distance, aside)), _TOUCH_M)
        rise = np.arctan2(aside, distance) + np.arcsin(min(1.0, _WIDER * disc[2] / away))
        rises.append(float(np.tan(np.clip(rise, 0.01, _STEEPEST_RAD))))
    forward = length * rises[1] / (rises[0] + rises[1])
    corner: Array = start + forward * ahead + side * forward * rises[0] * left
    return corner


def length_of(start: Array, corners: list[Array] | Array) -> float:
    """How long a way is [m]."""
    points = np.vstack([start, *corners])
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def is_clear(start: Array, corners: Array, discs: Array) -> bool:
    """Whether a way enters no disc."""
    points = np.vstack([start, corners])
    return all(_first_in_the_way(a, b, discs) is None for a, b in pairwise(points))


def _first_in_the_way(start: Array, goal: Array, discs: Array) -> int | None:
    """Index of the disc that a straight way enters first."""
    if not len(discs):
        return None
    way = goal - start
    length = max(float(np.hypot(*way)), _TOUCH_M)
    way = way / length
    offset = discs[:, :2] - start
    along = np.clip(offset @ way, 0.0, length)
    away = np.hypot(*(offset - along[:, None] * way).T)
    entered = away < discs[:, 2] - _TOUCH_M
    return int(np.argmin(np.where(entered, along, np.inf))) if entered.any() else None
