"""Motion limits: velocity, acceleration and jerk bounded for whatever sequence of targets.

One building block does everything: the fastest jerk-limited way from (velocity, acceleration) to
a constant velocity, a single pulse of acceleration:

      a │ ╲                ╱        For a twist axis the target is that velocity. For a joint, the
        │  ╲              ╱         pulse to velocity zero is how it would brake, and its stop
     -P │   ╲____________╱          position is where that would leave it.
          t1       t2     t3

A joint chases its target with its stop position: each tick is a convex combination of "brake"
and "full effort towards the target", chosen so that the stop position comes as near to the target
as it can without passing it. As all limits are convex and as braking leaves the stop position
where it is, the stop position stays between the position limits for ever, and so does the joint.

Trajectories are continuous in time with bounded derivatives and are sampled once a tick, so first,
second and third differences of the samples keep the same bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import MotionLimits

Array = NDArray[np.float64]

_TINY = 1e-12  # keeps divisors above zero
_SETTLED = 1e-10  # a stop position this near to its target has arrived [rad; m]
_GRID = np.linspace(0.0, 1.0, 9)[:, None]
_BRAKE_OR_GO = np.array([[0.0], [1.0]])


class _Pulse:
    """Acceleration pulses that bring relative velocities `v` [...] and accelerations `a` to zero.

    These few lines run several times a tick on a handful of numbers, where each NumPy call costs
    more than its arithmetic: so there are as few as possible.
    """

    __slots__ = ('_a', '_end2', '_end3', '_jerk', '_sign', '_t1', '_v')

    def __init__(self, v: Array, a: Array, acceleration: Array, jerk: Array) -> None:
        self._sign = sign = _side(v, a, jerk)
        self._v = v = v * sign
        self._a = a = a * sign
        self._jerk = jerk
        square = np.maximum(jerk * v + 0.5 * a * a, 0.0)
        peak = np.minimum(np.sqrt(square), acceleration)
        self._t1 = t1 = np.maximum(a + peak, 0.0) / jerk
        self._end2 = t1 + (square - peak * peak) / (jerk * np.maximum(peak, _TINY))
        self._end3 = self._end2 + peak / jerk

    def after(self, t: float) -> tuple[Array, Array, Array]:
        """Distance travelled, velocity and acceleration after `t` seconds."""
        parts = self._parts(t)
        return self._distance(parts), *self._rates(t, parts)

    def rates(self, t: float) -> tuple[Array, Array]:
        """Velocity and acceleration after `t` seconds."""
        return self._rates(t, self._parts(t))

    def travelled(self, t: Array) -> Array:
        """Distance travelled after `t` seconds, which may broadcast."""
        return self._distance(self._parts(t))

    def _rates(self, t: float, parts: tuple[Array, ...]) -> tuple[Array, Array]:
        t3, a1, v2, jerk = parts[2], parts[3], parts[5], self._jerk
        moving = np.where(t < self._end3, self._sign, 0.0)  # exactly at rest when done
        return (v2 + t3 * (a1 + 0.5 * jerk * t3)) * moving, (a1 + jerk * t3) * moving

    def _distance(self, parts: tuple[Array, ...]) -> Array:
        t1, t2, t3, a1, v1, v2 = parts
        jerk = self._jerk
        x = t1 * (self._v + t1 * (0.5 * self._a - jerk * t1 / 6))
        x += t2 * (v1 + 0.5 * a1 * t2) + t3 * (v2 + t3 * (0.5 * a1 + jerk * t3 / 6))
        result: Array = x * self._sign
        return result

    def _parts(self, t: float | Array) -> tuple[Array, ...]:
        """Time spent in each piece, acceleration in the second, velocity at its start and end."""
        jerk = self._jerk
        t1 = np.minimum(self._t1, t)
        t2 = np.maximum(np.minimum(self._end2, t) - self._t1, 0.0)
        t3 = np.maximum(np.minimum(self._end3, t) - self._end2, 0.0)
        ramp = jerk * t1
        a1 = self._a - ramp
        v1 = self._v + t1 * (self._a - 0.5 * ramp)
        return t1, t2, t3, a1, v1, v1 + a1 * t2


def _side(v: Array, a: Array, jerk: Array) -> Array:
    """-1 where a pulse must accelerate, else 1: by what velocity remains if `a` is ramped out."""
    return np.where(2.0 * jerk * v + a * np.abs(a) < 0.0, -1.0, 1.0)


def _braking_distance(v: Array, a: Array, acceleration: Array, jerk: Array) -> Array:
    """How far axes travel on a pulse to rest: `_Pulse` to its end, in closed form.

    With q = j v + a²/2 and the peak p = min(√q, A), the three pieces sum up to
    (q (a + p/2 + q/2p) - a³/6) / j².
    """
    sign = _side(v, a, jerk)
    a = a * sign
    square = np.maximum(jerk * v * sign + 0.5 * a * a, 0.0)
    peak = np.maximum(np.minimum(np.sqrt(square), acceleration), _TINY)
    result: Array = (square * (a + 0.5 * (peak + square / peak)) - a * a * a / 6) \
        * (sign / (jerk * jerk))
    return result


class _Axes:
    """What both limiters share: limits as arrays, and the period."""

    def __init__(self, limits: Sequence[MotionLimits], dt_s: float) -> None:
        self.dt_s = dt_s
        self.max_velocity: Array = np.array([m.velocity for m in limits])
        self._acceleration: Array = np.array([m.acceleration for m in limits])
        self._jerk: Array = np.array([m.jerk for m in limits])
        self.velocity: Array = np.zeros(len(limits))
        self.acceleration: Array = np.zeros(len(limits))

    @property
    def at_rest(self) -> bool:
        """No axis moves or is about to."""
        return not (self.velocity.any() or self.acceleration.any())

    def halt(self) -> None:
        """Rest at once; only after so long a silence that the robot has stopped by itself."""
        self.velocity = np.zeros_like(self.velocity)
        self.acceleration = np.zeros_like(self.acceleration)


class TwistLimiter(_Axes):
    """Follows velocity targets on n axes with bounded velocity, acceleration and jerk."""

    def step(self, target: Array) -> Array:
        """Advance by one tick.

        Args:
            target: float64 [n], finite; clamped to the velocity limits [unit/s].

        Returns:
            float64 [n], the velocities to command now [unit/s].
        """
        target = np.minimum(np.maximum(target, -self.max_velocity), self.max_velocity)
        if not self.acceleration.any() and (self.velocity == target).all():
            return self.velocity  # it goes on as it is
        pulse = _Pulse(self.velocity - target, self.acceleration, self._acceleration, self._jerk)
        velocity, self.acceleration = pulse.rates(self.dt_s)
        self.velocity = velocity + target
        return self.velocity


@dataclass(frozen=True)
class Plan:
    """One tick of all joints, not yet carried out.

    Attributes:
        state: float64 [3, n], position, velocity and acceleration after it.
        stop: float64 [n], where the joints would come to rest if they braked from there.
    """

    state: Array
    stop: Array


class JointLimiter(_Axes):
    """Follows position targets on n joints, with bounded position, velocity, acceleration, jerk.

    Args:
        limits: Motion limits of each joint.
        lower, upper: float64 [n], position limits [rad; m].
        start: float64 [n], where the joints are now; a joint outside begins at its limit [rad; m].
        dt_s: Time between two ticks [s].
    """

    def __init__(self, limits: Sequence[MotionLimits], lower: Array, upper: Array, start: Array,
                 dt_s: float) -> None:
        super().__init__(limits, dt_s)
        self.lower = lower
        self.upper = upper
        self.position: Array = np.clip(start, lower, upper)
        self.stop_position: Array = self.position
        """Where each joint would come to rest if it braked now, float64 [n]."""

    def step(self, target: Array | None) -> Array:
        """Advance by one tick.

        Args:
            target: float64 [n], clamped to the position limits; NaN where a joint is to hold
                [rad; m]. None brakes every joint.

        Returns:
            float64 [n], the positions to command now [rad; m].
        """
        if target is not None:
            self.commit(self.plan(target))
        elif not self.at_rest:
            self.commit(self.plan_brake())
        return self.position

    def plan_brake(self) -> Plan:
        """What `step(None)` would do: `plan` without a target, at a third of its cost."""
        brake = _Pulse(self.velocity, self.acceleration, self._acceleration, self._jerk)
        distance, velocity, acceleration = brake.after(self.dt_s)
        return Plan(np.array([self.position + distance, velocity, acceleration]),
                    self.stop_position)

    def plan(self, target: Array) -> Plan:
        """What `step(target)` would do."""
        target = np.where(np.isnan(target), self.stop_position, target)
        target = np.minimum(np.maximum(target, self.lower), self.upper)
        gap = target - self.stop_position
        side = np.where(np.abs(gap) < _SETTLED, 0.0, np.sign(gap))
        # Two ways to spend the tick, [2, n]: brake, or full effort towards the target.
        wanted = _BRAKE_OR_GO * (side * self.max_velocity)
        pulses = _Pulse(self.velocity - wanted, self.acceleration, self._acceleration, self._jerk)
        distance, velocity, acceleration = pulses.after(self.dt_s)
        states = np.array([self.position + distance + wanted * self.dt_s, velocity + wanted,
                           acceleration])  # [3 of x v a, 2 ways, n]
        return self._blend(states[:, 0], states[:, 1] - states[:, 0], target, side)

    def commit(self, plan: Plan) -> None:
        """Carry out a plan made since the last tick."""
        position, self.velocity, self.acceleration = plan.state
        self.position = np.minimum(np.maximum(position, self.lower), self.upper)
        self.stop_position = plan.stop

    def brake_path(self, plan: Plan, times_s: Array) -> Array:
        """Where braking after a plan leads: positions [K, n] at K times after the plan's tick."""
        pulse = _Pulse(plan.state[1], plan.state[2], self._acceleration, self._jerk)
        path: Array = plan.state[0] + pulse.travelled(times_s[:, None])
        return path

    def halt(self) -> None:
        """Rest at once, where the last command left the joints."""
        super().halt()
        self.stop_position = self.position

    def _stop(self, state: Array) -> Array:
        """Where braking from a state [3, ...] would end."""
        result: Array = state[0] + _braking_distance(state[1], state[2], self._acceleration,
                                                     self._jerk)
        return result

    def _blend(self, brake: Array, difference: Array, target: Array, side: Array) -> Plan:
        """As much effort as keeps the stop position from passing the target.

        Args:
            brake: float64 [3, n], state after a tick of braking.
            difference: float64 [3, n], what a tick of full effort adds to that.
            target: float64 [n].
            side: +1 where the target lies above the stop position, -1 below, 0 where it is there.
        """
        # Where braking would end at share k / 8, and by how much that passes the target, [9, n].
        stops = self._stop(brake[:, None] + _GRID * difference[:, None])
        past = side * (stops - target)
        low = np.maximum(np.logical_and.accumulate(past <= 0, axis=0).sum(axis=0) - 1, 0)
        axes = np.arange(len(target))
        below, above = past[low, axes], past[np.minimum(low + 1, len(_GRID) - 1), axes]
        known = low / (len(_GRID) - 1)
        # Between two shares of the grid, interpolate; if that passes the target, stay below.
        span = np.maximum(above - below, _TINY) * (len(_GRID) - 1)
        share = np.minimum(known + np.maximum(-below, 0.0) / span, 1.0)
        stop = self._stop(brake + share * difference)
        bad = side * (stop - target) > 0
        share, stop = np.where(bad, known, share), np.where(bad, stops[low, axes], stop)
        # The brake leaves the stop position where it is.
        share = np.where(side == 0, 0.0, share)
        return Plan(brake + share * difference, np.where(share == 0, self.stop_position, stop))
