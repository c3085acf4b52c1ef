"""What laser and depth camera see around the base, and how fast it may go because of that."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.base import Base
from vla_humanoid_control.safety.collision import Surroundings, Zone, allowed_share, scan_points
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.inputs import RayCount, scan_problem
from vla_humanoid_control.safety.monitors import Monitors
from vla_humanoid_control.safety.mounts import Mounts
from vla_humanoid_control.safety.states import SLOW, STOP, Cause
from vla_humanoid_control.types import BASE_CHANNELS, ScanReading

Array = NDArray[np.float64]

_CREEPING = 0.05  # a base slower than this only creeps [m/s]


class Obstacles:
    """Takes scans and depth images, and slows the base down before what they see.

    Args:
        robot: The robot, its footprint and where its sensors are.
        config: Thresholds.
        monitors: Watches the sensors.
        base: Whose way is to be clear.

    Attributes:
        reach_m: Obstacles further away than this are of no interest [m].
        mounts: Where the sensors are on the base.
        share: The share of the proposed twist that obstacles allow, in [0, 1].
        shares: float64 [3], the same by channel: turning alone may go on where the rest may not.
        ttc_s: Time to collision of the proposed twist [s].
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig, monitors: Monitors,
                 base: Base) -> None:
        self.mounts = Mounts(robot)
        self.share, self.shares, self.ttc_s = 1.0, np.ones(3), math.inf
        self._robot, self._monitors, self._base = robot, monitors, base
        self._rays = RayCount()
        self._seen = {'scan': Surroundings(), 'depth': Surroundings()}
        self._depth_unknown = False
        self.configure(config)

    def configure(self, config: SafetyConfig) -> None:
        """Take changed thresholds."""
        self._config = config
        limits = [self._robot.base[c] for c in BASE_CHANNELS]
        self._zone = Zone(self._robot.footprint_radius_m + config.stop_margin_m, config.slow_ttc_s,
                          config.stop_ttc_s, min(m.acceleration for m in limits[:2]),
                          min(m.jerk for m in limits[:2]), config.reaction_s, config.min_points,
                          config.debounce_scans)
        top = float(np.hypot(limits[0].velocity, limits[1].velocity))
        self.reach_m = self._zone.radius_m + top * (self._zone.horizon_s(top) + 1.0)

    def on_scan(self, reading: ScanReading, now_s: float) -> None:
        """Take a laser scan."""
        watchdog = self._monitors.sensors.get('scan')
        if watchdog is None:
            return
        was_stale = watchdog.stale(now_s, self._config.sensor_timeout_scale)
        if problem := self.mounts.problem('scan', reading.frame) \
                or scan_problem(reading, self._config.min_valid_fraction) \
                or self._rays.problem(reading):
            watchdog.reject(problem, now_s)
        elif self._monitors.offer(watchdog, reading.stamp_ns, now_s):
            points = scan_points(reading, self.reach_m, self.mounts.pose('scan', reading.frame))
            # With nothing in sight all scans are alike: their stamp tells them apart.
            alike = np.isfinite(reading.ranges_m).any()
            self._monitors.content(watchdog, reading.ranges_m.tobytes() if alike
                                   else reading.stamp_ns, self._base.way, now_s)
            self._see('scan', points, bool(was_stale))

    def on_depth(self, points: Array | None, stamp_ns: int, digest: int | None,
                 now_s: float) -> None:
        """Take what a depth image shows; see `SafetySupervisor.on_depth`."""
        watchdog = self._monitors.sensors.get('depth')
        if watchdog is None:
            return
        was_stale = watchdog.stale(now_s, self._config.sensor_timeout_scale)
        if not self._monitors.offer(watchdog, stamp_ns, now_s):
            return
        self._depth_unknown = points is None
        if points is None:
            self._seen['depth'].forget()
            return
        if digest is None:
            digest = hash(points.tobytes()) if len(points) else stamp_ns
        self._monitors.content(watchdog, digest, self._base.way, now_s)
        self._see('depth', points, bool(was_stale))

    def blind_causes(self) -> Iterator[Cause]:
        """What speaks against any motion: a sensor that sees nothing."""
        if self._depth_unknown and self._monitors.watched('depth'):
            yield Cause('depth', STOP, 'the depth image shows nothing')

    def causes(self) -> Iterator[Cause]:
        """What speaks against the motion that is proposed; finds the share that is allowed."""
        twist = self._base.proposed
        speed = math.hypot(*twist[:2].tolist())
        self.ttc_s = min((seen.time_to_collision(twist, self._base.pose, self._zone)
                          for name, seen in self._seen.items()
                          if self._monitors.watched(name)), default=math.inf)
        self.share = allowed_share(self.ttc_s, speed, self._zone)
        self.shares = np.full(3, self.share)
        if self.share < 1.0:
            # A creeping base is held back without stopping the arms: they may be reaching. It may
            # turn, too, which brings a round footprint nowhere: else a policy that means to turn
            # on the spot, and creeps a little, would be stuck before an obstacle for ever.
            demands = STOP if self.share <= 0.0 and speed >= _CREEPING else SLOW
            if self.share <= 0.0 and demands is SLOW:
                self.shares[2] = 1.0
            yield Cause('obstacle', demands, f'collision in {self.ttc_s:.1f} s, speed limited to '
                        f'{self.share:.0%}')

    def _see(self, sensor: str, points: Array, after_silence: bool) -> None:
        """Take obstacle points. What was seen before a silence must not outvote them."""
        if after_silence:
            self._seen[sensor].forget()
        self._seen[sensor].see(points, self._base.pose)
