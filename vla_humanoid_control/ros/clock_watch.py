"""What is wrong with the robot's clock, in words for people. Pure: times are arguments."""

from __future__ import annotations

from dataclasses import dataclass

_JUMP_S = 0.5  # a wall clock that is put right by less than this has not jumped
_SIMULATED_JUMP_S = 10.0  # simulated time may pass ten times as fast as real time
_STILL_S = 2.0
_TOLD_S = 5.0  # for how long a jump is told


@dataclass
class ClockWatch:
    """Looks at the clock that stamps are in, a few times a second.

    Attributes:
        topic: Where simulated time comes from.
    """

    topic: str = '/clock'
    _before: tuple[int, float] | None = None
    _moved_s: float = 0.0  # when the clock last showed another time
    _jump: str = ''
    _jumped_s: float = 0.0

    def problem(self, now_ns: int, steady_s: float, simulated: bool, has_publisher: bool) -> str:
        """Take a look.

        Args:
            now_ns: The clock; 0 while simulated time is awaited [ns].
            steady_s: Steady clock [s].
            simulated: Whether `use_sim_time` is set.
            has_publisher: Whether anybody publishes `topic`.

        Returns:
            What is wrong with it; '' where nothing is.
        """
        self._follow(now_ns, steady_s, simulated)
        if simulated and not has_publisher:
            return (f'use_sim_time is set, and nobody publishes {self.topic}: start what does, '
                    'or set use_sim_time to false')
        if simulated and now_ns <= 0:
            return f'use_sim_time is set, and no time has come on {self.topic} yet'
        if simulated and steady_s - self._moved_s > _STILL_S:
            return f'{self.topic} stands still'
        if self._jump and steady_s - self._jumped_s < _TOLD_S:
            return self._jump
        return ''

    def _follow(self, now_ns: int, steady_s: float, simulated: bool) -> None:
        before, self._before = self._before, (now_ns, steady_s)
        if before is None or now_ns != before[0]:
            self._moved_s = steady_s
        if before is None or before[0] <= 0 or now_ns <= 0:
            return
        passed_s = steady_s - before[1]
        ahead_s = (now_ns - before[0]) * 1e-9 - passed_s
        least_s = _SIMULATED_JUMP_S * (1.0 + passed_s) if simulated else _JUMP_S
        went_back = now_ns < before[0] if simulated else ahead_s < -_JUMP_S
        if went_back or ahead_s > least_s:
            self._jump = (f'the clock jumped {"ahead" if ahead_s > 0 else "back"} by '
                          f'{abs(ahead_s):.1f} s: what was stamped before does not count')
            self._jumped_s = steady_s
