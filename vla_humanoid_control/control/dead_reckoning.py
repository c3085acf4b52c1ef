"""Where the base should be by now, from the commands that were sent to it (efference copy)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.geometry import advance

_MOVING = 0.02  # a base that is told less is not being told to move [m/s; rad/s]


class DeadReckoning:
    """Integrates base commands into `RobotObservation.travelled`, each until the next one comes.

    Args:
        command_timeout_s: No command counts for longer; see `RobotSpec.command_timeout_s` [s].
    """

    def __init__(self, command_timeout_s: float) -> None:
        self._timeout_s = command_timeout_s
        self._pose: NDArray[np.float64] = np.zeros(3)
        self._twist: NDArray[np.float64] = np.zeros(3)
        self._heard_s: float | None = None  # when the newest command came
        self._since_s = 0.0  # up to when `_pose` holds

    def reset(self, now_s: float) -> None:
        """Begin anew here and now: a new instruction. The present command goes on."""
        self._pose, self._since_s = np.zeros(3), now_s

    def on_command(self, twist: NDArray[np.float64], now_s: float) -> None:
        """A command was sent.

        Args:
            twist: float64 [3], forward, left, turning left [m/s, m/s, rad/s].
            now_s: Steady clock [s].
        """
        self._pose = self.travelled(now_s)
        self._twist = np.array(twist, dtype=np.float64)
        self._heard_s = self._since_s = now_s

    def is_moving(self, now_s: float) -> bool:
        """Whether the base is being told to move."""
        return (self._heard_s is not None and now_s - self._heard_s <= self._timeout_s
                and bool(np.abs(self._twist).max() > _MOVING))

    def travelled(self, now_s: float) -> NDArray[np.float64]:
        """float64 [3]: x [m], y [m], yaw [rad, unwrapped], in the frame of the base at `reset`."""
        if self._heard_s is None:
            return np.array(self._pose)
        dt = max(min(now_s, self._heard_s + self._timeout_s) - self._since_s, 0.0)
        return advance(self._pose, self._twist, dt)
