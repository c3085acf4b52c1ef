"""Geometry of the plane that the robot stands on.

A pose is x, y [m] and yaw [rad] of a frame. Sine and cosine are those of `math`: NumPy's take
longer for single numbers, and the safety gate calls these functions in every tick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

OPTICAL: NDArray[np.float64] = np.array([
    [0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Turns the axes of an image (x right, y down, z ahead) into those of a body (x ahead, z up)."""
Coordinate = TypeVar('Coordinate', float, NDArray[np.float64])


def wrap(angle: float) -> float:
    """An angle in [-pi, pi) [rad]."""
    return float((angle + math.pi) % (2 * math.pi) - math.pi)


def rotate(x: Coordinate, y: Coordinate, angle: float) -> tuple[Coordinate, Coordinate]:
    """Vectors turned by an angle [rad]; by minus a frame's yaw they are as seen in that frame."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


def heading(quaternion: Sequence[float] | NDArray[np.float64]) -> float:
    """Yaw of a frame by its quaternion (w, x, y, z), of any length [rad]."""
    w, x, y, z = quaternion
    return math.atan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z)


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


def mount_pose(mount: Sequence[float]) -> NDArray[np.float64]:
    """Where a mounted body is, float64 [4, 4]: `mount` is x, y, z [m], roll, pitch, yaw [rad]."""
    x, y, z, roll, pitch, yaw = mount
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
    return np.array([[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, x],
                     [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, y],
                     [-sp, cp * sr, cp * cr, z],
                     [0.0, 0.0, 0.0, 1.0]])
