"""Does the base do what it is told? What was commanded against what odometry measures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.states import STOP, Cause
from vla_humanoid_control.support.geometry import rotate, wrap

Array = NDArray[np.float64]
Twist = tuple[float, float, float]

_SPAN_S = 0.2  # over which a velocity is made of two poses
_SILENT_S = 1.0  # poses further apart tell nothing of the velocity between
_SLIP = 0.5  # share of the command by which a base may miss it: wheels slip, walking sways
_LET_GO_S = 0.5  # so long it must stand as told before it is trusted again


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
