"""A robot in good health on a bench: every input arrives, and any of them can be tampered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.types import (
    Action,
    Command,
    GatedProposal,
    ImuReading,
    JointReading,
    Proposal,
    ScanReading,
)

PERIOD_S = 0.02
RAYS = 360


def scan_reading(stamp_ns: int, ranges: np.ndarray) -> ScanReading:
    return ScanReading(stamp_ns, -np.pi, 2 * np.pi / RAYS, 0.05, 10.0, ranges)


def imu_reading(stamp_ns: int, roll_rad: float = 0.0) -> ImuReading:
    return ImuReading(stamp_ns, np.array([np.sin(roll_rad / 2), 0, 0, np.cos(roll_rad / 2)]),
                      np.zeros(3), np.array([0, 0, 9.81]))


def moved(pose: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """A pose after one tick of a twist."""
    yaw = pose[2] + 0.5 * PERIOD_S * twist[2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    return pose + PERIOD_S * np.array([cos * twist[0] - sin * twist[1],
                                       sin * twist[0] + cos * twist[1], twist[2]])


@dataclass
class Bench:
    """Feeds a supervisor with what a healthy robot would send, tick by tick.

    `off` names inputs that are silent; `overrides` replaces readings; `twist` and `joints` are
    what the policy asks for.
    """

    robot: RobotSpec
    config: SafetyConfig = field(default_factory=SafetyConfig)
    now_s: float = 1000.0
    clock_offset_s: float = 1.7e9
    twist: tuple[float, float, float] = (0.4, 0.0, 0.0)
    joints: dict[str, float] = field(default_factory=dict)
    is_open: bool = True
    off: set[str] = field(default_factory=set)
    overrides: dict[str, Any] = field(default_factory=dict)
    follow: bool = True
    drive: Callable[[np.ndarray], np.ndarray] | None = None  # what the base makes of its command
    obstacle: tuple[float, float] | None = None  # bearing [rad] and distance from the base [m]
    paused_ns: int = 0
    log: list[tuple[float, Command]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.safety = SafetySupervisor(self.robot, self.config, self.now_s)
        self.measured = dict(zip(self.robot.joint_names, self.robot.home.tolist()))
        self.noise = np.random.default_rng(0)
        self.tick = 0
        self.pose = self.driven = np.zeros(3)

    @property
    def stamp_ns(self) -> int:
        return self.paused_ns or int((self.now_s + self.clock_offset_s) * 1e9)

    def imu(self, roll_rad: float = 0.0) -> ImuReading:
        return imu_reading(self.stamp_ns, roll_rad)

    def joint_reading(self) -> JointReading:
        jitter = self.noise.normal(size=len(self.measured)) * 1e-5
        return JointReading(self.stamp_ns, {n: v + e for (n, v), e
                                            in zip(self.measured.items(), jitter)})

    def scan(self) -> ScanReading:
        ranges = 5.0 + self.noise.normal(size=RAYS) * 0.01
        if self.obstacle is not None:
            bearing, distance = self.obstacle
            middle = round((bearing + np.pi) / (2 * np.pi / RAYS))
            ranges[np.arange(middle - 6, middle + 7) % RAYS] = distance
        return scan_reading(self.stamp_ns, ranges)

    def gated(self) -> GatedProposal:
        action = Action(np.array(self.twist), dict(self.joints)) if self.is_open else Action.hold()
        return GatedProposal(Proposal(self.stamp_ns, action, 0.9, 0.1), self.is_open,
                             '' if self.is_open else 'confidence is low')

    def feed(self) -> None:
        """What arrives before one tick: joints and IMU at 50 Hz, the rest at 10 Hz."""
        now_s, safety = self.now_s, self.safety
        if 'clock' not in self.off:
            safety.on_clock(self.stamp_ns, now_s)
        if 'joint_states' not in self.off:
            safety.on_joint_states(self.overrides.get('joint_states') or self.joint_reading(),
                                   now_s)
        if 'imu' not in self.off:
            safety.on_imu(replace(self.overrides.get('imu') or self.imu(),
                                  stamp_ns=self.stamp_ns), now_s)
        if 'odom' not in self.off:
            told = self.log[-1][1].twist if self.log else np.zeros(3)
            self.driven = told if self.drive is None else self.drive(told)
            self.pose = moved(self.pose, self.driven)
            safety.on_odom(self.driven, now_s, pose=self.pose)
        if self.tick % 5 == 0:
            if 'scan' not in self.off:
                safety.on_scan(replace(self.overrides.get('scan') or self.scan(),
                                       stamp_ns=self.stamp_ns), now_s)
            if 'proposal' not in self.off:
                safety.on_gated(self.overrides.get('gated') or self.gated(), now_s)

    def step(self) -> Command:
        self.feed()
        command = self.safety.step(self.now_s)
        self.log.append((self.now_s, command))
        if self.follow:
            self.measured.update(command.joints)
        self.now_s += PERIOD_S
        self.tick += 1
        return command

    def run(self, seconds: float) -> Command:
        for _ in range(round(seconds / PERIOD_S)):
            command = self.step()
        return command

    def until(self, state: str, timeout_s: float = 3.0) -> float:
        """Seconds until the state is reached."""
        start_s = self.now_s
        while self.now_s - start_s < timeout_s:
            if self.step().state.name == state:
                return self.log[-1][0] - start_s
        raise AssertionError(f'{state} not reached; {self.log[-1][1]}')

    def twists(self) -> np.ndarray:
        return np.array([c.twist for _, c in self.log]).reshape(-1, 3)

    def postures(self) -> np.ndarray:
        return np.array([list(c.joints.values()) for _, c in self.log if c.joints])

    def check_limits(self) -> None:
        """Everything that was sent is within limits."""
        base = list(self.robot.base.values())
        check_bounds(self.twists(), *(np.array([getattr(m, f) for m in base]) for f in
                                      ('velocity', 'acceleration', 'jerk')))
        postures, joints = self.postures(), self.robot.controlled
        if not len(postures):
            return
        assert (postures >= np.array([j.lower for j in joints]) - 1e-9).all()
        assert (postures <= np.array([j.upper for j in joints]) + 1e-9).all()
        start = np.repeat(postures[:1], 3, axis=0)
        velocity = np.diff(np.concatenate([start, postures]), axis=0) / PERIOD_S
        check_bounds(velocity, *(np.array([getattr(j.motion, f) for j in joints]) for f in
                                 ('velocity', 'acceleration', 'jerk')))


def check_bounds(velocity: np.ndarray, max_v: np.ndarray, max_a: np.ndarray,
                 max_j: np.ndarray) -> None:
    """Velocities [T, n], sampled once a tick, and their differences are within bounds."""
    assert np.isfinite(velocity).all()
    assert (np.abs(velocity) <= max_v * (1 + 1e-6) + 1e-9).all()
    acceleration = np.diff(velocity, axis=0) / PERIOD_S
    assert (np.abs(acceleration) <= max_a * (1 + 1e-6) + 1e-9).all()
    jerk = np.diff(acceleration, axis=0) / PERIOD_S
    worst = np.max(np.abs(jerk) / max_j, initial=0.0)
    assert worst <= 1 + 1e-5, worst
    assert (np.abs(jerk) <= max_j * (1 + 1e-5) + 1e-7).all()
