"""The base: what it is told, where that brings it, and whether it does so."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.limits import TwistLimiter
from vla_humanoid_control.safety.states import STOP, Cause
from vla_humanoid_control.support.geometry import advance, rotate, wrap
from vla_humanoid_control.types import BASE_CHANNELS

Array = NDArray[np.float64]
Twist = tuple[float, float, float]

STILL = 1e-3
"""Smaller twists and joint moves are no motion [m/s; rad/s; rad; m]."""
_SPAN_S = 0.2  # over which a velocity is made of two poses
_SILENT_S = 1.0  # poses further apart tell nothing of the velocity between
_SLIP = 0.5  # share of the command by which a base may miss it: wheels slip, walking sways
_LET_GO_S = 0.5  # so long it must stand as told before it is trusted again
_STEPS_OUT_S = 1.0  # so long after its command a walker is still on its last steps


class Base:
    """Commanded and measured base.

    Args:
        robot: The robot and its limits.
        config: Thresholds.
        now_s: The steady clock now [s].

    Attributes:
        proposed: float64 [3], what the proposal asks for, within the limits [m/s, m/s, rad/s].
        is_to_stand: Whether that is no motion.
        pose: float64 [3], dead reckoning of the commanded twist: x, y, yaw [m, m, rad].
        way: How far commands have moved the base since start, never decreasing [m + rad].
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig, now_s: float) -> None:
        limits = [robot.base[c] for c in BASE_CHANNELS]
        self.pose: Array = np.zeros(3)
        self.way = 0.0
        self._top: Array = np.array([m.velocity for m in limits])
        self._limiter = TwistLimiter(limits, 1.0 / config.rate_hz)
        self._tracking = BaseTracking(config)
        self._asked: Array = np.zeros(3)
        self._measured: Array = np.zeros(3)
        self._told_s = now_s  # when it was last told to move
        self.configure(config)

    def configure(self, config: SafetyConfig) -> None:
        """Take changed thresholds."""
        self._tracking.config = config
        self._limiter.max_velocity = self._top * np.array(config.base_velocity_scale)
        self._clamp()

    def begin_anew(self) -> None:
        """Begin from rest; what was commanded and measured before says nothing."""
        self._limiter.halt()
        self._tracking.begin_anew()

    # ---- what arrives

    def propose(self, twist: Array | None) -> None:
        """Take what is asked for, float64 [3]; None for nothing."""
        self._asked = np.zeros(3) if twist is None else twist
        self._clamp()

    def measured(self, twist: Array, pose: Array | None, now_s: float) -> None:
        """Take odometry, float64 [3] each; without a pose nobody judges what the base does."""
        self._measured = np.array(twist, dtype=np.float64)
        if pose is not None:
            self._tracking.measured(self._measured, np.asarray(pose, np.float64), now_s)

    # ---- what the supervisor asks

    @property
    def velocity(self) -> Array:
        """float64 [3], the commanded twist [m/s, m/s, rad/s]."""
        return self._limiter.velocity

    @property
    def measured_speed_mps(self) -> float:
        """By odometry [m/s]."""
        return float(np.hypot(*self._measured[:2]))

    @property
    def at_rest(self) -> bool:
        """It is commanded to stand still."""
        return self._limiter.at_rest

    def has_settled(self, now_s: float) -> bool:
        """Whether it was told to move so long ago that a walker has made its last steps, too."""
        return now_s - self._told_s > _STEPS_OUT_S

    def beyond_limits(self, twist: Array) -> int:
        """How many channels of a twist are beyond their limits."""
        return int((np.abs(twist) > self._limiter.max_velocity * (1 + 1e-6)).sum())

    def causes(self, now_s: float) -> Iterator[Cause]:
        """What odometry demands."""
        return self._tracking.causes(self.is_to_stand, now_s)

    # ---- the loop

    def move(self, shares: Array | None, now_s: float) -> float:
        """One tick; gives the way that the base moves in it [m + rad].

        Args:
            shares: float64 [3], how much of what is proposed to follow, in [0, 1]; None to come to
                rest.
            now_s: The steady clock [s].
        """
        before = self._limiter.velocity
        target = np.zeros(3) if shares is None else self.proposed * shares
        mean = 0.5 * (before + self._limiter.step(target))
        self.pose = advance(self.pose, mean, self._limiter.dt_s)
        way = float(np.abs(mean).sum()) * self._limiter.dt_s
        self.way += way
        if way or not self.is_to_stand:
            self._told_s = now_s
        self._tracking.commanded(self._limiter.velocity, now_s)
        return way

    def _clamp(self) -> None:
        limit = self._limiter.max_velocity
        self.proposed: Array = np.clip(self._asked, -limit, limit)
        self.is_to_stand = bool((np.abs(self.proposed) <= STILL).all())


class BaseTracking:
    """Judges the base as `Body` judges the joints: off by too much, for too long, is a stop.

    A base may follow late: what is measured is compared with everything that was commanded within
    `base_lag_s`, and is off only if it is beyond all of that. It is off if both the twist and the
    change of the pose of its odometry say so, as there are drivers that leave out one of the two.
    A base that is off, for whatever reason, stays stopped until it is told to stand, and stands:
    else it would be tried again and again under the same command.

    Args:
        config: Thresholds.
    """

    def __init__(self, config: SafetyConfig) -> None:
        self.config = config
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was commanded and measured."""
        self._told: deque[tuple[float, Twist]] = deque()
        self._poses: deque[tuple[float, Twist]] = deque()
        self._off_since_s: float | None = None
        self._stands_since_s: float | None = None
        self._lost = ''

    def commanded(self, twist: Array, now_s: float) -> None:
        """Take what the base is told, float64 [3], from now on."""
        vx, vy, turn = twist.tolist()
        self._told.append((now_s, (vx, vy, turn)))
        begin_s = now_s - self.config.base_lag_s - _SPAN_S
        while len(self._told) > 1 and self._told[1][0] <= begin_s:
            self._told.popleft()

    def measured(self, twist: Array, pose: Array, now_s: float) -> None:
        """Take odometry: twist in the frame of the base, and pose x, y, yaw; float64 [3] each."""
        vx, vy, turn = twist.tolist()
        x, y, yaw = pose.tolist()
        moved = self._velocity((x, y, yaw), now_s)
        problem = self._problem((vx, vy, turn)) if moved and self._told else ''
        if not problem or not (moved and self._problem(moved)):
            self._off_since_s = None
        elif self._off_since_s is None:
            self._off_since_s = now_s
        elif now_s - self._off_since_s >= self.config.base_tracking_s:
            self._lost = problem

    def causes(self, stands: bool, now_s: float) -> Iterator[Cause]:
        """What the base demands; `stands` says whether the proposal leaves it where it is."""
        if not (stands and self._off_since_s is None):
            self._stands_since_s = None
        elif self._stands_since_s is None:
            self._stands_since_s = now_s
        elif now_s - self._stands_since_s >= _LET_GO_S:
            self._lost = ''
        if self._lost:
            yield Cause('base', STOP, self._lost)

    def _velocity(self, pose: Twist, now_s: float) -> Twist | None:
        """Of the base in its own frame, from poses; None before there are enough."""
        poses = self._poses
        if poses and now_s - poses[-1][0] > _SILENT_S:
            poses.clear()
        poses.append((now_s, pose))
        while len(poses) > 2 and poses[1][0] <= now_s - _SPAN_S:
            poses.popleft()
        began_s, (x, y, yaw) = poses[0]
        span_s = now_s - began_s
        if span_s < _SPAN_S:
            return None
        dx, dy = (pose[0] - x) / span_s, (pose[1] - y) / span_s
        turned = wrap(pose[2] - yaw)
        return *rotate(dx, dy, -(yaw + turned / 2)), turned / span_s

    def _problem(self, measured: Twist) -> str:
        """How a velocity differs from all that was commanded of late; '' if it does not."""
        now, (most, most_turn) = self._told[-1][1], self.config.max_base_error
        if math.hypot(measured[0] - now[0], measured[1] - now[1]) <= most \
                and abs(measured[2] - now[2]) <= most_turn:
            return ''  # it does what it is told at this moment
        told = [twist for _, twist in self._told]
        off = [max(min(axis) - value, value - max(axis), 0.0)
               for value, axis in zip(measured, zip(*told))]
        top, top_turn = max(math.hypot(t[0], t[1]) for t in told), max(abs(t[2]) for t in told)
        if math.hypot(off[0], off[1]) > max(most, _SLIP * top):
            return _text(math.hypot(*measured[:2]), math.hypot(*told[-1][:2]), top, 'm/s')
        if off[2] > max(most_turn, _SLIP * top_turn):
            return _text(measured[2], told[-1][2], top_turn, 'rad/s')
        return ''


def _text(measured: float, told: float, top: float, unit: str) -> str:
    if top == 0.0:
        return f'the base moves at {measured:.2f} {unit}, and is told to stand'
    return f'the base does not follow: {measured:.2f} {unit} instead of {told:.2f}'
