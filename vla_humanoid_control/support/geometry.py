"""Geometry of the plane that the robot stands on.

A pose is x, y [m] and yaw [rad] of a frame. Sine and cosine are those of `math`: NumPy's take
longer for single numbers, and the safety gate calls these functions in every tick.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Coordinate = TypeVar('Coordinate', float, NDArray[np.float64])


def wrap(angle: float) -> float:
    """An angle in [-pi, pi) [rad]."""
    return float((angle + math.pi) % (2 * math.pi) - math.pi)


def rotate(x: Coordinate, y: Coordinate, angle: float) -> tuple[Coordinate, Coordinate]:
    """Vectors turned by an angle [rad]; by minus a frame's yaw they are as seen in that frame."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


def locate(pose: NDArray[np.float64], x: float, y: float) -> tuple[float, float]:
    """Where a point of a frame is in the frame of that frame's pose [3], all in metres."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return pose[0] + cos * x - sin * y, pose[1] + sin * x + cos * y


def advance(pose: NDArray[np.float64], twist: NDArray[np.float64],
            duration_s: float) -> NDArray[np.float64]:
    """Dead reckoning: a pose [3] after a base twist [3] for some time, by the midpoint rule."""
    (x, y, yaw), (forward, left, turn) = pose.tolist(), twist.tolist()
    along_x, along_y = rotate(forward, left, yaw + turn * duration_s / 2)
    return np.array([x + along_x * duration_s, y + along_y * duration_s, yaw + turn * duration_s])
