"""Is an input alive: its age on the steady clock, its stamps, and whether it repeats itself."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

_JUMP_NS = 1_000_000_000
"""While the robot's clock is unknown, a stamp further back than this means that it has jumped, and
not that the message is old [ns]."""

_OTHER_TIME_S = 3e6  # no clock is off by a month that is of the same kind


@dataclass(frozen=True)
class StampLimits:
    """How far a stamp may be from the robot's clock [s]."""

    max_age_s: float
    max_ahead_s: float


class RobotClock:
    """The robot's clock as last seen; unknown until it is.

    Stamps are judged against this clock alone and never extend a deadline: those run on the steady
    clock. A paused `/clock` pauses the stamps, which then no longer advance.
    """

    def __init__(self) -> None:
        self.now_ns: int | None = None

    def set(self, robot_now_ns: int) -> None:
        """Take the clock's present reading."""
        self.now_ns = robot_now_ns

    def has_jumped_back(self, last_ns: int, stamp_ns: int, limits: StampLimits) -> bool:
        """Whether a stamp comes before the last accepted one because the clock went back.

        Then the last one is so far ahead of the clock by now that it would be rejected. Smaller
        steps back are waited out: a clock that wavers must not make an old stamp new.
        """
        if self.now_ns is None:
            return last_ns - stamp_ns >= _JUMP_NS
        return (last_ns - self.now_ns) * 1e-9 > limits.max_ahead_s

    def age_s(self, stamp_ns: int) -> float:
        """How long ago a stamp was [s]; 0 for one that is ahead, or if the clock is unknown."""
        return 0.0 if self.now_ns is None else max(0.0, (self.now_ns - stamp_ns) * 1e-9)

    def problem(self, stamp_ns: int, limits: StampLimits) -> str:
        """Why a stamp cannot be trusted; empty if it can, or if the clock is unknown."""
        if self.now_ns is None:
            return ''
        age_s = (self.now_ns - stamp_ns) * 1e-9
        if abs(age_s) > _OTHER_TIME_S:
            return ('stamp counts from another beginning than the clock: set use_sim_time in all '
                    'nodes or in none')
        if age_s > limits.max_age_s:
            return f'stamp is {age_s:.2f} s old'
        if -age_s > limits.max_ahead_s:
            return f'stamp is {-age_s:.2f} s ahead'
        return ''


class Watchdog:
    """Watches one input.

    A reading extends the deadline only if it is accepted, and it is accepted only if its stamp is
    later than that of the reading before. A zero stamp says nothing about time, so such a reading
    is rejected. After a jump of the robot's clock the order of stamps begins anew.

    Args:
        name: Shown to people.
        timeout_s: Without an accepted reading for longer than this, the input is stale [s].
        from_stamp: The time counts from the stamp instead of the arrival: a proposal is as old as
            the camera frame that it comes from. A clock that went wrong can shorten it so, and
            never lengthen it.
    """

    def __init__(self, name: str, timeout_s: float, from_stamp: bool = False) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._from_stamp = from_stamp
        self.accepted = 0
        self.rejected = 0
        self.last_rejection = ''
        self._arrival_s: float | None = None
        self._stamp_ns: int | None = None
        self._rejected_s = 0.0

    @property
    def seen(self) -> bool:
        """Whether anything was ever accepted."""
        return self._arrival_s is not None

    def offer(self, stamp_ns: int, clock: RobotClock, limits: StampLimits, now_s: float) -> str:
        """Judge a reading by its stamp, and count it.

        Returns:
            Why it is rejected; empty if it is accepted.
        """
        problem = self._problem(stamp_ns, clock, limits)
        if problem:
            self.reject(problem, now_s)
        else:
            self._stamp_ns = stamp_ns
            self.touch(now_s - clock.age_s(stamp_ns) if self._from_stamp else now_s)
        return problem

    def is_latest(self, stamp_ns: int) -> bool:
        """Whether the last accepted reading had this stamp."""
        return self._stamp_ns == stamp_ns and stamp_ns > 0

    def touch(self, now_s: float) -> None:
        """Extend the deadline for an input that has no stamp."""
        self.accepted += 1
        self._arrival_s = now_s

    def reject(self, reason: str, now_s: float) -> None:
        """Count a reading that takes no effect."""
        self.rejected += 1
        self.last_rejection = reason
        self._rejected_s = now_s

    def age_s(self, now_s: float) -> float:
        """Time since the last accepted reading; infinite before the first [s]."""
        return float('inf') if self._arrival_s is None else max(now_s - self._arrival_s, 0.0)

    def stale(self, now_s: float, scale: float = 1.0) -> str:
        """Why the input is stale; empty if it is not."""
        age_s = self.age_s(now_s)
        if age_s <= self.timeout_s * scale:
            return ''
        recently_rejected = self.rejected and now_s - self._rejected_s <= self.timeout_s * scale
        because = f'; rejected: {self.last_rejection}' if recently_rejected else ''
        return self._overdue(now_s, self.timeout_s * scale) + because

    def _overdue(self, now_s: float, timeout_s: float) -> str:
        """What is overdue, for people."""
        del timeout_s
        what = f'stale for {self.age_s(now_s):.2f} s' if self.seen else 'missing'
        return f'{self.name} {what}'

    def _problem(self, stamp_ns: int, clock: RobotClock, limits: StampLimits) -> str:
        if stamp_ns <= 0:
            return 'stamp is zero' if stamp_ns == 0 else 'stamp is negative'
        if problem := clock.problem(stamp_ns, limits):
            return problem
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns \
                and not clock.has_jumped_back(self._stamp_ns, stamp_ns, limits):
            return 'stamp does not advance'
        return ''


class FrozenCheck:
    """Tells an input that repeats itself to the last bit although it should change.

    It should change when the robot moves: the time counts from when commands have moved the robot
    by `threshold` since this content was first seen, because a noiseless sensor of a robot at rest
    repeats itself honestly. Once frozen, only a different reading clears it.

    Args:
        threshold: Commanded way after which readings must differ [m + rad].
    """

    def __init__(self, threshold: float) -> None:
        self.frozen = False
        self._threshold = threshold
        self._content: Hashable = None
        self._way = 0.0
        self._since_s: float | None = None

    def offer(self, content: Hashable, way: float, at_rest_too: bool, frozen_after_s: float,
              now_s: float) -> None:
        """Take one reading.

        Args:
            content: What it says, or a digest of it.
            way: How far commands have moved the robot since start, never decreasing [m + rad].
            at_rest_too: Expect change even while nothing moves.
            frozen_after_s: Time without change after which it is frozen [s].
            now_s: The steady clock [s].
        """
        if content != self._content:
            self._content, self._way, self._since_s, self.frozen = content, way, None, False
        if self._since_s is None and (at_rest_too or way - self._way > self._threshold):
            self._since_s = now_s
        elif self._since_s is not None and now_s - self._since_s >= frozen_after_s:
            self.frozen = True
