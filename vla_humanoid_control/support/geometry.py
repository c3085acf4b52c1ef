"""Geometry of the plane that the robot stands on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def wrap(angle: float | NDArray[np.float64]) -> float:
    """An angle in (-pi, pi] [rad]."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
