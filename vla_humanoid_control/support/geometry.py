"""Geometry of the plane that the robot stands on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def wrap(angle: float | NDArray[np.float64]) -> float:
    """An angle in (-pi, pi] [rad]."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def advance(pose: NDArray[np.float64], twist: NDArray[np.float64],
            duration_s: float) -> NDArray[np.float64]:
    """Dead reckoning: a pose [3] after a base twist [3] for some time, by the midpoint rule."""
    yaw = pose[2] + twist[2] * duration_s / 2
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([pose[0] + (cos * twist[0] - sin * twist[1]) * duration_s,
                     pose[1] + (sin * twist[0] + cos * twist[1]) * duration_s,
                     pose[2] + twist[2] * duration_s])
