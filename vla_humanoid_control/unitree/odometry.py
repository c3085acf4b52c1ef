"""Base twist from the robot's odometer, by its poses alone."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.geometry import rotate, wrap

_WINDOW_S = 0.1


class PoseDifferences:
    """Mean twist over the last tenth of a second.

    Not the velocity that the message has: its frame is documented nowhere.
    """

    def __init__(self) -> None:
        self._poses: deque[tuple[float, NDArray[np.float64]]] = deque()

    def twist(self, pose: NDArray[np.float64], stamp_s: float) -> NDArray[np.float64]:
        """Take a pose and give the twist in its frame; zero before there is another.

        Args:
            pose: float64 [3], x, y [m], yaw [rad].
            stamp_s: Its time on any one clock [s]; where that goes back, all begins anew.

        Returns:
            float64 [3]: forward, left [m/s], turning left [rad/s].
        """
        poses = self._poses
        if poses and stamp_s <= poses[-1][0]:
            poses.clear()
        poses.append((stamp_s, pose))
        while len(poses) > 2 and stamp_s - poses[1][0] >= _WINDOW_S:
            poses.popleft()
        passed_s = stamp_s - poses[0][0]
        if passed_s == 0.0:
            return np.zeros(3)
        way = (pose - poses[0][1]) / passed_s
        turned = wrap(float(pose[2] - poses[0][1][2]))
        return np.array([*rotate(way[0], way[1], -float(pose[2]) + turned / 2),
                         turned / passed_s])
