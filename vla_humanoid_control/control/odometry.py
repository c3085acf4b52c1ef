"""Where the base has come, by the robot's own odometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.geometry import rotate, wrap

MAX_STEP_M, MAX_STEP_RAD = 0.5, 1.5
"""Between two readings no base comes so far: its odometry has begun anew [m; rad]."""


class OdometryTrack:
    """`Observation.travelled` from poses in a fixed frame, which jump when that begins anew."""

    def __init__(self) -> None:
        self._pose: NDArray[np.float64] | None = None  # x, y [m], yaw [rad, unwrapped]
        self._origin: NDArray[np.float64] = np.zeros(3)
        self._heard_s = -np.inf

    def reset(self) -> None:
        """Begin anew here: a new instruction."""
        if self._pose is not None:
            self._origin = np.array(self._pose)

    def age_s(self, now_s: float) -> float:
        """Since when nothing was heard; inf before the first pose [s]."""
        return now_s - self._heard_s

    def on_pose(self, pose: NDArray[np.float64], now_s: float) -> None:
        """Take a pose.

        Args:
            pose: float64 [3]: x, y [m] and yaw [rad] of the base in any fixed frame.
            now_s: Steady clock [s].
        """
        self._heard_s = now_s
        if self._pose is None:
            self._pose = self._origin = np.array(pose)
            return
        before = self._pose
        turned = wrap(float(pose[2] - before[2]))
        new = np.array([pose[0], pose[1], before[2] + turned])
        if np.hypot(*(new - before)[:2]) > MAX_STEP_M or abs(turned) > MAX_STEP_RAD:
            # The way so far is kept: as if the base had not moved between the two readings.
            way = self.travelled()
            new[2] = pose[2]
            yaw = new[2] - way[2]
            x, y = rotate(way[0], way[1], yaw)
            self._origin = np.array([new[0] - x, new[1] - y, yaw])
        self._pose = new

    def travelled(self) -> NDArray[np.float64]:
        """float64 [3]: x [m], y [m], yaw [rad, unwrapped], in the frame of the base at `reset`."""
        if self._pose is None:
            return np.zeros(3)
        x, y, yaw = self._pose - self._origin
        return np.array([*rotate(x, y, -self._origin[2]), yaw])
