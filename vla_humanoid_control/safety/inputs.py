"""Is a message fit to be used? Each check gives a reason for people, or '' if there is none."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from vla_humanoid_control.perception.joints import joints_problem
from vla_humanoid_control.types import Action, ImuReading, ScanReading

__all__ = ['RayCount', 'action_problem', 'imu_problem', 'joints_problem', 'scan_problem',
           'tilt_rad']

_MAX_RAYS = 20_000
_LASTING_SCANS = 5  # as many in a row are no mishap
_EDGE_RAD = 0.1  # the edge of what a scanner sees may be so far off from scan to scan
_WOBBLE = 1.25  # its number of rays may differ by this factor, or by one


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


def imu_problem(reading: ImuReading) -> str:
    """Whether an IMU reading is finite and its orientation a rotation."""
    parts = (('orientation', reading.orientation_xyzw, 4),
             ('angular velocity', reading.angular_velocity, 3),
             ('linear acceleration', reading.linear_acceleration, 3))
    for what, values, size in parts:
        if values.shape != (size,) or not all(map(math.isfinite, values.tolist())):
            return f'the {what} is not {size} finite numbers'
    if abs(math.hypot(*reading.orientation_xyzw) - 1.0) > 0.05:
        return 'the orientation is no unit quaternion'
    return ''


def tilt_rad(reading: ImuReading) -> float:
    """Angle between the torso's up and the world's [rad]."""
    x, y, z, w = reading.orientation_xyzw.tolist()
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
class _Field:
    """What scans of one kind look at, and how many of them came.

    Attributes:
        rays: How many rays look.
        start_rad, angle_rad: Where the field begins, and how far it goes from there to the left
            [rad].
        stamp_ns: Of the latest scan [ns].
        scans: How many came.
    """

    rays: int
    start_rad: float
    angle_rad: float
    stamp_ns: int
    scans: int = 1

    @staticmethod
    def of(reading: ScanReading) -> _Field:
        """What a scan looks at."""
        rays, step_rad = len(reading.ranges_m), reading.angle_increment_rad
        last_rad = reading.angle_min_rad + step_rad * (rays - 1)
        return _Field(rays, min(reading.angle_min_rad, last_rad), abs(step_rad) * (rays - 1),
                      reading.stamp_ns)

    def covers(self, other: _Field) -> bool:
        """Whether this looks everywhere that `other` does."""
        between_rays = self.angle_rad / max(self.rays - 1, 1)
        if self.angle_rad + between_rays >= 2 * math.pi - _EDGE_RAD:
            return True  # all around, wherever it begins
        later_rad = (self.start_rad - other.start_rad + math.pi) % (2 * math.pi) - math.pi
        return later_rad <= _EDGE_RAD \
            and later_rad + self.angle_rad >= other.angle_rad - _EDGE_RAD

    def is_like(self, other: _Field) -> bool:
        """Whether both look at the same, about as finely."""
        return self.covers(other) and other.covers(self) \
            and max(self.rays, other.rays) - 1 <= _WOBBLE * min(self.rays, other.rays)

    def add(self, other: _Field) -> None:
        """Count a later scan; the same one again says nothing."""
        if other.stamp_ns > self.stamp_ns:
            self.scans, self.stamp_ns = self.scans + 1, other.stamp_ns

    @property
    def lasts(self) -> bool:
        return self.scans >= _LASTING_SCANS


class RayCount:
    """What a scanner looks at. The first scan says so, until others agree on something else.

    Only the field counts, and roughly how fine it is: the rays of a scanner whose motor is not
    quite steady are now some more, now some less, and see as much as before. A single odd scan is
    rejected. Another field, or a much finer or coarser one, counts once it came in several scans
    in a row, unless they look at less than was seen before: a scanner that loses a sector stops
    the robot. A first scan that none like it followed binds nobody.
    """

    def __init__(self) -> None:
        self._known: _Field | None = None
        self._other: _Field | None = None

    def problem(self, reading: ScanReading) -> str:
        """Take a scan that `scan_problem` found nothing wrong with; empty if it may be used."""
        new, known, other = _Field.of(reading), self._known, self._other
        if known is None:
            self._known = new
            return ''
        if known.is_like(new):
            known.add(new)
            self._other = None
            return ''
        if other is not None and other.is_like(new):
            other.add(new)
        else:
            self._other = other = new
        sees_less = not new.covers(known)
        if other.lasts and not (known.lasts and sees_less):
            self._known, self._other = other, None
            return ''
        if sees_less:
            return f'it looks at {math.degrees(new.angle_rad):.0f} degrees, and not at all of ' \
                   f'the {math.degrees(known.angle_rad):.0f} degrees that it did'
        return f'{new.rays} rays over {math.degrees(new.angle_rad):.0f} degrees instead of ' \
               f'{known.rays} over {math.degrees(known.angle_rad):.0f}'
