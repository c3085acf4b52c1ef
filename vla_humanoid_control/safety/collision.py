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

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.types import ScanReading

Array = NDArray[np.float64]

_CLOSING_MPS = 1e-3  # slower approach to a point inside the zone counts as none
_SAMPLES = 24


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
        clearance_m = max(clearance_m, 0.0)
        lag = self.deceleration * (self.deceleration / (2 * self.jerk) + self.reaction_s)
        return math.sqrt(lag * lag + 2 * self.deceleration * clearance_m) - lag


def scan_points(reading: ScanReading, reach_m: float) -> Array:
    """Points that a scan hit, in the base frame.

    Args:
        reading: The scan; NaN, infinite and zero ranges, and those outside its limits, are masked.
        reach_m: Points further away are of no interest [m].

    Returns:
        float64 [M, 2] [m].
    """
    ranges = reading.ranges_m
    low = max(reading.range_min_m, 1e-6)
    with np.errstate(invalid='ignore'):
        index = np.flatnonzero((ranges >= low) & (ranges <= min(reading.range_max_m, reach_m)))
    angles = reading.angle_min_rad + reading.angle_increment_rad * index
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * ranges[index, None]


def depth_points(depth_m: Array, intrinsics: tuple[float, float, float, float],
                 base_from_camera: Array, heights_m: tuple[float, float], reach_m: float,
                 min_valid_fraction: float, stride: int = 4) -> Array | None:
    """Points that a depth image saw, in the base frame.

    Args:
        depth_m: [H, W], distance along the optical axis [m]; NaN, infinite and zero are masked.
        intrinsics: fx, fy, cx, cy [px].
        base_from_camera: float64 [4, 4], from the optical frame (x right, y down, z ahead).
        heights_m: Only points between these heights above the ground are obstacles [m].
        reach_m: Points further away are of no interest [m].
        min_valid_fraction: With a smaller share of measurements nothing is known.
        stride: Only every so many rows and columns are used.

    Returns:
        float64 [M, 2] [m], or None: the state of obstacles is unknown, and unknown means stop.
    """
    fx, fy, cx, cy = intrinsics
    z = np.asarray(depth_m[::stride, ::stride], dtype=np.float64)
    valid = np.isfinite(z) & (z > 0)
    if z.size == 0 or float(valid.mean()) < min_valid_fraction:
        return None
    rows, columns = np.nonzero(valid)
    z = z[rows, columns]
    camera = np.stack([(columns * stride - cx) / fx * z, (rows * stride - cy) / fy * z, z], axis=1)
    base = camera @ base_from_camera[:3, :3].T + base_from_camera[:3, 3]
    keep = (base[:, 2] >= heights_m[0]) & (base[:, 2] <= heights_m[1])
    keep &= np.hypot(base[:, 0], base[:, 1]) <= reach_m
    points: Array = base[keep, :2]
    return points


def time_to_collision(points: Array, twist: Array, zone: Zone) -> float:
    """When the footprint will touch an obstacle, if the base keeps its twist.

    Args:
        points: float64 [M, 2], in the base frame [m].
        twist: float64 [3], base velocity forward, left, turning left [m/s, m/s, rad/s].
        zone: The footprint, the horizon `slow_ttc_s` and the least number of points.

    Returns:
        Seconds, 0 where it moves deeper into its zone, inf where nothing is met in time.
    """
    vx, vy, turn = float(twist[0]), float(twist[1]), float(twist[2])
    speed = math.hypot(vx, vy)
    horizon = zone.slow_ttc_s
    if len(points) < zone.min_points or speed < _CLOSING_MPS:
        return math.inf
    distance = np.hypot(points[:, 0], points[:, 1])
    near = distance <= zone.radius_m + speed * horizon
    points, distance = points[near], distance[near]
    if len(points) < zone.min_points:
        return math.inf
    inside = distance < zone.radius_m
    closing = points @ np.array([vx, vy]) > _CLOSING_MPS * distance
    # Centre of the footprint at sample times, [K, 2]: the arc of a constant twist.
    t = np.linspace(horizon / _SAMPLES, horizon, _SAMPLES)
    angle = turn * t
    half = 0.5 * angle
    chord = t * np.sinc(half / np.pi)
    centre = np.stack([chord * (vx * np.cos(half) - vy * np.sin(half)),
                       chord * (vx * np.sin(half) + vy * np.cos(half))], axis=1)
    # Squared distance of every point from every centre, [K, M].
    squared = (centre ** 2).sum(axis=1)[:, None] - 2 * centre @ points.T + distance ** 2
    hit = squared < zone.radius_m ** 2
    first = np.where(hit.any(axis=0), t[hit.argmax(axis=0)] - horizon / _SAMPLES, np.inf)
    first = np.where(inside, np.where(closing, 0.0, np.inf), first)
    return float(np.partition(first, zone.min_points - 1)[zone.min_points - 1])


@dataclass(frozen=True)
class _Sighting:
    points: Array
    pose: Array


class Surroundings:
    """The last few sets of obstacle points of one sensor, and what they say of a motion.

    The base's own motion since a sighting is made up for by dead reckoning.
    """

    def __init__(self) -> None:
        self._sightings: deque[_Sighting] = deque(maxlen=9)

    def see(self, points: Array, pose: Array) -> None:
        """Take the points [M, 2] of one scan or image, seen from `pose` (x, y, yaw)."""
        self._sightings.append(_Sighting(points, pose))

    def forget(self) -> None:
        """Nothing is known any more."""
        self._sightings.clear()

    def time_to_collision(self, twist: Array, pose: Array, zone: Zone) -> float:
        """As `time_to_collision`, as most of the last sightings see it."""
        recent = list(self._sightings)[-(2 * zone.debounce - 1):]
        times = sorted(time_to_collision(_moved(s, pose), twist, zone) for s in recent)
        # Right after start fewer sightings are there than the debounce asks for: then all count.
        return times[min(zone.debounce, len(times)) - 1] if len(times) >= zone.debounce \
            else min(times, default=math.inf)


def _moved(sighting: _Sighting, pose: Array) -> Array:
    """Points of a sighting in the base frame at `pose`, [M, 2]."""
    dx, dy, dyaw = pose - sighting.pose
    if dx == 0 and dy == 0 and dyaw == 0:
        return sighting.points
    cos, sin = math.cos(sighting.pose[2]), math.sin(sighting.pose[2])
    offset = np.array([dx * cos + dy * sin, dy * cos - dx * sin])  # in the frame of the sighting
    cos, sin = math.cos(dyaw), math.sin(dyaw)
    turned: Array = (sighting.points - offset) @ np.array([[cos, -sin], [sin, cos]])
    return turned


def allowed_share(ttc_s: float, speed: float, zone: Zone) -> float:
    """The share of a twist that may be driven, in [0, 1], given its time to collision."""
    if ttc_s == math.inf:
        return 1.0
    by_time = (ttc_s - zone.stop_ttc_s) / (zone.slow_ttc_s - zone.stop_ttc_s)
    by_braking = zone.safe_speed(ttc_s * speed) / speed if speed > 0 else 1.0
    return min(max(min(by_time, by_braking), 0.0), 1.0)
