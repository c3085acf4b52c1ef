"""Joint states as safety watches them: each joint by its age, each driver for repetition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.perception.joints import JointStateMerger
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.watchdogs import FrozenCheck, RobotClock, StampLimits, Watchdog
from vla_humanoid_control.types import JointReading

Array = NDArray[np.float64]
Places = NDArray[np.intp]

NAME = 'joint_states'
_MUST_CHANGE_AFTER = 0.02  # commanded way after which a driver's joints must differ [rad; m]
_SHORT = 0.2  # a joint of less travel is a gripper: it stands still while it holds something
_MOST_PARTS = 64  # as many groups of joints are told apart; a robot has a few drivers


@dataclass
class _Part:
    """The joints that one driver reports together.

    Attributes:
        number: Tells parts apart.
        places: Of its joints, among all joints.
        driven: Of those of its joints that a command moves, among the controlled joints.
        walks: Whether some of its joints move when the base does.
        check: For repetition to the last bit.
        way: How far commands have moved its joints [rad; m], and the base where it walks.
    """

    number: int
    places: Places
    driven: Places
    walks: bool
    check: FrozenCheck
    way: float = 0.0


class JointStates(Watchdog):
    """Watches every joint of a robot, whichever publisher tells of it.

    It is stale when one joint was not heard for too long. Which joints should change is told for
    the joints that come in one message: that is as much as a frozen driver freezes.

    Args:
        robot: The robot.

    Attributes:
        merged: The latest reading of every joint.
    """

    def __init__(self, robot: RobotSpec) -> None:
        super().__init__(NAME, robot.sensors[NAME].timeout_s)
        self.merged = JointStateMerger(robot.joint_names)
        # Among the controlled joints, where a joint is; -1 for those of the walking controller.
        self._order = np.full(len(robot.joints), -1)
        self._order[[j.controlled for j in robot.joints]] = np.arange(len(robot.controlled))
        self._travels = np.array([j.upper - j.lower >= _SHORT for j in robot.joints])
        self._parts: dict[bytes, _Part] = {}
        self._distinct: list[_Part] = []  # the same, once whatever the order of their joints
        self._told_by = np.full(len(robot.joints), -1)  # number of the part that was the last
        self._last = -1  # number of the part that came last

    @property
    def seen(self) -> bool:
        """Whether every joint was ever heard."""
        return self.merged.is_whole

    def take(self, reading: JointReading, clock: RobotClock, limits: StampLimits,
             now_s: float) -> str:
        """Take a reading of some or all joints, or none: why nothing of it was taken, or ''."""
        if reading.stamp_ns <= 0:
            problem = 'stamp is zero' if reading.stamp_ns == 0 else 'stamp is negative'
        else:
            latest_ns = None if clock.now_ns is None \
                else clock.now_ns + int(limits.max_ahead_s * 1e9)
            problem = clock.problem(reading.stamp_ns, limits) \
                or self.merged.take(reading, now_s, latest_ns)
        if problem:
            self.reject(problem, now_s)
        elif len(self.merged.part(reading)):
            self.touch(now_s)
        return problem

    def repeated(self, reading: JointReading, at_rest_too: bool, frozen_after_s: float,
                 now_s: float) -> None:
        """Look whether what was taken repeats itself; arguments as in `FrozenCheck.offer`."""
        places = self.merged.part(reading)
        if not len(places):
            return
        part = self._parts.get(places.tobytes()) or self._new_part(places)
        whole = len(part.places) == len(self.merged.names)
        if part.number != self._last:
            self._told_by[part.places], self._last = part.number, part.number
        which = slice(None) if whole else part.places
        # As bits: a velocity that is not known is equal to itself here.
        content = self.merged.positions[which].tobytes() + self.merged.velocities[which].tobytes()
        part.check.offer(content, part.way, at_rest_too, frozen_after_s, now_s)

    def moved(self, joints: Array, base: float) -> None:
        """Commands have moved the controlled joints [n] and the base by so much [rad; m]."""
        for part in self._distinct:
            part.way += float(joints[part.driven].max(initial=0.0)) + base * part.walks

    def frozen(self) -> str:
        """Who repeats itself to the last bit although it should not; '' if none does."""
        for part in self._parts.values():
            if part.check.frozen and (self._told_by[part.places] == part.number).any():
                if len(part.places) == len(self.merged.names):
                    return NAME
                return f'{NAME} of {self.merged.listed(part.places)}'
        return ''

    def age_s(self, now_s: float) -> float:
        """Time since the joint that was silent for longest was heard [s]."""
        return self.merged.age_s(now_s)

    def _overdue(self, now_s: float, timeout_s: float) -> str:
        if self.accepted == 0 or self.merged.all_silent(now_s, timeout_s):
            return super()._overdue(now_s, timeout_s)
        return f'{NAME}: {self.merged.problem(now_s, timeout_s)}'

    def _new_part(self, places: Places) -> _Part:
        if len(self._parts) >= _MOST_PARTS:
            self._parts.clear()
            self._distinct.clear()
            self._told_by[:] = self._last = -1
        ordered = np.sort(places)  # the same joints in another order are the same part
        part = self._parts.get(ordered.tobytes())
        if part is None:
            order = self._order[ordered]
            part = _Part(len(self._parts), ordered, order[(order >= 0) & self._travels[ordered]],
                         bool((order < 0).any()), FrozenCheck(_MUST_CHANGE_AFTER))
            self._parts[ordered.tobytes()] = part
            self._distinct.append(part)
        self._parts[places.tobytes()] = part
        return part
