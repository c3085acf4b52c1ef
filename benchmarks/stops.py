"""Every stop on a robot with legs: from the fault until it stands, the way, and how it leant.

    python -m benchmarks.stops
    python -m benchmarks.stops --robot unitree_g1 --out out/stops_unitree_g1.md

The robot walks ahead at its top speed under the real safety supervisor, in process: what the
processes and DDS add is measured by `make faults`. Then one thing fails, as in the tests of
test/faults, and stays so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.walking import TICK_S, begin, in_world_of, rest
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.types import (
    BASE_CHANNELS,
    Action,
    Command,
    GatedProposal,
    ImuReading,
    JointReading,
    Proposal,
    ScanReading,
)

WALK_S, WATCH_S = 4.0, 6.0
SENSORS_EVERY = 5  # scans, frames and proposals: each so many ticks
EPOCH_NS = 1_700_000_000 * 10**9
FALLING_RAD, NEAR_M = 0.7, 0.45


@dataclass
class Walk:
    """A walking robot, its supervisor, and all that safety hears; any of it can be switched off.

    Attributes:
        off: Inputs that are silent.
        joints, imu, scan: What becomes of readings on their way.
        is_open: Whether the confidence gate is.
        halted: Whether the robot's clock stands still.
        dead: Whether the safety monitor is, so that the base hears nothing.
    """

    world: World
    off: set[str] = field(default_factory=set)
    joints: Callable[[JointReading], JointReading] = lambda reading: reading
    imu: Callable[[ImuReading], ImuReading] = lambda reading: reading
    scan: Callable[[ScanReading], ScanReading] = lambda reading: reading
    is_open: bool = True
    halted: bool = False
    dead: bool = False

    def __post_init__(self) -> None:
        self.now_s, self._tick, self._stamp_ns, self._frame_ns = 1000.0, 0, 0, 0
        self.safety = SafetySupervisor(self.world.robot, SafetyConfig(), self.now_s)
        top = self.world.robot.base[BASE_CHANNELS[0]].velocity
        self._asked = np.array([top, 0.0, 0.0])
        self._told, self._told_s = np.zeros(3), self.now_s

    def step(self) -> Command:
        """One control period: sense, decide, move."""
        if not self.halted:
            self._stamp_ns = EPOCH_NS + round(self.now_s * 1e9)
        self._sense(self._stamp_ns)
        command = self.safety.step(self.now_s)
        if not self.dead:
            self._told, self._told_s = command.twist, self.now_s
            self.world.apply(command.twist, command.joints)
        elif self.now_s - self._told_s > self.world.robot.command_timeout_s:
            self.world.apply(np.zeros(3), {})
        self.world.advance(TICK_S)
        self.now_s += TICK_S
        self._tick += 1
        return command

    def _sense(self, stamp_ns: int) -> None:
        world, safety, now_s = self.world, self.safety, self.now_s
        safety.on_clock(stamp_ns, now_s)
        if 'joint_states' not in self.off:
            safety.on_joint_states(
                self.joints(replace(world.joint_reading(), stamp_ns=stamp_ns)), now_s)
        if 'imu' not in self.off:
            safety.on_imu(self.imu(replace(world.imu_reading(), stamp_ns=stamp_ns)), now_s)
        if 'odom' not in self.off:
            pose, twist = world.odometry()
            safety.on_odom(twist, now_s, stamp_ns, pose)
        if self._tick % SENSORS_EVERY:
            return
        if 'scan' not in self.off:
            safety.on_scan(self.scan(replace(world.scan_reading(), stamp_ns=stamp_ns)), now_s)
        if 'camera' not in self.off:
            self._frame_ns = stamp_ns  # proposals carry the stamp of the frame behind them
        if 'proposal' not in self.off:
            action = Action(self._asked, {}) if self.is_open else Action.hold()
            safety.on_gated(GatedProposal(Proposal(self._frame_ns, action, 0.9, 0.1), self.is_open,
                                          '' if self.is_open else 'confidence is low'), now_s)


def _nan(reading: JointReading) -> JointReading:
    return replace(reading, positions=dict.fromkeys(reading.positions, float('nan')))


def _tilted(reading: ImuReading) -> ImuReading:
    half = FALLING_RAD / 2
    return replace(reading, orientation_xyzw=np.array([0.0, np.sin(half), 0.0, np.cos(half)]))


def _blocked(reading: ScanReading) -> ScanReading:
    ranges = np.array(reading.ranges_m)
    bearings = reading.angle_min_rad + reading.angle_increment_rad * np.arange(len(ranges))
    noise = reading.stamp_ns // 10**6 % 97 * 1e-5  # no two real scans are the same
    ranges[np.abs(bearings) < 0.2] = NEAR_M + noise
    return replace(reading, ranges_m=ranges)


def _silent(name: str) -> Callable[[Walk], None]:
    return lambda walk: walk.off.add(name)


def _set(**values: object) -> Callable[[Walk], None]:
    return lambda walk: vars(walk).update(values)


FAULTS: dict[str, Callable[[Walk], None]] = {
    'the emergency stop is pressed':
        lambda walk: walk.safety.emergency_stop(True, 'a person', walk.now_s),
    'the policy proposes nothing more': _silent('proposal'),
    'the confidence gate closes': _set(is_open=False),
    'the camera is silent': _silent('camera'),
    'joint states are silent': _silent('joint_states'),
    'joint states are not numbers': _set(joints=_nan),
    'the IMU is silent': _silent('imu'),
    f'the IMU says that the torso leans by {FALLING_RAD} rad': _set(imu=_tilted),
    'the laser is silent': _silent('scan'),
    f'something is {NEAR_M} m ahead': _set(scan=_blocked),
    'the odometry is silent': _silent('odom'),
    "the robot's clock stands still": _set(halted=True),
    'a foreign program publishes /cmd_vel':
        lambda walk: walk.safety.on_foreign_publisher(['/cmd_vel'], walk.now_s),
    'the safety monitor dies': _set(dead=True),
}
"""What fails, and how."""


@dataclass(frozen=True)
class Stop:
    """What became of one fault.

    Attributes:
        decided_s: From the fault to the last command at full speed [s].
        stands_s: From the fault to when the base stands [s].
        way_m: How far it came meanwhile [m].
        tilt_rad: How far it leant at most [rad].
        fell: Whether it fell.
        state: The state of safety at the end, and its reason.
    """

    decided_s: float
    stands_s: float
    way_m: float
    tilt_rad: float
    fell: bool
    state: str


def measure(world: World, fault: Callable[[Walk], None]) -> Stop:
    """Walk, let it fail, and watch.

    Raises:
        RuntimeError: The robot did not walk before the fault, so that nothing can be measured.
    """
    begin(world)
    walk = Walk(world)
    for _ in range(round(WALK_S / TICK_S)):
        command = walk.step()
    full = walk._asked[0]
    if command.twist[0] < 0.99 * full:
        raise RuntimeError(f'{world.robot.name} does not walk: {command}')
    fault(walk)
    poses, decided, tilt = [world.base_pose()], 0, 0.0
    for tick in range(round(WATCH_S / TICK_S)):
        command = walk.step()
        if walk.dead:
            fast = walk.now_s - walk._told_s <= world.robot.command_timeout_s
        else:
            fast = command.twist[0] > 0.99 * full
        decided = tick + 1 if fast else decided
        poses.append(world.base_pose())
        tilt = max(tilt, world.tilt_rad)
    way_m, stands_s = rest(np.array(poses))
    return Stop(decided * TICK_S, stands_s, way_m, tilt, bool(world.fallen),
                f'{command.state.name}: {command.reason}')


def measure_all(world: World) -> dict[str, Stop]:
    """All of `FAULTS`; prints each as it comes."""
    stops = {}
    for name, fault in FAULTS.items():
        stops[name] = measure(world, fault)
        print(f'{name}: {stops[name]}', flush=True)
    return stops


def table(stops: dict[str, Stop]) -> str:
    """The table in Markdown."""
    lines = ['| fault | decided after (s) | stands after (s) | way (m) | leans (rad) | falls |',
             '|---|---|---|---|---|---|']
    lines += [f'| {name} | {s.decided_s:.2f} | {s.stands_s:.2f} | {s.way_m:.2f} '
              f'| {s.tilt_rad:.2f} | {"yes" if s.fell else "no"} |' for name, s in stops.items()]
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--robot', default='unitree_g1', help='name or path of the robot file')
    parser.add_argument('--out', type=Path, help='where to write the table')
    arguments = parser.parse_args()
    stops = in_world_of(arguments.robot, measure_all)
    print('\n' + table(stops), end='')
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(table(stops), encoding='utf-8')


if __name__ == '__main__':
    main()
