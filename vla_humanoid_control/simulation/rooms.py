"""Rooms, by name: where their walls are. Two of the four are for evaluation alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
"""Middle x, y and half extent along x, y [m]."""


@dataclass(frozen=True)
class Room:
    """Four walls about the middle of the world, and what else of walls there is.

    Attributes:
        half_m: From the middle to the walls, along x and along y [m].
        inner: Walls inside, as high as the others.
    """

    half_m: tuple[float, float]
    inner: tuple[Rectangle, ...] = ()


SQUARE = 'square'
"""The room of whatever says nothing else."""
ROOMS: Mapping[str, Room] = {
    SQUARE: Room((3.5, 3.5)),
    'long': Room((4.5, 2.7)),
    'divided': Room((3.5, 3.5), ((0.0, 2.3, 0.06, 1.2),)),
    'corner': Room((3.5, 3.5), ((2.4, 2.4, 1.1, 1.1),)),
}
TRAINED_ROOMS = (SQUARE, 'long')
"""Demonstrations are drawn in these alone; the others judge."""


def points_of(rectangle: Rectangle) -> NDArray[np.float64]:
    """Points that cover a rectangle, at most 0.3 m apart, float64 [N, 2]."""
    x, y, half_x, half_y = rectangle
    across, along = (np.linspace(-half, half, int(np.ceil(half / 0.15)) + 1)
                     for half in (half_x, half_y))
    return np.stack(np.meshgrid(x + across, y + along), axis=-1).reshape(-1, 2)
