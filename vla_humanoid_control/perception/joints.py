"""Joint states by name: several drivers may each report some of a robot's joints. Pure.

    arms, 100 Hz ──┐
    head,  50 Hz ──┼──► JointStateMerger ──► every joint: position, velocity, stamp, age
    a gripper    ──┘
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.types import JointReading

_JUMP_NS = 1_000_000_000
"""Where nobody says what time it is, a stamp further back than this means that the clock of the
stamps went back, and not that the reading is old [ns]."""
_MOST_PARTS = 64  # as many groups of joints as are remembered; a robot has a few drivers
_MOST_NAMES = 3  # of joints that are named in a reason


def joints_problem(reading: JointReading, names: Iterable[str]) -> str:
    """Why a reading cannot be used; '' if it can.

    A reading may hold some of a robot's joints, and joints that are none of the robot's, whose
    values are nobody's concern. A position must be finite. A velocity need not be: a joint without
    velocity interface reports NaN, and `own_velocities` leaves it out.

    Args:
        reading: What arrived.
        names: The robot's joints.
    """
    for name in names:
        position = reading.positions.get(name)
        if position is not None and not math.isfinite(position):
            return f'the position of {name} is not finite'
    return ''


class JointStateMerger:
    """The latest position of every joint, whichever publisher it came from, each with its age.

    Within one joint a reading must be newer than the one before it; readings of different joints
    need no common stamp, order, or rate. Joints that are not the robot's are ignored.

    Args:
        names: The robot's joints, in the order of all arrays here.

    Attributes:
        names: The same.
        positions: float64 [J], NaN for a joint that was never heard [rad; m for grippers].
        velocities: float64 [J], NaN for a joint that reports none [rad/s; m/s].
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._order = np.arange(len(self.names)).astype(np.intp).tobytes()
        self._places = {name: place for place, name in enumerate(self.names)}
        self._parts: dict[tuple[str, ...], NDArray[np.intp]] = {}
        self._asked: tuple[JointReading | None, NDArray[np.intp]] = None, np.zeros(0, np.intp)
        self.clear()

    def clear(self) -> None:
        """Forget all readings: no joint was ever heard."""
        count = len(self.names)
        self.positions: NDArray[np.float64] = np.full(count, np.nan)
        self.velocities: NDArray[np.float64] = np.full(count, np.nan)
        self._stamps_ns: NDArray[np.int64] = np.zeros(count, np.int64)
        self._arrivals_s: NDArray[np.float64] = np.full(count, -np.inf)
        self._newest_ns = 0  # of all stamps
        self._is_whole = False

    def part(self, reading: JointReading) -> NDArray[np.intp]:
        """Places in `names` of the robot's joints in a reading, in the order of the reading."""
        if reading is self._asked[0]:
            return self._asked[1]
        names = tuple(reading.positions)
        places = self._parts.get(names)
        if places is None:
            if len(self._parts) >= _MOST_PARTS:
                self._parts.clear()
            places = np.array([self._places[n] for n in names if n in self._places], np.intp)
            self._parts[names] = places
        self._asked = reading, places
        return places

    def take(self, reading: JointReading, now_s: float, latest_ns: int | None = None) -> str:
        """Take a reading of some or all joints.

        Args:
            reading: What arrived. A stamp of zero says nothing of its order.
            now_s: The steady clock [s].
            latest_ns: The latest stamp that is not from the future, on the robot's clock: an
                accepted stamp beyond it is from before that clock went back, and binds nobody.
                Without it, a stamp that is a second older than the one before means that [ns].

        Returns:
            Why nothing of the reading was taken; '' if some of it was, or if it has none of the
            robot's joints.
        """
        places = self.part(reading)
        if not len(places):
            return ''
        stamp_ns, values = reading.stamp_ns, self._own(reading.positions, places)
        if not np.isfinite(values).all():
            return joints_problem(reading, self.names)
        velocities = self._velocities_of(reading, len(places))
        every = stamp_ns > self._newest_ns  # newer for every joint
        if not every:
            before = self._stamps_ns[places]
            newer = before < stamp_ns
            newer |= before > latest_ns if latest_ns is not None else before - stamp_ns >= _JUMP_NS
            newer |= stamp_ns <= 0
            if not newer.any():
                return 'stamp does not advance'
            places, values = places[newer], values[newer]
            velocities = velocities[newer]
        # Most messages tell of all joints, in order; then nothing needs to be picked.
        which = slice(None) if every and len(places) == len(self.names) \
            and self._in_order(places) else places
        self.positions[which] = values
        self.velocities[which] = velocities
        self._stamps_ns[which] = stamp_ns
        self._arrivals_s[which] = now_s
        self._newest_ns = stamp_ns if every else int(self._stamps_ns.max())
        self._is_whole = self._is_whole or bool(np.isfinite(self._arrivals_s).all())
        return ''

    @property
    def is_whole(self) -> bool:
        """Every joint was heard at some time."""
        return self._is_whole

    def reading(self) -> JointReading | None:
        """Every joint's position, and velocity where it has one; None before all were heard.

        The stamp is that of the oldest of them.
        """
        if not self.is_whole:
            return None
        velocities = {n: v for n, v in zip(self.names, self.velocities.tolist())
                      if math.isfinite(v)}
        return JointReading(int(self._stamps_ns.min()),
                            dict(zip(self.names, self.positions.tolist())), velocities)

    def age_s(self, now_s: float) -> float:
        """Time since the joint that was silent for longest was heard; inf if one never was [s]."""
        return max(now_s - float(self._arrivals_s.min(initial=now_s)), 0.0)

    def problem(self, now_s: float, max_age_s: float) -> str:
        """Which joints were not heard for longer than `max_age_s`, for people; '' if none."""
        if self.age_s(now_s) <= max_age_s:
            return ''
        ages_s = now_s - self._arrivals_s
        never = [n for n, age_s in zip(self.names, ages_s.tolist()) if age_s == math.inf]
        if never:
            return f'{_text(never)} never heard'
        silent = [n for n, age_s in zip(self.names, ages_s.tolist()) if age_s > max_age_s]
        return f'{_text(silent)} not heard for {ages_s.max():.2f} s'

    def all_silent(self, now_s: float, max_age_s: float) -> bool:
        """Whether no joint at all was heard within `max_age_s`."""
        return now_s - float(self._arrivals_s.max(initial=-math.inf)) > max_age_s

    def listed(self, places: Iterable[int]) -> str:
        """Names of joints by their places, for people."""
        return _text([self.names[place] for place in places])

    def _in_order(self, places: NDArray[np.intp]) -> bool:
        """Whether these places are all of them, in order."""
        return places.tobytes() == self._order

    def _own(self, values: Mapping[str, float], places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Values of the robot's joints, which are at `places`, in the order of the mapping."""
        if len(values) == len(places):
            return np.fromiter(values.values(), np.float64, len(values))
        return np.array([v for name, v in values.items() if name in self._places], np.float64)

    def _velocities_of(self, reading: JointReading, count: int) -> NDArray[np.float64]:
        if not reading.velocities:
            return np.full(count, np.nan)
        velocities = np.array([reading.velocities.get(name, math.nan)
                               for name in reading.positions if name in self._places])
        velocities[~np.isfinite(velocities)] = np.nan
        return velocities


def _text(names: Sequence[str]) -> str:
    """Some of the names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ', '.join(names) if more <= 1 else \
        f'{", ".join(names[:_MOST_NAMES])} and {more} more joints'
