"""Will the robot run into something? Points around it against the motion of its footprint.

The footprint is a circle, so only the path of its centre matters: an arc under constant twist.
Time to collision is when the first points come nearer to the centre than footprint and margin.
Points that are already nearer count only if the motion brings them nearer still: backing out of a
tight spot, turning on the spot, or walking along a wall always remain possible.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.geometry import rotate
from vla_humanoid_control.types import ScanReading

Array = NDArray[np.float64]

_CLOSING_MPS = 1e-3  # slower approach to a point inside the zone counts as none
_STRAIGHT_RAD = 1e-3  # an arc that turns by less than this is straight to less than a millimetre
_TINY_M = 1e-9
_LEAST_SHARE = 0.05  # a smaller share of the speed is none
_DEPTH_PIXELS = 5000  # as many of a depth image are looked at, whatever its size


@dataclass(frozen=True)
class Zone:
    """Size of the footprint and how the robot can brake.

    Attributes:
        radius_m: Footprint and margin [m].
        slow_ttc_s, stop_ttc_s: Times to collision at which speed begins to fall, and is zero [s].
        deceleration, jerk: Of the base [m/s², m/s³].
        reaction_s: Delay before braking begins [s].
        min_points: Fewer points are no obstacle.
        debounce: An obstacle must be in k of the last 2k - 1 scans.
    """

    radius_m: float
    slow_ttc_s: float
    stop_ttc_s: float
    deceleration: float
    jerk: float
    reaction_s: float
    min_points: int
    debounce: int

    def safe_speed(self, clearance_m: float) -> float:
        """The highest speed from which the robot stops within a distance [m/s]."""
        clearance_m, lag = max(clearance_m, 0.0), self._lag_mps
        return math.sqrt(lag * lag + 2 * self.deceleration * clearance_m) - lag

    def horizon_s(self, speed: float) -> float:
        """Later collisions need no heed yet at a speed [m/s]: neither slowing down nor braking.

        Braking may need more time than `slow_ttc_s` where that is small, or the base sluggish.
        """
        return max(self.slow_ttc_s, (speed / 2 + self._lag_mps) / self.deceleration)

    @property
    def _lag_mps(self) -> float:
        """What braking at once would save in speed over one after the delays [m/s]."""
        return self.deceleration * (self.deceleration / (2 * self.jerk) + self.reaction_s)


def scan_points(reading: ScanReading, reach_m: float, pose: Array | None = None) -> Array:
    """Points that a scan hit, in the base frame.

    Args:
        reading: The scan; NaN, infinite and zero ranges, and those outside its limits, are masked.
        reach_m: Points further away are of no interest [m].
        pose: float64 [4, 4], from the frame of the scan to the base's; None where it is that.

    Returns:
        float64 [M, 2] [m].
    """
    if pose is not None:  # what is near the base is no further from the scanner than that
        reach_m += math.hypot(*pose[:3, 3].tolist())
    ranges = reading.ranges_m
    low = max(reading.range_min_m, 1e-6)
    with np.errstate(invalid='ignore'):
        index = ((ranges >= low) & (ranges <= min(reading.range_max_m, reach_m))).nonzero()[0]
    rays = _rays(reading.angle_min_rad, reading.angle_increment_rad, len(ranges))
    points: Array = rays[index] * ranges[index, None]
    return points if pose is None else points @ pose[:2, :2].T + pose[:2, 3]


@lru_cache(maxsize=8)  # a scanner gives few kinds of scans, and the same ones again and again
def _rays(first_rad: float, step_rad: float, count: int) -> Array:
    """Where the rays of a scanner point, float64 [count, 2], of length 1."""
    angles = first_rad + step_rad * np.arange(count)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rays.flags.writeable = False
    return rays


def depth_points(depth: NDArray[Any], intrinsics: tuple[float, float, float, float],
                 base_from_camera: Array, heights_m: tuple[float, float], reach_m: float,
                 min_valid_fraction: float, unit_m: float = 1.0) -> Array | None:
    """Points that a depth image saw, in the base frame.

    Args:
        depth: [H, W], distance along the optical axis [unit_m]; NaN, infinite and zero are masked.
        intrinsics: fx, fy, cx, cy [px].
        base_from_camera: float64 [4, 4], from the optical frame (x right, y down, z ahead).
        heights_m: Only points between these heights above the ground are obstacles [m].
        reach_m: Points further away are of no interest [m].
        min_valid_fraction: With a smaller share of measurements nothing is known.
        unit_m: What the image counts in [m].

    Returns:
        float64 [M, 2] [m], or None: the state of obstacles is unknown, and unknown means stop. So
        it is with intrinsics that cannot be, as they would make every obstacle vanish.
    """
    fx, fy, cx, cy = intrinsics
    if not (all(map(math.isfinite, intrinsics)) and fx > 0 and fy > 0):
        return None
    stride = math.isqrt(max(depth.size // _DEPTH_PIXELS, 0)) + 1
    z = depth[::stride, ::stride].astype(np.float64) * unit_m
    valid = np.isfinite(z) & (z > 0)
    if z.size == 0 or float(valid.mean()) < min_valid_fraction:
        return None
    rows, columns = np.nonzero(valid)
    z = z[rows, columns]
    with np.errstate(over='ignore', invalid='ignore'):
        camera = np.stack([(columns * stride - cx) / fx * z, (rows * stride - cy) / fy * z, z],
                          axis=1)
        base = camera @ base_from_camera[:3, :3].T + base_from_camera[:3, 3]
    if not np.isfinite(base).all():
        return None
    keep = (base[:, 2] >= heights_m[0]) & (base[:, 2] <= heights_m[1])
    keep &= np.hypot(base[:, 0], base[:, 1]) <= reach_m
    points: Array = base[keep, :2]
    return points


def time_to_collision(points: Array, twist: Array, zone: Zone) -> float:
    """When the footprint will touch an obstacle, if the base keeps its twist.

    Args:
        points: float64 [M, 2], in the base frame [m].
        twist: float64 [3], base velocity forward, left, turning left [m/s, m/s, rad/s].
        zone: The footprint, the horizon and the least number of points.

    Returns:
        Seconds, 0 where it moves deeper into its zone, inf where nothing is met in time.
    """
    speed = math.hypot(twist[0], twist[1])
    if speed < _CLOSING_MPS:
        return math.inf
    horizon_s = zone.horizon_s(speed)
    return _agreed(_touch_times(points[:, 0], points[:, 1], twist, zone, horizon_s), zone,
                   horizon_s)


def _agreed(times: Array, zone: Zone, horizon_s: float) -> float:
    """When as many points as make an obstacle are touched [s]; inf where fewer are in time."""
    if len(times) < zone.min_points:
        return math.inf
    least = zone.min_points - 1
    time_s = float(np.partition(times, least)[least])
    return time_s if time_s <= horizon_s else math.inf


def _touch_times(x: Array, y: Array, twist: Array, zone: Zone, horizon_s: float) -> Array:
    """When points at x, y [M] [m] will be touched, float64 [M] [s], by a base that is in motion.

    Exact up to the horizon. A circle touches a point with the half that faces where it goes. After
    it has turned by less than half a circle its centre is ahead of where it began, and so such a
    point is behind that place by no more than the radius times the sine of the angle.
    """
    vx, vy, turn = twist.tolist()
    speed, radius_m = math.hypot(vx, vy), zone.radius_m
    along = (x * vx + y * vy) / speed
    if abs(turn) * horizon_s < _STRAIGHT_RAD:
        first = _time_straight(along, (y * vx - x * vy) / speed, speed, radius_m)
    else:
        # What is met before the base has turned by half a circle is not behind it; see below.
        angle = abs(turn) * horizon_s
        behind_m = radius_m * math.sin(min(angle, math.pi / 2)) if angle < math.pi else math.inf
        first = _time_on_arc(x, y, along >= -behind_m - _TINY_M, (-vy / turn, vx / turn), turn,
                             radius_m)
    square = x * x + y * y
    inside = (square < radius_m * radius_m).nonzero()[0]
    if len(inside):
        closing = along[inside] * speed > _CLOSING_MPS * np.sqrt(square[inside])
        first[inside] = np.where(closing, 0.0, np.inf)
    return first


def _time_straight(along: Array, across: Array, speed: float, radius_m: float) -> Array:
    """When a circle that moves straight on first touches points outside it.

    Args:
        along: float64 [M], how far the points are ahead of the centre [m].
        across: float64 [M], how far they are beside its way [m].
        speed: Of the circle [m/s].
        radius_m: Of the circle [m].

    Returns:
        float64 [M] [s], inf for a point that is not on the way.
    """
    times = _never(len(along))
    hit = ((np.abs(across) < radius_m) & (along > 0)).nonzero()[0]
    times[hit] = (along[hit] - np.sqrt(radius_m ** 2 - across[hit] ** 2)) / speed
    return times


def _never(count: int) -> Array:
    """Infinity, float64 [count]; `np.full` takes several times as long."""
    times = np.empty(count)
    times.fill(math.inf)
    return times


def _time_on_arc(x: Array, y: Array, ahead: NDArray[np.bool_], pivot: tuple[float, float],
                 turn: float, radius_m: float) -> Array:
    """As `_time_straight`, for a circle that turns about a pivot at `turn` [rad/s].

    Points that are not `ahead` count as never touched.

    Seen from the pivot, a point is touched when it is nearer to the circle's centre than the angle
    at which the triangle of both with side `radius_m` closes (law of cosines).
    """
    px, py = pivot
    arc_m = math.hypot(px, py)
    x, y = x - px, y - py
    from_pivot = np.sqrt(x * x + y * y)
    times = _never(len(x))
    hit = (ahead & (np.abs(from_pivot - arc_m) < radius_m)).nonzero()[0]
    x, y, from_pivot = x[hit], y[hit], np.maximum(from_pivot[hit], _TINY_M)
    cosine = (arc_m ** 2 + from_pivot ** 2 - radius_m ** 2) / (2 * arc_m * from_pivot)
    # Angle from the centre, at the origin, to the point, in the sense of the turn.
    bearing = np.arctan2(x * py - y * px, -(x * px + y * py)) * math.copysign(1.0, turn)
    angle = bearing % (2 * math.pi) - np.arccos(np.minimum(np.maximum(cosine, -1.0), 1.0))
    times[hit] = np.maximum(angle, 0.0) / abs(turn)
    return times


@dataclass(frozen=True)
class _Sighting:
    """Where one scan or image saw points, float64 [M] each, in the frame of dead reckoning."""

    x: Array
    y: Array


class Surroundings:
    """The last few sets of obstacle points of one sensor, and what they say of a motion.

    The base's own motion since a sighting is made up for by dead reckoning: points are kept in a
    frame that does not move, so that all sightings are looked at together. They are so few that
    each call of NumPy costs more than its arithmetic.
    """

    def __init__(self) -> None:
        self._sightings: deque[_Sighting] = deque(maxlen=9)
        self._together: tuple[int, Array, Array, list[int]] | None = None

    def see(self, points: Array, pose: Array) -> None:
        """Take the points [M, 2] of one scan or image, seen from `pose` (x, y, yaw)."""
        x0, y0, yaw = pose.tolist()
        x, y = rotate(points[:, 0], points[:, 1], yaw)
        self._sightings.append(_Sighting(x + x0, y + y0))
        self._together = None

    def forget(self) -> None:
        """Drop every sighting."""
        self._sightings.clear()
        self._together = None

    def time_to_collision(self, twist: Array, pose: Array, zone: Zone) -> float:
        """As `time_to_collision`, as most of the last sightings see it."""
        speed = math.hypot(twist[0], twist[1])
        if not self._sightings or speed < _CLOSING_MPS:
            return math.inf
        horizon_s = zone.horizon_s(speed)
        reach_m = zone.radius_m + speed * horizon_s
        x, y, starts = self._recent(2 * zone.debounce - 1)
        x0, y0, yaw = pose.tolist()
        x, y = x - x0, y - y0
        near = (x * x + y * y <= reach_m * reach_m).nonzero()[0]
        if len(near) < zone.min_points:
            return math.inf
        # By `rotate`: a matrix product may start threads, and wait for them.
        touches = _touch_times(*rotate(x[near], y[near], -yaw), twist, zone, horizon_s)
        ends = near.searchsorted(starts).tolist()
        times = sorted(_agreed(touches[start:end], zone, horizon_s)
                       for start, end in pairwise(ends))
        # Right after start fewer sightings are there than the debounce asks for: then all count.
        return times[zone.debounce - 1] if len(times) >= zone.debounce else times[0]

    def _recent(self, count: int) -> tuple[Array, Array, list[int]]:
        """Points of the last sightings, and where each of those starts; last, where they end."""
        if self._together is None or self._together[0] != count:
            recent = list(self._sightings)[-count:]
            starts = [0]
            for sighting in recent:
                starts.append(starts[-1] + len(sighting.x))
            self._together = (count, np.concatenate([s.x for s in recent]),
                              np.concatenate([s.y for s in recent]), starts)
        return self._together[1:]


def allowed_share(ttc_s: float, speed: float, zone: Zone) -> float:
    """The share of a twist that may be driven, in [0, 1], given its time to collision."""
    if ttc_s == math.inf:
        return 1.0
    by_time = (ttc_s - zone.stop_ttc_s) / (zone.slow_ttc_s - zone.stop_ttc_s)
    by_braking = zone.safe_speed(ttc_s * speed) / speed if speed > 0 else 1.0
    share = min(by_time, by_braking, 1.0)
    # Else it would approach the place where it has to stop for ever slower, and never stop.
    return share if share > _LEAST_SHARE else 0.0
