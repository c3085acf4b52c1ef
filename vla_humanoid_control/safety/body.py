"""The joints: where they are, where they are sent, and whether that posture is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.limits import JointLimiter, Plan
from vla_humanoid_control.safety.states import STOP, Cause

Array = NDArray[np.float64]

_LOOK_S = np.array([0.0, 0.03, 0.07, 0.12, 0.18])
"""Times after a tick at which the way of braking is checked for touch, besides its end [s]."""
_WAIT_TICKS = 5
"""For so many ticks at most the same joints wait, before others are looked for."""
_BEYOND = 0.02  # a joint measured further outside its limits than this is beyond them [rad; m]
_LEAD_BACK_END = 0.5  # share of the tracking limit below which tracking counts as restored


class PostureModel(Protocol):
    """Tells whether the body may take a posture."""

    config: SafetyConfig

    def problem(self, positions: Array, present: Array, graze_m: float = 0.0) -> str:
        """Why a posture is unsafe; '' if it is safe, or no less safe than the present one.

        Both are float64 [J], in the order of the robot file. `graze_m` is how deep parts may
        reach into each other.
        """

    def touch(self, positions: Array, present: Array, graze_m: float = 0.0) -> str:
        """As `problem`, but asks only whether the body touches itself."""


class Body:
    """Measured and commanded joints.

    Commands begin at the first measured posture and from then on continue from the last command:
    there is never a jump. When the measured posture stays far from the command (a blocked or
    back-driven arm), the robot stops and the command is led back to the measured posture.

    Attributes:
        moved: How far the last tick moved each joint, float64 [n] [rad; m].
        waiting: Which joints wait for others, and why; '' where none does.
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig,
                 posture: PostureModel | None = None) -> None:
        self._specs = robot.controlled
        self.names = tuple(j.name for j in self._specs)
        self._index = {name: i for i, name in enumerate(self.names)}
        self._places = np.array([robot.joint_names.index(n) for n in self.names])
        self._lower = np.array([j.lower for j in self._specs])
        self._upper = np.array([j.upper for j in self._specs])
        self._least, self._most = self._lower - _BEYOND, self._upper + _BEYOND
        self._posture = posture
        self._stands = True
        self._limiter: JointLimiter | None = None
        self._begun = False
        self.waiting = ''
        self._waited: NDArray[np.intp] = np.zeros(0, np.intp)  # who was made to wait last
        self._waited_ticks = _WAIT_TICKS  # since that was decided
        self._measured: Array = robot.home
        self._target: Array = np.full(len(self.names), np.nan)
        self._target_problem: str | None = None  # not judged yet
        self._plan: Plan | None = None
        self._far_since_s: float | None = None
        self._far: NDArray[np.bool_] = np.zeros(len(self.names), dtype=bool)
        self._tracking_lost = False
        self._beyond_low: NDArray[np.bool_] = self._far
        self._beyond_high: NDArray[np.bool_] = self._far
        self.moved: Array = np.zeros(len(self.names))  # how far the last tick moved each joint
        self.configure(config)

    def configure(self, config: SafetyConfig) -> None:
        """Take changed thresholds."""
        self._config = config
        self._target_problem = None  # to be judged again by the new thresholds
        if self._posture is not None:
            self._posture.config = config
        velocity = np.array([j.motion.velocity for j in self._specs]) * config.joint_velocity_scale
        self._max_velocity: Array = velocity
        if self._limiter is not None:
            self._limiter.max_velocity = velocity

    # ---- what arrives

    def measured(self, positions: Array, now_s: float) -> None:
        """Take where all joints are, finite, float64 [J] [rad; m]."""
        self._measured = positions.copy()
        own = self._measured[self._places]
        if self._limiter is None:
            self._limiter = JointLimiter([j.motion for j in self._specs], self._lower, self._upper,
                                         own, 1.0 / self._config.rate_hz)
            self._limiter.max_velocity = self._max_velocity
        self._beyond_low = own < self._least
        self._beyond_high = own > self._most
        self._track(np.abs(own - self._limiter.position), now_s)

    def stands(self, stands: bool) -> None:
        """Whether to judge balance: while a robot walks, its walking controller keeps it."""
        if stands != self._stands:
            self._stands, self._target_problem = stands, None

    def target(self, joints: Mapping[str, float]) -> None:
        """Take target positions; a joint that is absent holds."""
        target = np.full(len(self.names), np.nan)
        for name, value in joints.items():
            target[self._index[name]] = value
        if not np.array_equal(target, self._target, equal_nan=True):
            self._target, self._target_problem = target, None

    # ---- what the supervisor asks

    @property
    def has_begun(self) -> bool:
        """Commands have a posture to go on from."""
        return self._limiter is not None

    @property
    def at_rest(self) -> bool:
        """No joint is commanded to move."""
        return self._limiter is None or self._limiter.at_rest

    def would_move(self, joints: Mapping[str, float], threshold: float) -> bool:
        """Whether targets differ from where the joints are commanded to be."""
        if self._limiter is None:
            return bool(joints)
        stop = self._limiter.stop_position
        return any(abs(value - stop[self._index[name]]) > threshold
                   for name, value in joints.items())

    def beyond_limits(self, joints: Mapping[str, float]) -> int:
        """How many targets are outside the position limits."""
        return sum(not self._specs[i].lower - 1e-6 <= value <= self._specs[i].upper + 1e-6
                   for i, value in ((self._index[n], v) for n, v in joints.items()))

    def causes(self, now_s: float) -> Iterator[Cause]:
        """What the measured posture demands."""
        if self._far_since_s is not None and now_s - self._far_since_s >= self._config.tracking_s:
            self._tracking_lost = True
        if self._tracking_lost:
            names = ', '.join(n for n, far in zip(self.names, self._far) if far)
            yield Cause('tracking', STOP, f'far from the command: {names}')

    def plan_problem(self) -> str:
        """Plan this tick towards the target; why its posture is unsafe, '' if it is safe.

        The target is looked at once, and every tick the posture in which the body would come to
        rest if it braked right after, and the way there. As long as that is safe, braking ends in
        a safe posture. If the target is safe, or only grazes the body, but the way to it is
        barred, some joints are made to wait while the others go on, so that limbs slide past each
        other; `waiting` then says so.
        """
        self.waiting = ''
        if self._limiter is None:
            return ''
        # A joint beyond its limit may only move back inside.
        stop = self._limiter.stop_position
        outwards = (self._beyond_high & (self._target > stop)) \
            | (self._beyond_low & (self._target < stop))
        target = np.where(outwards, np.nan, self._target)
        self._plan = self._limiter.plan(target)
        if self._posture is None or not self._config.watch_posture:
            return ''
        if self._target_problem is None:
            aim = np.clip(np.where(np.isnan(target), stop, target), self._lower, self._upper)
            self._target_problem = self._problem(
                self._posture, self._whole(aim), self._whole(stop), self._config.graze_m)
        if self._target_problem:
            return self._target_problem
        if np.array_equal(self._plan.stop, stop):
            return ''
        present, way = self._whole(stop), self._limiter.brake_path(self._plan, _LOOK_S)
        problem = self._problem(self._posture, self._whole(self._plan.stop), present) \
            or self._way_problem(self._posture, way, present)
        if not problem:
            return ''
        return self._let_some_wait(self._limiter, self._posture, self._plan, way, problem)

    def move(self, follow: bool, yielding: bool) -> None:
        """Advance by one tick.

        Args:
            follow: Carry out the plan; else brake and hold.
            yielding: Where tracking is lost, go back to the measured posture.
        """
        self.moved = np.zeros(len(self.names))
        if self._limiter is None:
            return
        if not self._begun:  # the very first command is the measured posture itself
            self._begun = True
            return
        before = self._limiter.position
        if follow and self._plan is not None:
            self._limiter.commit(self._plan)
        elif yielding and self._tracking_lost:
            give_in = self._far & ~(self._beyond_low | self._beyond_high)
            self._limiter.step(np.where(give_in, self._measured[self._places], np.nan))
        else:
            self._limiter.step(None)
        self._plan = None
        self.moved = np.abs(self._limiter.position - before)

    def halt(self) -> None:
        """Begin again from rest, after a long silence."""
        if self._limiter is not None:
            self._limiter.halt()

    def begin_anew(self) -> None:
        """Forget where the joints were sent: the next reading is where commands begin."""
        self._limiter, self._begun, self._plan = None, False, None
        self._far_since_s, self._tracking_lost = None, False
        self._target_problem = None

    def command(self) -> dict[str, float]:
        """Joint name to commanded position; empty before the first reading."""
        if self._limiter is None:
            return {}
        return dict(zip(self.names, self._limiter.position.tolist()))

    def diagnostics(self) -> Mapping[str, str | float | int]:
        """Tracking error, and the joints beyond their limits."""
        beyond = [n for n, b in zip(self.names, self._beyond_low | self._beyond_high) if b]
        error = 0.0 if self._limiter is None else float(
            np.max(np.abs(self._measured[self._places] - self._limiter.position), initial=0.0))
        return {'tracking_error': round(error, 4), 'beyond_limits': ', '.join(beyond)}

    # ---- details

    def _track(self, error: Array, now_s: float) -> None:
        limit = self._config.max_tracking_error
        share = _LEAD_BACK_END if self._tracking_lost else 1.0
        self._far = error > limit * share
        if not self._far.any():
            self._far_since_s, self._tracking_lost = None, False
        elif self._far_since_s is None:
            self._far_since_s = now_s

    def _let_some_wait(self, limiter: JointLimiter, posture: PostureModel, plan: Plan, way: Array,
                       problem: str) -> str:
        """Plan anew with joints held whose waiting makes the plan safe; `problem` if none does.

        Joints brake independently of each other, so the ways are put together from two.
        """
        hold = limiter.plan_brake()
        hold_way = limiter.brake_path(hold, _LOOK_S)
        present = self._whole(limiter.stop_position)
        moving = np.flatnonzero(np.abs(plan.stop - hold.stop) > 1e-9)
        # One joint at a time; else more and more of them, from the trunk outwards. Whoever waits
        # goes on for a few ticks, if that is safe: the search takes longer than all the rest.
        again = [self._waited] if self._waited_ticks < _WAIT_TICKS else []
        for waiting in (*again, *moving[:, None], *(moving[:n] for n in range(2, len(moving)))):
            waits = np.zeros(len(self.names), dtype=bool)
            waits[waiting] = True
            stop = np.where(waits, hold.stop, plan.stop)
            if not self._problem(posture, self._whole(stop), present) \
                    and not self._way_problem(posture, np.where(waits, hold_way, way), present):
                self._waited_ticks = self._waited_ticks + 1 if waiting is self._waited else 0
                self._waited = waiting
                self._plan = Plan(np.where(waits, hold.state, plan.state), stop)
                names = ', '.join(self.names[i] for i in waiting)
                self.waiting = f'waiting: {names}; {problem}'
                return ''
        return problem

    def _problem(self, posture: PostureModel, positions: Array, present: Array,
                 graze_m: float = 0.0) -> str:
        ask = posture.problem if self._stands else posture.touch
        return ask(positions, present, graze_m)

    def _way_problem(self, posture: PostureModel, way: Array, present: Array) -> str:
        """Why a way of braking is unsafe: controlled joints at K moments, float64 [K, n]."""
        for positions in way:
            if problem := posture.touch(self._whole(positions), present):
                return problem
        return ''

    def _whole(self, controlled: Array) -> Array:
        """The measured posture with the controlled joints replaced."""
        posture: Array = self._measured.copy()
        posture[self._places] = controlled
        return posture
