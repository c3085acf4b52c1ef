"""Is a message fit to be used? Each check gives a reason for people, or '' if there is none."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from vla_humanoid_control.types import Action, ImuReading, JointReading, ScanReading

_MAX_RAYS = 20_000
_LASTING_SCANS = 5  # as many in a row are no mishap


def action_problem(action: Action, commandable: Collection[str]) -> str:
    """Whether an action can be executed at all: shape, names, finite values."""
    if np.shape(action.twist) != (3,):
        return f'the twist has shape {np.shape(action.twist)} instead of (3,)'
    if not all(math.isfinite(v) for v in np.asarray(action.twist, dtype=np.float64)):
        return f'the twist is not finite: {[float(v) for v in action.twist]}'
    for name, value in action.joints.items():
        if name not in commandable:
            return f'{name} is no joint that may be commanded'
        if not math.isfinite(value):
            return f'the target of {name} is not finite: {value}'
    return ''


def joints_problem(reading: JointReading, required: Sequence[str]) -> str:
    """Whether a joint reading is complete and finite."""
    for name in required:
        position = reading.positions.get(name)
        if position is None:
            return f'{name} is missing'
        if not math.isfinite(position):
            return f'the position of {name} is not finite'
    for name, velocity in reading.velocities.items():
        if not math.isfinite(velocity):
            return f'the velocity of {name} is not finite'
    return ''


def imu_problem(reading: ImuReading) -> str:
    """Whether an IMU reading is finite and its orientation a rotation."""
    parts = (('orientation', reading.orientation_xyzw, 4),
             ('angular velocity', reading.angular_velocity, 3),
             ('linear acceleration', reading.linear_acceleration, 3))
    for what, values, size in parts:
        if np.shape(values) != (size,) or not np.isfinite(values).all():
            return f'the {what} is not {size} finite numbers'
    if abs(math.hypot(*reading.orientation_xyzw) - 1.0) > 0.05:
        return 'the orientation is no unit quaternion'
    return ''


def tilt_rad(reading: ImuReading) -> float:
    """Angle between the torso's up and the world's [rad]."""
    x, y, z, w = (float(v) for v in reading.orientation_xyzw)
    norm = x * x + y * y + z * z + w * w
    return math.acos(max(-1.0, min(1.0, 1.0 - 2.0 * (x * x + y * y) / norm)))


def scan_problem(reading: ScanReading, min_valid_fraction: float) -> str:
    """Whether a scan can be trusted for itself; whether it is like others says `RayCount`.

    Args:
        reading: The scan.
        min_valid_fraction: Least share of rays that must be a range, or inf for nothing hit.
    """
    numbers = (reading.angle_min_rad, reading.angle_increment_rad, reading.range_min_m)
    if not all(math.isfinite(n) for n in numbers) or reading.angle_increment_rad == 0 \
            or not 0 <= reading.range_min_m < reading.range_max_m:
        return 'the geometry is not usable'
    ranges = reading.ranges_m
    if ranges.ndim != 1 or not 0 < len(ranges) <= _MAX_RAYS:
        return f'ranges of shape {ranges.shape}'
    if abs(reading.angle_increment_rad) * (len(ranges) - 1) > 2 * math.pi + 0.1:
        return f'{len(ranges)} rays go more than once around'
    valid = float(np.mean(ranges >= max(reading.range_min_m, 1e-6)))  # NaN, 0 and -inf are False
    if valid < min_valid_fraction:
        return f'only {valid:.0%} of the rays are measurements'
    return ''


@dataclass
class _Run:
    """Scans of one number of rays: how many came, and the angle that they look at [rad]."""

    rays: int
    angle_rad: float
    stamp_ns: int
    scans: int = 1

    def is_like(self, reading: ScanReading) -> bool:
        """One ray more or less is no difference."""
        return abs(len(reading.ranges_m) - self.rays) <= 1

    def add(self, reading: ScanReading) -> None:
        """Count a later scan; the same one again says nothing."""
        if reading.stamp_ns > self.stamp_ns:
            self.scans, self.stamp_ns = self.scans + 1, reading.stamp_ns

    @property
    def lasts(self) -> bool:
        return self.scans >= _LASTING_SCANS


class RayCount:
    """How many rays a scanner has. The first scan says so, until others agree on another number.

    A single odd scan is rejected. Another number counts once it came in several scans in a row,
    unless they look at less than was seen before: a scanner that goes half blind stops the robot.
    A first scan that none like it followed binds nobody.
    """

    def __init__(self) -> None:
        self._known: _Run | None = None
        self._other: _Run | None = None

    def problem(self, reading: ScanReading) -> str:
        """Take a scan that `scan_problem` found nothing wrong with; empty if it may be used."""
        known, other = self._known, self._other
        step_rad = abs(reading.angle_increment_rad)
        new = _Run(len(reading.ranges_m), step_rad * (len(reading.ranges_m) - 1),
                   reading.stamp_ns)
        if known is None:
            self._known = new
            return ''
        if known.is_like(reading):
            known.add(reading)
            self._other = None
            return ''
        if other is not None and other.is_like(reading):
            other.add(reading)
        else:
            self._other = other = new
        sees_less = new.angle_rad + step_rad < known.angle_rad
        if other.lasts and not (known.lasts and sees_less):
            self._known, self._other = other, None
            return ''
        return f'{new.rays} rays instead of {known.rays}'
