"""When the robot's walking controller is asked for a velocity, and for which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STAND_S = 1.0
"""How long standing is still asked for once no base command comes [s]."""


class BaseHandover:
    """A base command counts for half of the robot's command timeout, and each request for half.

    So the base stands within that timeout after the last command, and also where no further
    request comes. After that nothing is asked for, and whoever holds the remote control has the
    robot. Time is an argument, in seconds of a steady clock.

    Args:
        top_twist: float64 [3], limits of the base: forward, left [m/s], turning left [rad/s].
        command_timeout_s: The base stands when it has heard no command for so long [s].

    Attributes:
        request_s: For how long each request is to hold [s].
    """

    def __init__(self, top_twist: NDArray[np.float64], command_timeout_s: float) -> None:
        self._top = top_twist
        self.request_s = command_timeout_s / 2
        self._twist: NDArray[np.float64] = np.zeros(3)
        self._heard_s = float('-inf')

    def on_twist(self, twist: NDArray[np.float64], now_s: float) -> None:
        """Take a finite base command [3]; what is beyond the limits is cut."""
        self._twist = np.clip(twist, -self._top, self._top)
        self._heard_s = now_s

    def step(self, now_s: float, let_go: bool = False) -> NDArray[np.float64] | None:
        """The twist [3] to ask for now; None where the robot is to be left alone.

        Args:
            now_s: The time [s].
            let_go: Whether the base is to stand, however fresh the command.
        """
        silent_s = now_s - self._heard_s
        if silent_s > self.request_s + STAND_S:
            return None
        stands = let_go or silent_s > self.request_s
        return np.zeros(3) if stands else self._twist
