"""The ticks of the safety loop: when one is due, and whether they come often enough."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vla_humanoid_control.safety.states import STOP, Cause

_LATE = 2.5  # ticks further apart than this many periods, on average, stop the robot
_EARLY = 0.25  # a tick may come early by this share of the period


class Ticks:
    """Ticks that on average are never due more often than the loop's rate.

    Args:
        period_s: Between two ticks [s].
        gap_s: Ticks further apart are a gap, which says nothing of the loop's rate [s].
        now_s: The steady clock now [s].
    """

    def __init__(self, period_s: float, gap_s: float, now_s: float) -> None:
        self._period_s = period_s
        self._gap_s = gap_s
        self._due_s = -math.inf
        self._ticked_s = now_s
        self._interval_s = period_s  # between ticks, a running mean

    @property
    def rate_hz(self) -> float:
        """At which ticks come; 0 where that is not known [Hz]."""
        return 1 / self._interval_s if self._interval_s > 0 else 0.0

    def take(self, now_s: float) -> float | None:
        """How late the tick comes that is due now; infinite for the first, None if none is [s]."""
        late_s = now_s - self._due_s
        if late_s < -_EARLY * self._period_s:
            return None
        if late_s <= self._gap_s:
            self._interval_s += 0.1 * (now_s - self._ticked_s - self._interval_s)
        self._ticked_s = now_s
        self._due_s = (now_s if late_s > self._period_s else self._due_s) + self._period_s
        return late_s

    def causes(self) -> Iterator[Cause]:
        """A loop that is too slow stops the robot."""
        if self._interval_s > _LATE * self._period_s:
            yield Cause('late', STOP, f'the safety loop itself runs at {self.rate_hz:.0f} Hz')
