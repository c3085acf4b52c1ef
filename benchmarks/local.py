"""What can be measured in one process, without ROS: forward pass, safety check, simulator."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Summary, summarise
from vla_humanoid_control.control.robot_policy import RobotPolicy
from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.simulation.world import World  # chooses how MuJoCo draws, so early
from vla_humanoid_control.support.geometry import advance
from vla_humanoid_control.types import (
    CONTROL_PERIOD_S,
    Action,
    GatedProposal,
    ImuReading,
    JointReading,
    Proposal,
    RobotObservation,
    SafetyState,
    ScanReading,
)

WARM_UP = 25  # ticks of the supervisor that are not counted: it starts and recovers
POSTURE_S = 1.5  # between two postures in the hard case
WIDTH, HEIGHT = 640, 480
_SWINGING = ('neck', 'shoulder_pitch', 'wrist')  # these can move without touching the body


def record_turn(robot: RobotSpec, count: int) -> list[NDArray[np.uint8]]:
    """What the simulated robot sees in a full turn to the left, RGB uint8 [480, 640, 3] each."""
    world = World(robot)
    try:
        x, y, yaw = world.base_pose()
        frames = []
        for step in range(count):
            world.place_base(np.array([x, y, yaw + 2 * np.pi * step / count]))
            frames.append(world.render('head', WIDTH, HEIGHT).copy())
        return frames
    finally:
        world.close()


def forward_pass(policy: RobotPolicy, robot: RobotSpec, frames: Sequence[NDArray[np.uint8]],
                 instruction: str, count: int) -> Summary:
    """`infer` back to back, and nothing else, after some passes that are not counted."""
    return summarise(passes_ms([policy], robot, frames, instruction, count)[:, 0].tolist())


def passes_ms(policies: Sequence[RobotPolicy], robot: RobotSpec,
              frames: Sequence[NDArray[np.uint8]], instruction: str, count: int
              ) -> NDArray[np.float64]:
    """How long `infer` of each policy takes, asked in turns about the same frames [count, P].

    The first passes are not counted.
    """
    for policy in policies:
        policy.reset(instruction)
    camera = policies[0].spec.cameras[0]
    durations = np.zeros((count + 10, len(policies)))
    for number in range(len(durations)):
        seen = RobotObservation(number, {camera: frames[number % len(frames)]}, robot.home,
                                CHUNK_DT_S * number)
        for place, policy in enumerate(policies):
            began_ns = time.perf_counter_ns()
            policy.infer(seen)
            durations[number, place] = (time.perf_counter_ns() - began_ns) / 1e6
    return durations[10:]


def simulator_speed(robot: RobotSpec, seconds: float) -> tuple[float, float, float]:
    """Physics steps a second, that as multiples of real time, and frames drawn a second."""
    world = World(robot)
    try:
        world.apply(np.array([0.2, 0.0, 0.3]), {})
        began_s, simulated_s = time.perf_counter(), world.time_s
        while time.perf_counter() - began_s < seconds:
            world.advance(CONTROL_PERIOD_S)
        factor = (world.time_s - simulated_s) / (time.perf_counter() - began_s)
        world.render('head', WIDTH, HEIGHT)
        began_s, drawn = time.perf_counter(), 0
        while time.perf_counter() - began_s < seconds:
            world.render('head', WIDTH, HEIGHT)
            drawn += 1
        rate = drawn / (time.perf_counter() - began_s)
        return factor / float(world.model.opt.timestep), factor, rate
    finally:
        world.close()


class SafetyCheck:
    """A supervisor with everything that reaches it in operation.

    Joints and IMU at 100 Hz, scan and proposals at 10 Hz; a base in motion in sight of walls, and
    arms that move.

    Time is made up, as the supervisor allows: only the work is measured, in processor time of this
    thread. What other processes take from it shows in the deadlines of the graph.

    Args:
        robot: The robot.
        crowded: The hard case: a finer scan of walls that are near enough to slow down for, and
            arms that are sent from one posture to the next, many of which are in their own way.
    """

    def __init__(self, robot: RobotSpec, crowded: bool = False) -> None:
        self._robot = robot
        self._rays, self._wall_m = (720, 0.65) if crowded else (180, 2.0)
        self._crowded = crowded
        self._now_s = 1.0
        self._tick = 0
        self._rng = np.random.default_rng(0)
        self._positions = {j.name: j.home for j in robot.joints}
        self._twist = self._pose = np.zeros(3)
        self._supervisor = SafetySupervisor(robot, SafetyConfig(), self._now_s)
        self.states: list[SafetyState] = []

    def measure(self, ticks: int) -> tuple[Summary, Summary]:
        """The check alone, and the whole tick with its inputs."""
        steps, wholes = [], []
        with one_core():
            for _ in range(ticks + WARM_UP):
                step_ms, whole_ms = self._one()
                steps.append(step_ms)
                wholes.append(whole_ms)
        del self.states[:WARM_UP]
        return summarise(steps[WARM_UP:]), summarise(wholes[WARM_UP:])

    @property
    def moving(self) -> float:
        """Share of the ticks in which the robot was allowed to move."""
        return sum(s in (SafetyState.RUN, SafetyState.SLOW) for s in self.states) \
            / max(1, len(self.states))

    def _one(self) -> tuple[float, float]:
        self._tick += 1
        self._now_s += CONTROL_PERIOD_S
        now_s, stamp_ns, supervisor = self._now_s, int(self._now_s * 1e9), self._supervisor
        readings = [self._joints(stamp_ns - 10_000_000), self._joints(stamp_ns)]
        levels = [self._imu(stamp_ns - 10_000_000), self._imu(stamp_ns)]
        scan = self._scan(stamp_ns) if self._tick % 5 == 0 else None
        gated = self._gated(stamp_ns) if self._tick % 5 == 1 else None
        began_ns = time.thread_time_ns()
        supervisor.on_clock(stamp_ns, now_s)
        for reading, level in zip(readings, levels):
            supervisor.on_joint_states(reading, now_s)
            supervisor.on_imu(level, now_s)
        supervisor.on_odom(self._twist, now_s, stamp_ns, self._pose)
        if scan is not None:
            supervisor.on_scan(scan, now_s)
        if gated is not None:
            supervisor.on_gated(gated, now_s)
        checked_ns = time.thread_time_ns()
        command = supervisor.step(now_s)
        ended_ns = time.thread_time_ns()
        self.states.append(command.state)
        self._positions.update(command.joints)
        self._twist = command.twist
        self._pose = advance(self._pose, command.twist, CONTROL_PERIOD_S)
        return (ended_ns - checked_ns) / 1e6, (ended_ns - began_ns) / 1e6

    def _joints(self, stamp_ns: int) -> JointReading:
        noise = 1e-5 * self._rng.standard_normal(len(self._positions))
        return JointReading(stamp_ns, {n: p + e for (n, p), e in
                                       zip(self._positions.items(), noise.tolist())})

    def _imu(self, stamp_ns: int) -> ImuReading:
        return ImuReading(stamp_ns, np.array([0.0, 0.0, 0.0, 1.0]),
                          1e-4 * self._rng.standard_normal(3), np.array([0.0, 0.0, 9.81]))

    def _scan(self, stamp_ns: int) -> ScanReading:
        return ScanReading(stamp_ns, -np.pi, 2 * np.pi / self._rays, 0.05, 8.0,
                           self._wall_m + 0.01 * self._rng.standard_normal(self._rays))

    def _gated(self, stamp_ns: int) -> GatedProposal:
        if self._crowded:
            return self._tangled(stamp_ns)
        phase = np.sin(2 * np.pi * 0.2 * self._now_s)
        joints = {j.name: float(np.clip(j.home + 0.2 * phase, j.lower, j.upper))
                  if any(part in j.name for part in _SWINGING) else j.home
                  for j in self._robot.controlled}
        action = Action(np.array([0.1, 0.0, 0.2 * phase]), joints)
        return GatedProposal(Proposal(stamp_ns, action, 0.9, 0.5), True, '')

    def _tangled(self, stamp_ns: int) -> GatedProposal:
        chance = np.random.default_rng(int(self._now_s / POSTURE_S))  # the same until the next
        joints = {j.name: j.home + 0.85 * (float(chance.uniform(j.lower, j.upper)) - j.home)
                  for j in self._robot.controlled}
        action = Action(np.array([0.3, 0.0, 0.2]), joints)
        return GatedProposal(Proposal(stamp_ns, action, 0.9, 0.5), True, '')


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread on one core; where the system cannot, nothing changes."""
    if not hasattr(os, 'sched_setaffinity'):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
