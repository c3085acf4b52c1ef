"""Whether a loop keeps its period."""

from __future__ import annotations


class LoopTiming:
    """Counts the ticks of a loop, and those that came late by more than half a period.

    Attributes:
        period_s: Time between two ticks [s].
        counts: 'ticks' and 'deadlines_missed'.
    """

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.counts = {'ticks': 0, 'deadlines_missed': 0}
        self._due_s = 0.0

    def begin(self, now_s: float) -> None:
        """The first tick is due one period from now [s]."""
        self._due_s = now_s + self.period_s

    def tick(self, now_s: float) -> None:
        """Count a tick."""
        self.counts['ticks'] += 1
        if now_s - self._due_s > self.period_s / 2:
            self.counts['deadlines_missed'] += 1
            self._due_s = now_s
        self._due_s += self.period_s
