"""Motion limits: velocity, acceleration and jerk bounded for whatever sequence of targets.

One building block does everything: the fastest jerk-limited way from (velocity, acceleration) to a
constant velocity, a single pulse of acceleration:

      a │      ramp ╲          ╱ ramp            For a twist axis the target is that velocity. For a
        │            ╲        ╱                  joint, the pulse to velocity zero is how it would
     -P │             ╲______╱                   brake; `stop position` is where that would leave it.
           t1           t2     t3

A joint chases its target with its stop position: each tick is a convex combination of "brake" and
"full effort towards the target", chosen so that the stop position comes as near to the target as it
can without passing it. As all limits are convex and as braking leaves the stop position where it
is, the stop position stays between the position limits for ever, and so does the joint.

Trajectories are continuous in time with bounded derivatives and are sampled once a tick, so first,
second and third differences of the samples keep the same bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot import MotionLimits

Array = NDArray[np.float64]

_TINY = 1e-12
_SETTLED = 1e-10  # a stop position this near to its target has arrived [rad; m]
_GRID = np.linspace(0.0, 1.0, 9)[:, None]


class _Pulse:
    """The acceleration pulses that bring relative velocities `v` [...] with accelerations `a` to zero.

    Attributes:
        distance: How far each axis travels on the way [unit].
    """

    __slots__ = ('_a', '_jerk', '_peak', '_sign', '_t1', '_t2', '_t3', '_v')

    def __init__(self, v: Array, a: Array, acceleration: Array, jerk: Array) -> None:
        # Velocity that would remain if acceleration were simply ramped to zero: decides the side.
        self._sign = np.where(v + a * np.abs(a) / (2 * jerk) < 0, -1.0, 1.0)
        self._v = v = v * self._sign
        self._a = a = a * self._sign
        self._jerk = jerk
        square = np.maximum(jerk * v + 0.5 * a * a, 0.0)
        self._peak = peak = np.minimum(np.sqrt(square), acceleration)
        self._t1 = np.maximum(a + peak, 0.0) / jerk
        self._t2 = (square - peak * peak) / (jerk * np.maximum(peak, _TINY))
        self._t3 = peak / jerk

    @property
    def distance(self) -> Array:
        t1, t2, peak, jerk = self._t1, self._t2, self._peak, self._jerk
        v1 = self._v + t1 * (self._a - 0.5 * jerk * t1)
        travelled = t1 * (self._v + t1 * (0.5 * self._a - jerk * t1 / 6))
        travelled += t2 * (v1 - 0.5 * peak * t2) + peak * self._t3 * self._t3 / 6
        result: Array = travelled * self._sign
        return result

    def after(self, t: float) -> tuple[Array, Array, Array]:
        """Distance travelled, velocity and acceleration after `t` seconds."""
        jerk, end2 = self._jerk, self._t1 + self._t2
        t1 = np.minimum(self._t1, t)
        t2 = np.minimum(np.maximum(t - self._t1, 0.0), self._t2)
        t3 = np.minimum(np.maximum(t - end2, 0.0), self._t3)
        a1 = self._a - jerk * t1
        v1 = self._v + t1 * (self._a - 0.5 * jerk * t1)
        v2 = v1 + a1 * t2
        x = t1 * (self._v + t1 * (0.5 * self._a - jerk * t1 / 6))
        x += t2 * (v1 + 0.5 * a1 * t2) + t3 * (v2 + t3 * (0.5 * a1 + jerk * t3 / 6))
        moving = np.where(t < end2 + self._t3, self._sign, 0.0)  # exactly at rest when done
        return (x * self._sign, (v2 + t3 * (a1 + 0.5 * jerk * t3)) * moving,
                (a1 + jerk * t3) * moving)


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
        """Rest at once. Only where nothing was sent for so long that the robot has stopped itself."""
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
        target = np.clip(target, -self.max_velocity, self.max_velocity)
        pulse = _Pulse(self.velocity - target, self.acceleration, self._acceleration, self._jerk)
        _, velocity, self.acceleration = pulse.after(self.dt_s)
        self.velocity = velocity + target
        return self.velocity


class JointLimiter(_Axes):
    """Follows position targets on n joints within bounds of position, velocity, acceleration, jerk.

    Args:
        limits: Motion limits of each joint.
        lower, upper: float64 [n], position limits [rad; m].
        start: float64 [n], where the joints are now; moved to the nearest limit if outside [rad; m].
        dt_s: Time between two ticks [s].
    """

    def __init__(self, limits: Sequence[MotionLimits], lower: Array, upper: Array, start: Array,
                 dt_s: float) -> None:
        super().__init__(limits, dt_s)
        self.lower = lower
        self.upper = upper
        self.position: Array = np.clip(start, lower, upper)

    @property
    def stop_position(self) -> Array:
        """Where each joint would come to rest if it braked now, float64 [n]."""
        return self._stop(self.position, self.velocity, self.acceleration)

    def step(self, target: Array | None) -> Array:
        """Advance by one tick.

        Args:
            target: float64 [n], clamped to the position limits; NaN where a joint is to hold
                [rad; m]. None brakes every joint.

        Returns:
            float64 [n], the positions to command now [rad; m].
        """
        if target is None:
            if self.at_rest:
                return self.position
            brake = _Pulse(self.velocity, self.acceleration, self._acceleration, self._jerk)
            distance, self.velocity, self.acceleration = brake.after(self.dt_s)
            self.position = np.clip(self.position + distance, self.lower, self.upper)
            return self.position
        self.commit(self.plan(target))
        return self.position

    def plan(self, target: Array) -> Array:
        """What `step(target)` would do: position, velocity and acceleration after it, [3, n]."""
        return self._towards(target)

    def stop_of(self, plan: Array) -> Array:
        """Where each joint would come to rest if it braked right after a plan, float64 [n]."""
        return self._stop(plan[0], plan[1], plan[2])

    def commit(self, plan: Array) -> None:
        """Carry out a plan made since the last tick."""
        self.position = np.clip(plan[0], self.lower, self.upper)
        self.velocity, self.acceleration = plan[1], plan[2]

    def _stop(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        pulse = _Pulse(velocity, acceleration, self._acceleration, self._jerk)
        return position + pulse.distance

    def _towards(self, target: Array) -> Array:
        """Position, velocity and acceleration after one tick, [3, n]."""
        v, a, limit = self.velocity, self.acceleration, self.max_velocity
        # Three ways to spend the tick, stacked [3, n]: brake, full effort up, full effort down.
        wanted = np.stack([np.zeros_like(v), limit, -limit])
        pulses = _Pulse(v - wanted, np.broadcast_to(a, wanted.shape), self._acceleration, self._jerk)
        distance, velocity, acceleration = pulses.after(self.dt_s)
        states = np.stack([self.position + distance + wanted * self.dt_s, velocity + wanted,
                           acceleration])  # [3 of x v a, 3 ways, n]
        brake = states[:, 0]
        stop = self._stop(self.position, v, a)
        target = np.clip(np.where(np.isnan(target), stop, target), self.lower, self.upper)
        gap = target - stop
        gap[np.abs(gap) < _SETTLED] = 0.0
        effort = np.where(gap < 0, states[:, 2], states[:, 1])
        share = self._share(brake, effort, target, np.sign(gap))
        result: Array = brake + share * (effort - brake)
        return result

    def _share(self, brake: Array, effort: Array, target: Array, side: Array) -> Array:
        """Largest known share of effort, in [0, 1], whose stop position does not pass the target.

        Args:
            brake, effort: States [3, n] after a tick of either.
            target: float64 [n].
            side: +1 where the target lies above the stop position, -1 below, 0 where it is reached.
        """
        difference = effort - brake
        # past[k]: by how much the stop position passes the target at share k / 8, [9, n].
        grid = brake[:, None] + _GRID * difference[:, None]
        past = side * (self._stop(grid[0], grid[1], grid[2]) - target)
        good = np.logical_and.accumulate(past <= 0, axis=0)
        low = np.maximum(good.sum(axis=0) - 1, 0)
        axes = np.arange(len(target))
        high = np.minimum(low + 1, len(_GRID) - 1)
        below, above = past[low, axes], past[high, axes]
        share: Array = low / (len(_GRID) - 1)
        span = above - below
        refined = share + np.where(span > 0, -below / np.maximum(span, _TINY), 0.0) / (len(_GRID) - 1)
        refined = np.clip(refined, share, 1.0)
        trial = brake + refined * difference
        fits = side * (self._stop(trial[0], trial[1], trial[2]) - target) <= 0
        result: Array = np.where(side == 0, 0.0, np.where(fits, refined, share))
        return result
