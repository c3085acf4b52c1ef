"""The inputs that the supervisor watches, each with its watchdog and its check for repetition."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.joint_states import NAME as JOINT_STATES
from vla_humanoid_control.safety.joint_states import JointStates
from vla_humanoid_control.safety.states import STOP, Cause
from vla_humanoid_control.safety.watchdogs import FrozenCheck, RobotClock, StampLimits, Watchdog
from vla_humanoid_control.types import JointReading

PROPOSAL = 'proposal'
_MUST_CHANGE_AFTER = {'scan': 0.03, 'depth': 0.03}
"""Sensors whose repetition to the last bit is suspicious, besides joint states, and the commanded
way of the base after which they must differ [m + rad]. A noiseless IMU on a level floor, or
odometry of constant speed, may repeat itself honestly."""
_CAMERA_MUST_CHANGE_AFTER = 0.03


class Monitors:
    """Watchdogs of the proposal, of every sensor and of every camera of a robot.

    Only sensors that the robot file lists are watched, and of those not the ones that the
    configuration leaves out.
    """

    def __init__(self, robot: RobotSpec, config: SafetyConfig) -> None:
        self.clock = RobotClock()
        self.joints = JointStates(robot)
        self.sensors = {name: Watchdog(name, s.timeout_s) for name, s in robot.sensors.items()}
        self.sensors[JOINT_STATES] = self.joints
        self.cameras = {name: Watchdog(f'camera {name}', s.timeout_s)
                        for name, s in robot.cameras.items()}
        self.proposal = Watchdog(PROPOSAL, config.proposal_timeout_s, from_stamp=True)
        self._frozen = {name: FrozenCheck(threshold)
                        for name, threshold in _MUST_CHANGE_AFTER.items() if name in self.sensors}
        for camera in self.cameras.values():
            self._frozen[camera.name] = FrozenCheck(_CAMERA_MUST_CHANGE_AFTER)
        self.config = config

    @property
    def config(self) -> SafetyConfig:
        """Thresholds; may be set anew at any time."""
        return self._config

    @config.setter
    def config(self, config: SafetyConfig) -> None:
        self._config = config
        self._limits = StampLimits(config.max_stamp_age_s, config.max_stamp_ahead_s)
        self.proposal.timeout_s = config.proposal_timeout_s
        self._watched = frozenset(name for name in self.sensors
                                  if getattr(config, f'watch_{name}', True))
        self._watchdogs = [w for name, w in self.sensors.items() if name in self._watched]
        if config.watch_cameras:
            self._watchdogs += self.cameras.values()
        names = {watchdog.name for watchdog in self._watchdogs}
        self._checks = [(name, check) for name, check in self._frozen.items() if name in names]

    def watched(self, sensor: str) -> bool:
        """Whether the robot has a sensor and it is to be watched."""
        return sensor in self._watched

    def offer(self, watchdog: Watchdog, stamp_ns: int, now_s: float) -> bool:
        """Judge a reading by its stamp; False if it must not be used."""
        return not watchdog.offer(stamp_ns, self.clock, self._limits, now_s)

    def offer_joints(self, reading: JointReading, now_s: float) -> bool:
        """Judge a reading of some joints, and merge it; False if it must not be used."""
        if self.joints.take(reading, self.clock, self._limits, now_s):
            return False
        self.joints.repeated(reading, self.config.frozen_at_rest, self.config.frozen_after_s,
                             now_s)
        return True

    def content(self, watchdog: Watchdog, content: Hashable, way: float, now_s: float) -> None:
        """Compare a reading's content with the one before; `way` as in `FrozenCheck.offer`."""
        self._frozen[watchdog.name].offer(content, way, self.config.frozen_at_rest,
                                          self.config.frozen_after_s, now_s)

    def causes(self, now_s: float) -> Iterator[Cause]:
        """Stale and frozen inputs."""
        scale = self.config.sensor_timeout_scale
        for watchdog in self._watchdogs:
            if problem := watchdog.stale(now_s, scale):
                yield Cause('stale' if watchdog.seen else 'missing', STOP, problem)
        if problem := self.proposal.stale(now_s):
            yield Cause('stale' if self.proposal.seen else 'missing', STOP, problem)
        if self.config.watch_frozen:
            for name, check in self._checks:
                if check.frozen:
                    yield Cause('frozen', STOP, f'{name} repeats itself to the last bit')
            if frozen := self.joints.frozen():
                yield Cause('frozen', STOP, f'{frozen} repeats itself to the last bit')

    def diagnostics(self, now_s: float) -> Mapping[str, str | float | int]:
        """Age, accepted and rejected count, and last rejection of every input."""
        result: dict[str, str | float | int] = {}
        for watchdog in (self.proposal, *self.sensors.values(), *self.cameras.values()):
            name = watchdog.name.replace(' ', '/')
            result[f'age_s/{name}'] = round(watchdog.age_s(now_s), 4)
            result[f'accepted/{name}'] = watchdog.accepted
            result[f'rejected/{name}'] = watchdog.rejected
            if watchdog.last_rejection:
                result[f'last_rejection/{name}'] = watchdog.last_rejection
        return result
