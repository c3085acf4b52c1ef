"""Judges what a supervisor commands by what went in, not by what the supervisor thinks.

Whatever happens, what is commanded is

- finite, and within the limits of position, velocity, acceleration and jerk;
- at rest, once the time to brake has passed, while there is a reason to stand still: no proposal
  from a newer frame within T, a sensor silent for longer than T, an emergency stop;
- never faster than before while braking for such a reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.types import BASE_CHANNELS, Command, SafetyState

Array = NDArray[np.float64]

_TOLERANCE = 1e-6  # rounding of positions, magnified by differentiating three times


class ViolationError(AssertionError):
    """A promise was broken; the message says which and how."""


class _Track:
    """Differences of what was commanded on n axes, tick by tick."""

    def __init__(self, name: str, bounds: Sequence[Array], dt_s: float, orders: int) -> None:
        self._name, self._bounds, self._dt_s, self._orders = name, bounds, dt_s, orders
        self._last: list[Array] = []

    def rest(self, values: Array) -> None:
        """Begin from rest at these values."""
        self._last = [values] + [np.zeros_like(values)] * (self._orders - 1)

    def check(self, values: Array) -> None:
        if not self._last:
            self.rest(values)
        derivatives = [values]
        for order in range(1, self._orders + 1):
            derivatives.append((derivatives[-1] - self._last[order - 1]) / self._dt_s)
        self._last = derivatives[:-1]
        names = ('velocity', 'acceleration', 'jerk')[-len(self._bounds):]
        for name, bound, found in zip(names, self._bounds, derivatives[-len(self._bounds):]):
            excess = np.abs(found) - bound * (1 + _TOLERANCE) - _TOLERANCE
            if not (excess <= 0).all():
                axis = int(np.argmax(excess))
                raise ViolationError(f'{self._name} {axis}: {name} {found[axis]} is beyond '
                                     f'{bound[axis]}')


class Watcher:
    """Judges commands by what went in, not by what the supervisor thinks."""

    def __init__(self, robot: RobotSpec, config: SafetyConfig) -> None:
        base = [robot.base[c] for c in BASE_CHANNELS]
        joints = [j.motion for j in robot.controlled]
        self._names = tuple(j.name for j in robot.controlled)
        self._lower = np.array([j.lower for j in robot.controlled])
        self._upper = np.array([j.upper for j in robot.controlled])
        dt_s = 1.0 / config.rate_hz

        def bounds(limits: Sequence[object]) -> list[Array]:
            return [np.array([getattr(m, f) for m in limits])
                    for f in ('velocity', 'acceleration', 'jerk')]

        self._twist = _Track('twist', bounds(base), dt_s, 2)
        self._joints = _Track('joint', bounds(joints), dt_s, 3)
        self._twist.rest(np.zeros(3))
        # Time to brake from full speed, and until acceleration has turned into braking.
        # Counted in ticks: late ticks stretch a motion, they never make it steeper.
        self._brake_ticks = 3 + max(m.velocity / m.acceleration + 2 * m.acceleration / m.jerk
                                    for m in base + joints) / dt_s
        self._turn_ticks = 3 + max(m.acceleration / m.jerk for m in base) / dt_s
        self._ticks: int | None = None  # since there is a reason to stand still
        self._joint_ticks = 0  # the same for the joints
        self._speed: Array = np.zeros(3)
        self._posture: Array | None = None

    def judge(self, command: Command, must_stop: bool, ticked: bool, gap: bool) -> None:
        """Take one command.

        Args:
            command: What came out.
            must_stop: There is a reason to stand still.
            ticked: This call was due; else it must repeat the last command.
            gap: So long was the silence before that the robot has stopped itself.
        """
        twist = np.asarray(command.twist)
        if not np.isfinite(twist).all():
            raise ViolationError(f'not finite: {command}')
        if gap:
            self._twist.rest(np.zeros(3))
            if self._posture is not None:
                self._joints.rest(self._posture)
        posture = self._judge_posture(command, ticked)
        if ticked:
            self._twist.check(twist)
        elif not np.array_equal(twist, self._speed):
            raise ViolationError(f'the twist changed between ticks: {self._speed} to {twist}')
        self._judge_stop(command, twist, posture, must_stop, ticked)
        self._speed, self._posture = twist, posture

    def _judge_posture(self, command: Command, ticked: bool) -> Array | None:
        if not command.joints:
            if self._posture is not None:
                raise ViolationError('the joints are no longer commanded')
            return None
        posture = np.array([command.joints[n] for n in self._names])
        # NaN and infinity are not between the limits either.
        if not ((posture >= self._lower) & (posture <= self._upper)).all():
            raise ViolationError(f'position not within its limits: {command}')
        if self._posture is None:
            self._joints.rest(posture)
        elif not ticked and not np.array_equal(posture, self._posture):
            raise ViolationError('the joints changed between ticks')
        if ticked:
            self._joints.check(posture)
        return posture

    def _judge_stop(self, command: Command, twist: Array, posture: Array | None, must_stop: bool,
                    ticked: bool) -> None:
        if not must_stop:
            self._ticks = None
            return
        if command.state not in (SafetyState.STOP, SafetyState.ESTOP):
            raise ViolationError(f'{command.state.name} ({command.reason}) instead of a stop')
        self._ticks = 0 if self._ticks is None else self._ticks + ticked
        if self._ticks > self._turn_ticks and (np.abs(twist) > np.abs(self._speed) + 1e-9).any():
            raise ViolationError(f'speeds up while it must stop: {self._speed} to {twist}')
        if self._ticks > self._brake_ticks and twist.any():
            raise ViolationError(f'moves {self._ticks} ticks after it must stop: {twist}')
        # Joints that do not follow are given way to, also in a stop; then they brake again.
        yields = 'far from the command' in command.reason
        self._joint_ticks = 0 if yields or self._ticks == 0 else self._joint_ticks + ticked
        if self._joint_ticks > self._brake_ticks and posture is not None \
                and self._posture is not None and not np.array_equal(posture, self._posture):
            raise ViolationError(f'joints move {self._joint_ticks} ticks after they must stop')
