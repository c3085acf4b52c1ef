"""Where the base has come, by the robot's own odometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.geometry import rotate, wrap
from vla_humanoid_control.types import OdometryReading

SPEED_MARGIN, STEP_MARGIN = 1.5, 0.05
"""A base that comes further between two readings than at this multiple of its top speed, and this
much [m; rad], has not moved there: its odometry has begun anew, or it was carried."""


class OdometryTrack:
    """`RobotObservation.travelled` from poses in a fixed frame, which jump when that begins anew.

    Args:
        top_twist: float64 [3], the base's limits: forward, left [m/s], turning left [rad/s].
    """

    def __init__(self, top_twist: NDArray[np.float64]) -> None:
        self._top_mps, self._top_radps = float(np.hypot(*top_twist[:2])), float(top_twist[2])
        self._stamp_ns = 0
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

    def on_reading(self, reading: OdometryReading, now_s: float) -> None:
        """Take a reading; its pose may be in any fixed frame. `now_s` is on the steady clock [s].

        Between two readings passed what their stamps or their arrivals say, whichever is more:
        some drivers stamp badly, and messages come in bursts.
        """
        pose = reading.pose
        passed_s = max((reading.stamp_ns - self._stamp_ns) / 1e9, now_s - self._heard_s)
        self._stamp_ns, self._heard_s = reading.stamp_ns, now_s
        if self._pose is None:
            self._pose = self._origin = np.array(pose)
            return
        before = self._pose
        turned = wrap(float(pose[2] - before[2]))
        new = np.array([pose[0], pose[1], before[2] + turned])
        reach = SPEED_MARGIN * passed_s
        if np.hypot(*(new - before)[:2]) > STEP_MARGIN + self._top_mps * reach \
                or abs(turned) > STEP_MARGIN + self._top_radps * reach:
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
