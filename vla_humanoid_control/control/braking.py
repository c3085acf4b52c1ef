"""How far the base still goes where it is stopped now: safety brakes it within its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import MotionLimits

_CLOSEST_S = 0.005  # commands that come closer together do so by chance [s]


def stopping_way(speed: float, acceleration: float, limits: MotionLimits, delay_s: float) -> float:
    """The way from here to rest: at this speed for the delay, then braked with bounded jerk.

    With q = j v + a²/2 and the peak p = min(√q, A), the acceleration pulse to rest of
    `safety.limits` covers (q (a + p/2 + q/2p) - a³/6) / j².

    Args:
        speed: Of one axis, with its sign [unit/s].
        acceleration: Likewise [unit/s²].
        limits: Of this axis: A is its acceleration, j its jerk.
        delay_s: Until the brake takes hold [s].

    Returns:
        The way, with its sign [unit].
    """
    jerk = limits.jerk
    side = -1.0 if 2.0 * jerk * speed + acceleration * abs(acceleration) < 0.0 else 1.0
    a = acceleration * side
    square = max(jerk * speed * side + 0.5 * a * a, 0.0)
    if square == 0.0:
        return 0.0
    peak = min(math.sqrt(square), limits.acceleration)
    braked = square * (a + 0.5 * (peak + square / peak)) - a * a * a / 6.0
    return speed * delay_s + side * braked / (jerk * jerk)


class Coasting:
    """Follows what the base is told, which is what safety brakes from.

    Args:
        limits: Of forward, left and turning left, in this order.
        timeout_s: No command counts for longer; see `RobotSpec.command_timeout_s` [s].
    """

    def __init__(self, limits: Sequence[MotionLimits], timeout_s: float) -> None:
        self._limits, self._timeout_s = tuple(limits), timeout_s
        self._most: NDArray[np.float64] = np.array([m.acceleration for m in limits])
        self._twist: NDArray[np.float64] = np.zeros(3)
        self._acceleration: NDArray[np.float64] = np.zeros(3)
        self._heard_s = -math.inf

    def on_command(self, twist: NDArray[np.float64], now_s: float) -> None:
        """A command was sent: float64 [3], forward, left [m/s], turning left [rad/s]."""
        passed_s = max(now_s - self._heard_s, _CLOSEST_S)
        self._acceleration = np.clip((twist - self._twist) / passed_s, -self._most, self._most)
        self._twist, self._heard_s = np.array(twist, np.float64), now_s

    def ahead(self, now_s: float, delay_s: Sequence[float]) -> NDArray[np.float64]:
        """The way to rest in the frame of the base now, float64 [3] [m, m, rad]; 0 at rest.

        Args:
            now_s: Steady clock [s].
            delay_s: Until the brake takes hold, by axis [s].
        """
        if now_s - self._heard_s > self._timeout_s:
            return np.zeros(3)
        return np.array([stopping_way(v, a, limits, after_s) for v, a, limits, after_s in zip(
            self._twist.tolist(), self._acceleration.tolist(), self._limits, delay_s,
            strict=True)])
