"""Goes around what stands in the way to an object, for any policy that walks straight at it.

    the policy's twist ─► is something met soon? ─ no ─► the same twist
                                 │ yes
                                 └► as fast, in the nearest free direction; it turns as before

The base steps aside without turning more than the policy wants: a camera that looks at the target
keeps it in view, and the policy goes on towards it from wherever the base is. Safety judges what
comes of it as it judges everything else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.collision import Surroundings, Zone, scan_points
from vla_humanoid_control.safety.inputs import scan_problem
from vla_humanoid_control.safety.mounts import Mounts
from vla_humanoid_control.types import BASE_CHANNELS, ScanReading

Array = NDArray[np.float64]

FREE_S = 1.5
"""A direction is free if nothing is met in it for so long [s]: safety lets it pass at full speed
then."""
_CLEARANCE_M = 0.10  # around the footprint: what safety keeps, and as much again
_SLOWEST_MPS = 0.05  # who creeps is about to arrive
_ON_S = 1.0  # so long after a step aside it is still going around something
_ON_FACTOR = 1.25  # by how much earlier it heeds what it is going around
_OTHER_SIDE_RAD = 1.0  # the side that it began with is kept unless the other is so much nearer
_SCAN_MAX_AGE_S = 0.5
_ALL_AROUND_RAD = math.radians(350)
_ASIDE_RAD = {kept: sorted((side * math.radians(angle) for angle in range(10, 130, 10)
                            for side in (1, -1)),
                           key=lambda aside: abs(aside) + _OTHER_SIDE_RAD * (aside * kept < 0))
              for kept in (-1, 0, 1)}
"""Directions away from the one that is wanted, the best first, by the side that is kept."""


class Detour:
    """Takes scans, and turns the velocity of a twist away from what they show.

    A policy that means to come near to something slows down before it, or plans to stop there.
    What it would meet within `soon_s` at the speed that it plans is therefore not what it goes to.

    Args:
        robot: Its footprint, its top speeds, and where its laser scanner is.
    """

    def __init__(self, robot: RobotSpec) -> None:
        limits = [robot.base[c] for c in BASE_CHANNELS]
        self._fastest = robot.top_twist[:2]
        self._zone = Zone(robot.footprint_radius_m + _CLEARANCE_M, FREE_S, 0.0,
                          min(m.acceleration for m in limits[:2]),
                          min(m.jerk for m in limits[:2]), 0.0, min_points=3, debounce=2)
        self._mounts = Mounts(robot)
        self._reach_m = self._zone.radius_m + FREE_S * float(np.hypot(*self._fastest)) + 0.5
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was seen: places are counted from elsewhere now."""
        self._seen = Surroundings()
        self._seen_s = self._aside_s = -math.inf
        self._side = 0
        self._field = 0.0, 0.0  # first bearing that the scanner looks at, and how far around [rad]

    def on_scan(self, reading: ScanReading, place: Array, now_s: float) -> None:
        """Take a laser scan, from where the base is: float64 [3], x, y [m], yaw [rad]."""
        if self._mounts.problem('scan', reading.frame) or scan_problem(reading, 0.0):
            return  # safety says so, and stops
        pose = self._mounts.pose('scan', reading.frame)
        self._seen.see(scan_points(reading, self._reach_m, pose), place)
        self._seen_s = now_s
        looks = 0.0 if pose is None else math.atan2(pose[1, 0], pose[0, 0])
        rays = len(reading.ranges_m)
        ends = looks + reading.angle_min_rad + np.array([0, rays - 1]) * \
            reading.angle_increment_rad
        self._field = float(ends.min()), float(np.ptp(ends))

    def around(self, twist: Array, planned: Array, place: Array, soon_s: float, now_s: float
               ) -> Array:
        """A twist that meets nothing soon, as near to the given one as there is.

        Args:
            twist: float64 [3]: forward, left [m/s], turning left [rad/s].
            planned: float64 [3], its mean over what the policy plans next: small where it is
                about to stop.
            place: float64 [3], as in `on_scan`.
            soon_s: Less time to a collision is soon [s].
            now_s: Steady clock [s].

        Returns:
            float64 [3]; the same twist where its way is free, or where no way is, such as for a
            base that cannot step aside.
        """
        speed = math.hypot(twist[0], twist[1])
        if speed < _SLOWEST_MPS or now_s - self._seen_s > _SCAN_MAX_AGE_S:
            return twist
        kept = self._side if self.is_on(now_s) else 0
        straight = np.array([planned[0], planned[1], 0.0])
        if self._free_s(straight, place) >= soon_s * (_ON_FACTOR if kept else 1.0):
            return twist
        heading = math.atan2(twist[1], twist[0])
        for aside in _ASIDE_RAD[kept]:
            way = self._towards(heading + aside, speed)
            if self._looks_at(heading + aside) and np.hypot(*way[:2]) >= _SLOWEST_MPS \
                    and math.isinf(self._free_s(way, place)):
                self._side, self._aside_s = int(math.copysign(1, aside)), now_s
                return np.array([*way[:2], twist[2]])
        return twist

    def is_on(self, now_s: float) -> bool:
        """Whether it is going around something."""
        return now_s - self._aside_s < _ON_S

    def _looks_at(self, bearing: float) -> bool:
        """Whether the scanner looks there: what it cannot see is not free."""
        first, width = self._field
        return (bearing - first) % (2 * math.pi) <= width or width > _ALL_AROUND_RAD

    def _towards(self, heading: float, speed: float) -> Array:
        """A twist that goes there without turning, as fast as asked if the base can [m/s]."""
        way = np.array([math.cos(heading), math.sin(heading)])
        fastest = float((self._fastest / np.maximum(np.abs(way), 1e-9)).min())
        return np.array([*min(speed, fastest) * way, 0.0])

    def _free_s(self, twist: Array, place: Array) -> float:
        """For how long nothing is met; inf for `FREE_S` and more [s]."""
        return self._seen.time_to_collision(twist, place, self._zone)
