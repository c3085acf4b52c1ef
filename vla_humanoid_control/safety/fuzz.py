"""Throws everything at a supervisor and watches what comes out.

    python -m vla_humanoid_control.safety.fuzz --robot humanoid --steps 1000000 --seed 1

`World` does things to a supervisor at random, most of them bad. `Watcher` knows only what went in
and what came out, and says when a promise was broken: whatever happens, what is commanded is

- finite, and within the limits of position, velocity, acceleration and jerk;
- at rest, once the time to brake has passed, while there is a reason to stand still: no proposal
  from a newer frame within T, a sensor silent for longer than T, an emergency stop;
- never faster than before while braking for such a reason.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.robot import RobotSpec, load_robot
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.types import (
    BASE_CHANNELS,
    Action,
    Command,
    GatedProposal,
    ImuReading,
    JointReading,
    Proposal,
    SafetyState,
    ScanReading,
)

Array = NDArray[np.float64]

_TOLERANCE = 1e-6  # rounding of positions, magnified by differentiating three times
_BAD_NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0)


class ViolationError(AssertionError):
    """A promise was broken; the message says which and how."""


class _Track:
    """Differences of what was commanded on n axes, tick by tick."""

    def __init__(self, name: str, bounds: Sequence[Array], dt_s: float, orders: int) -> None:
        self._name, self._bounds, self._dt_s, self._orders = name, bounds, dt_s, orders
        self._last: list[Array] = []

    def rest(self, values: Array) -> None:
        """Begin from rest at these values."""
        self._last = [values] + [np.zeros_like(values)] * (self._orders - 1)

    def check(self, values: Array) -> None:
        if not self._last:
            self.rest(values)
        derivatives = [values]
        for order in range(1, self._orders + 1):
            derivatives.append((derivatives[-1] - self._last[order - 1]) / self._dt_s)
        self._last = derivatives[:-1]
        names = ('velocity', 'acceleration', 'jerk')[-len(self._bounds):]
        for name, bound, found in zip(names, self._bounds, derivatives[-len(self._bounds):]):
            excess = np.abs(found) - bound * (1 + _TOLERANCE) - _TOLERANCE
            if not (excess <= 0).all():
                axis = int(np.argmax(excess))
                raise ViolationError(f'{self._name} {axis}: {name} {found[axis]} is beyond '
                                     f'{bound[axis]}')


class Watcher:
    """Judges commands by what went in, not by what the supervisor thinks."""

    def __init__(self, robot: RobotSpec, config: SafetyConfig) -> None:
        base = [robot.base[c] for c in BASE_CHANNELS]
        joints = [j.motion for j in robot.controlled]
        self._names = tuple(j.name for j in robot.controlled)
        self._lower = np.array([j.lower for j in robot.controlled])
        self._upper = np.array([j.upper for j in robot.controlled])
        dt_s = 1.0 / config.rate_hz

        def bounds(limits: Sequence[object]) -> list[Array]:
            return [np.array([getattr(m, f) for m in limits])
                    for f in ('velocity', 'acceleration', 'jerk')]

        self._twist = _Track('twist', bounds(base), dt_s, 2)
        self._joints = _Track('joint', bounds(joints), dt_s, 3)
        self._twist.rest(np.zeros(3))
        # Time to brake from full speed, and until acceleration has turned into braking.
        # Counted in ticks: late ticks stretch a motion, they never make it steeper.
        self._brake_ticks = 3 + max(m.velocity / m.acceleration + 2 * m.acceleration / m.jerk
                                    for m in base + joints) / dt_s
        self._turn_ticks = 3 + max(m.acceleration / m.jerk for m in base) / dt_s
        self._ticks: int | None = None  # since there is a reason to stand still
        self._speed: Array = np.zeros(3)
        self._posture: Array | None = None

    def judge(self, command: Command, must_stop: bool, ticked: bool, gap: bool) -> None:
        """Take one command.

        Args:
            command: What came out.
            must_stop: There is a reason to stand still.
            ticked: This call was due; else it must repeat the last command.
            gap: So long was the silence before that the robot has stopped itself.
        """
        twist = np.asarray(command.twist)
        posture = np.array([command.joints[n] for n in self._names]) if command.joints else None
        if not np.isfinite(twist).all() or (posture is not None
                                            and not np.isfinite(posture).all()):
            raise ViolationError(f'not finite: {command}')
        if gap:
            self._twist.rest(np.zeros(3))
            if self._posture is not None:
                self._joints.rest(self._posture)
        if posture is not None:
            if not ((posture >= self._lower) & (posture <= self._upper)).all():
                raise ViolationError(f'position beyond its limit: {command}')
            if self._posture is None:
                self._joints.rest(posture)
            if ticked:
                self._joints.check(posture)
        elif self._posture is not None:
            raise ViolationError('the joints are no longer commanded')
        if ticked:
            self._twist.check(twist)
        elif not np.array_equal(twist, self._speed):
            raise ViolationError(f'the twist changed between ticks: {self._speed} to {twist}')
        self._judge_stop(command, twist, posture, must_stop, ticked)
        self._speed, self._posture = twist, posture

    def _judge_stop(self, command: Command, twist: Array, posture: Array | None, must_stop: bool,
                    ticked: bool) -> None:
        if not must_stop:
            self._ticks = None
            return
        if command.state not in (SafetyState.STOP, SafetyState.ESTOP):
            raise ViolationError(f'{command.state.name} ({command.reason}) instead of a stop')
        self._ticks = 0 if self._ticks is None else self._ticks + ticked
        if self._ticks > self._turn_ticks and (np.abs(twist) > np.abs(self._speed) + 1e-9).any():
            raise ViolationError(f'speeds up while it must stop: {self._speed} to {twist}')
        if self._ticks > self._brake_ticks:
            if twist.any():
                raise ViolationError(f'moves {self._ticks} ticks after it must stop: {twist}')
            yields = 'far from the command' in command.reason
            if posture is not None and self._posture is not None and not yields \
                    and not np.array_equal(posture, self._posture):
                raise ViolationError(f'joints move {self._ticks} ticks after they must stop')


class World:
    """A robot, its clocks and its bad luck.

    Args:
        robot: The robot file.
        noise: Where chance comes from.
    """

    def __init__(self, robot: RobotSpec, noise: Generator) -> None:
        self.robot = robot
        self.now_s = 1000.0
        self._offset_s = 1.7e9
        self._measured = dict(zip(robot.joint_names, robot.home.tolist()))
        self._noise = noise
        self._rays = 120
        self._healthy = True
        self._goal = self._random_action(noise)
        self.counts: Counter[str] = Counter()
        self.restart(noise)

    def restart(self, noise: Generator) -> None:
        """The supervisor starts anew, knowing nothing."""
        config = SafetyConfig(heartbeat_timeout_s=float(noise.choice([0.0, 0.0, 0.6])),
                              proposal_timeout_s=float(noise.choice([0.2, 0.3, 0.5])))
        self.safety = SafetySupervisor(self.robot, config, self.now_s)
        self.watcher = Watcher(self.robot, config)
        self._pressed: set[str] = set()
        self._latched = False
        self._stop_requested = False
        self._foreign = False
        self._newest_ns = -1
        self._fresh_s: dict[str, float] = {}
        self._due_s = -math.inf
        self._last_s = self.now_s
        self._broken_proposal = False

    # ---- time

    def tick(self, dt_s: float = 0.02) -> Command:
        """Time passes, healthy inputs arrive, and the supervisor is asked what to command."""
        self.now_s += dt_s
        if self._healthy:
            self.healthy_inputs()
        return self.step()

    def step(self) -> Command:
        """Ask the supervisor, and judge its answer."""
        late = self.now_s - self._due_s
        period = 1.0 / self.safety.config.rate_hz
        ticked = late >= -0.25 * period
        gap = ticked and math.isfinite(late) and late > self.safety.config.max_gap_s
        if ticked:
            self._due_s = self.now_s + period if late > period else self._due_s + period
        must_stop = self._must_stop()
        command = self.safety.step(self.now_s)
        self.watcher.judge(command, must_stop, ticked, gap)
        self.counts[f'in {command.state.name}'] += 1
        self.counts['moving'] += bool(command.twist.any())
        if command.joints:
            for name, value in command.joints.items():
                self._measured[name] += 0.6 * (value - self._measured[name])
        return command

    def _must_stop(self) -> bool:
        """What an onlooker knows: nobody could think that motion is fine now."""
        config = self.safety.config
        limits = {name: s.timeout_s * config.sensor_timeout_scale
                  for name, s in self.robot.sensors.items()
                  if getattr(config, f'watch_{name}', True)}
        limits['proposal'] = config.proposal_timeout_s
        stale = any(self.now_s - self._fresh_s.get(name, -math.inf) > limit + 1e-9
                    for name, limit in limits.items())
        return stale or self._latched or self._stop_requested or self._foreign \
            or self._broken_proposal

    # ---- inputs

    @property
    def _stamp_ns(self) -> int:
        return int((self.now_s + self._offset_s) * 1e9)

    def healthy_inputs(self, proposal_stamp_ns: int | None = None) -> None:
        """Everything that a robot in good health sends; a dead camera does not go on stamping."""
        safety, now_s = self.safety, self.now_s
        safety.on_clock(self._stamp_ns, now_s)
        safety.on_heartbeat(now_s)
        jitter = self._noise.normal(size=len(self._measured)) * 1e-6
        safety.on_joint_states(JointReading(self._stamp_ns, {
            n: v + e for (n, v), e in zip(self._measured.items(), jitter)}), now_s)
        safety.on_imu(ImuReading(self._stamp_ns, np.array([0.0, 0, 0, 1]), np.zeros(3),
                                 np.array([0, 0, 9.81])), now_s)
        safety.on_odom(np.zeros(3), now_s)
        safety.on_scan(self._scan(4.0), now_s)
        for name in self.robot.sensors:
            self._fresh_s[name] = now_s
        self.propose(self._goal, proposal_stamp_ns)

    def propose(self, action: Action, stamp_ns: int | None = None, is_open: bool = True,
                confidence: float = 0.9) -> None:
        """A gated proposal arrives."""
        stamp_ns = self._stamp_ns if stamp_ns is None else stamp_ns
        if not is_open:
            action = Action.hold()
        finite = bool(np.isfinite(action.twist).all()
                      and np.isfinite(list(action.joints.values())).all())
        known = set(action.joints) <= {j.name for j in self.robot.controlled}
        fits = finite and known and np.shape(action.twist) == (3,)
        if not fits:
            self._broken_proposal = True
        elif stamp_ns > self._newest_ns or not is_open:
            # A broken proposal is forgiven only by one that may be used.
            if abs(stamp_ns - self._stamp_ns) < 50_000_000 or not is_open:
                self._broken_proposal = False
            if stamp_ns > 0 and abs(stamp_ns - self._stamp_ns) <= 600_000_000:
                self._newest_ns = stamp_ns
                self._fresh_s['proposal'] = self.now_s
        self.safety.on_gated(GatedProposal(Proposal(stamp_ns, action, confidence, 0.5), is_open,
                                           ''), self.now_s)

    def _scan(self, distance: float) -> ScanReading:
        ranges = distance + 0.01 * self._noise.normal(size=self._rays)
        return ScanReading(self._stamp_ns, -math.pi, 2 * math.pi / self._rays, 0.05, 10.0, ranges)

    def _random_action(self, noise: Generator) -> Action:
        scale = float(noise.choice([0.0, 0.3, 1.0, 1.0, 1000.0]))
        reach = float(noise.choice([0.1, 0.1, 1.0]))  # most postures are near home, and safe
        joints = {j.name: float(j.home + (noise.uniform(j.lower, j.upper) - j.home) * reach
                                * max(scale, 1.0))
                  for j in self.robot.controlled if noise.random() < 0.5}
        return Action(scale * noise.uniform(-1, 1, 3), joints)

    # ---- misfortunes

    def act(self, kind: str, noise: Generator) -> None:
        """Let one kind of thing happen."""
        self.counts[kind] += 1
        self.ACTIONS[kind](self, noise)

    def _pass_time(self, noise: Generator) -> None:
        for _ in range(int(noise.integers(1, 30))):
            self.tick()

    def _jitter(self, noise: Generator) -> None:
        for _ in range(int(noise.integers(1, 10))):
            self.tick(float(noise.choice([0.0, 0.001, 0.01, 0.019, 0.021, 0.035, 0.1])))

    def _pause(self, noise: Generator) -> None:
        self.now_s += float(noise.choice([0.4, 0.7, 2.0, 3600.0]))
        self.step()

    def _steady_clock_errs(self, noise: Generator) -> None:
        # No call is recorded: the time is not later, so nothing may change.
        before = self.safety.step(self.now_s) if self._due_s - self.now_s > 0.006 else None
        after = self.safety.step(float(noise.choice([math.nan, -math.inf, 0.0, self.now_s - 5])))
        if before is not None and not np.array_equal(before.twist, after.twist):
            raise ViolationError('the twist changes as the steady clock goes back')
        if before is None:
            self.restart(noise)

    def _robot_clock_jumps(self, noise: Generator) -> None:
        self._offset_s += float(noise.choice([-5.0, -0.3, 0.3, 5.0, 3600.0]))
        self._newest_ns = -1
        self.safety.on_clock(self._stamp_ns, self.now_s)

    def _new_goal(self, noise: Generator) -> None:
        self._goal = self._random_action(noise)

    def _flicker(self, noise: Generator) -> None:
        for k in range(int(noise.integers(2, 20))):
            self.now_s += 0.02
            self.healthy_inputs()
            action = self._random_action(noise)
            self.propose(action, is_open=bool(k % 2), stamp_ns=self._stamp_ns + 1000)
            self.step()

    def _silence(self, noise: Generator) -> None:
        for _ in range(int(noise.integers(1, 80))):
            self.tick_silent()

    def tick_silent(self) -> Command:
        """Time passes and nothing arrives."""
        self.now_s += 0.02
        return self.step()

    def _toggle_health(self, noise: Generator) -> None:
        self._healthy = bool(noise.random() < 0.8)

    def _bad_proposal(self, noise: Generator) -> None:
        twist, joints = noise.uniform(-1, 1, 3), dict(self._random_action(noise).joints)
        what = int(noise.integers(4))
        if what == 0:
            twist[noise.integers(3)] = noise.choice(_BAD_NUMBERS)
        elif what == 1:
            joints[self.robot.controlled[0].name] = float(noise.choice(_BAD_NUMBERS))
        elif what == 2:
            joints['tail'] = 0.0
        else:
            twist = np.zeros(int(noise.choice([0, 2, 4])))
        self.propose(Action(twist, joints), self._stamp_ns + 1)
        self.step()

    def _odd_stamp(self, noise: Generator) -> None:
        """Proposals with stamps of another time, or of none."""
        offset_s = float(noise.choice([-2.0, 10.0, 1e6]))
        stampless = noise.random() < 0.2
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += 0.02
            self.healthy_inputs(0 if stampless else self._stamp_ns + int(offset_s * 1e9))
            self.step()

    def _old_frame(self, noise: Generator) -> None:
        """The camera is dead, and the policy does not notice."""
        stamp_ns = self._stamp_ns
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += 0.02
            self.healthy_inputs(stamp_ns)
            self.step()

    def _bad_confidence(self, noise: Generator) -> None:
        self.propose(self._random_action(noise), self._stamp_ns + 1,
                     confidence=float(noise.choice([math.nan, math.inf, -1.0, 2.0])))
        self.step()

    def _bad_joints(self, noise: Generator) -> None:
        positions = dict(self._measured)
        name = str(noise.choice(list(positions)))
        if noise.random() < 0.5:
            positions[name] = float(noise.choice([math.nan, math.inf, -math.inf]))
        else:
            del positions[name]
        self.safety.on_joint_states(JointReading(self._stamp_ns + 1, positions), self.now_s)
        self.step()

    def _shove_joints(self, noise: Generator) -> None:
        for joint in self.robot.joints:
            if noise.random() < 0.2:
                self._measured[joint.name] += float(noise.normal() * 0.5)

    def _bad_scan(self, noise: Generator) -> None:
        scan = self._scan(2.0)
        ranges = scan.ranges_m.copy()
        ranges[noise.random(len(ranges)) < noise.random()] = noise.choice(_BAD_NUMBERS)
        changed = replace(scan, stamp_ns=scan.stamp_ns + 1, ranges_m=ranges)
        if noise.random() < 0.3:
            changed = replace(changed, ranges_m=ranges[:int(noise.integers(len(ranges)))])
        before = self.safety.diagnostics(self.now_s)['accepted/scan']
        self.safety.on_scan(changed, self.now_s)
        if self.safety.diagnostics(self.now_s)['accepted/scan'] != before:
            self._fresh_s['scan'] = self.now_s
        self.step()

    def _obstacle(self, noise: Generator) -> None:
        distance = float(noise.uniform(0.1, 1.5))
        self.act('repair', noise)
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += 0.02
            if self._healthy:
                self.healthy_inputs()
                for later_ns in (1, 2, 3):  # most of the last scans see it
                    self.safety.on_scan(replace(self._scan(distance),
                                                stamp_ns=self._stamp_ns + later_ns), self.now_s)
            self.step()

    def _tilt(self, noise: Generator) -> None:
        roll = float(noise.uniform(0, math.pi))
        self.safety.on_imu(ImuReading(self._stamp_ns + 1, np.array(
            [math.sin(roll / 2), 0, 0, math.cos(roll / 2)]), np.zeros(3), np.zeros(3)), self.now_s)
        self._fresh_s['imu'] = self.now_s
        self.step()

    def _press(self, noise: Generator) -> None:
        source = str(noise.choice(['button', 'panel']))
        self.safety.emergency_stop(True, source, self.now_s)
        self._latched = True
        self._pressed.add(source)
        self.step()
        if noise.random() < 0.5:
            self._reset(noise)

    def _release(self, noise: Generator) -> None:
        for source in ('button', 'panel'):
            self.safety.emergency_stop(False, source, self.now_s)
        self._pressed.clear()
        self.step()

    def _reset(self, noise: Generator) -> None:
        self.propose(Action.hold(), self._stamp_ns + 2, is_open=False)
        ok, message = self.safety.reset(self.now_s)
        if ok and self._pressed:
            raise ViolationError(f'reset while pressed: {message}')
        if ok:
            self._latched = self._stop_requested = False
        self.step()

    def _stop(self, noise: Generator) -> None:
        if noise.random() < 0.5:
            self.safety.stop('asked to', self.now_s)
            self._stop_requested = True
        else:
            self.safety.resume(self.now_s)
            self._stop_requested = False
        self.step()

    def _foreigner(self, noise: Generator) -> None:
        self._foreign = bool(noise.random() < 0.3)
        self.safety.on_foreign_publisher(['/cmd_vel'] if self._foreign else [], self.now_s)
        self.step()

    def _configure(self, noise: Generator) -> None:
        names = ('proposal_timeout_s', 'sensor_timeout_scale', 'recover_s', 'slow_ttc_s',
                 'stop_ttc_s', 'joint_velocity_scale', 'base_velocity_scale', 'watch_scan',
                 'max_tracking_error', 'watch_posture', 'stop_margin_m', 'frozen_after_s')
        name = str(noise.choice(names))
        value: object = float(noise.choice([*_BAD_NUMBERS, 0.2, 0.5, 1.0, 1.5]))
        if name == 'base_velocity_scale':
            value = noise.uniform(-0.1, 1.0, int(noise.choice([2, 3, 3, 3]))).tolist()
        elif name.startswith('watch_'):
            value = bool(noise.random() < 0.7)
        at_rest = self.safety.at_rest
        ok, _ = self.safety.configure({name: value}, self.now_s)
        if ok and value is False and not at_rest:
            raise ViolationError(f'{name} was switched off in motion')
        self.step()

    def _repair(self, noise: Generator) -> None:
        """A person puts everything right, and the robot walks again."""
        self._healthy = True
        self._measured.update((j.name, j.home) for j in self.robot.joints if not j.controlled)
        self._release(noise)
        self.safety.on_foreign_publisher([], self.now_s)
        self._foreign = False
        self.safety.resume(self.now_s)
        self._stop_requested = False
        for _ in range(5):
            self.now_s += 0.02
            self.healthy_inputs()
            self.propose(Action.hold(), self._stamp_ns + 1, is_open=False)
            self.step()
        self._reset(noise)
        self._goal = self._random_action(noise)
        for _ in range(40):
            self.tick()

    def _restart(self, noise: Generator) -> None:
        self.restart(noise)
        self.step()

    ACTIONS: dict[str, Callable[[World, Generator], None]] = {
        'time passes': _pass_time, 'new goal': _new_goal, 'jitter': _jitter, 'pause': _pause,
        'steady clock errs': _steady_clock_errs, 'robot clock jumps': _robot_clock_jumps,
        'flicker': _flicker, 'silence': _silence, 'health': _toggle_health,
        'bad proposal': _bad_proposal, 'odd stamp': _odd_stamp, 'old frame': _old_frame,
        'bad confidence': _bad_confidence,
        'bad joints': _bad_joints, 'shoved joints': _shove_joints, 'bad scan': _bad_scan,
        'obstacle': _obstacle, 'tilt': _tilt, 'press': _press, 'release': _release,
        'reset': _reset, 'stop': _stop, 'foreign publisher': _foreigner,
        'configure': _configure, 'restart': _restart, 'repair': _repair,
    }
    COMMON = ('time passes', 'time passes', 'time passes', 'new goal', 'repair', 'repair')
    """Done more often than the rest, for the robot to move at all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz for a number of ticks; 0 if no promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--robot', default='humanoid')
    parser.add_argument('--steps', type=int, default=100_000)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        robot = load_robot(options.robot)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return fuzz(robot, options.steps, options.seed)


def fuzz(robot: RobotSpec, steps: int, seed: int) -> int:
    """Do random things for that many ticks, and print what became of it."""
    noise = np.random.default_rng(seed)
    world, violations, begun = World(robot, noise), 0, time.monotonic()
    kinds = (*World.ACTIONS, *World.COMMON * 2)
    done: Counter[str] = Counter()
    while (ticks := sum(n for k, n in done.items() if k.startswith('in '))) < steps:
        kind = str(noise.choice(kinds))
        try:
            world.act(kind, noise)
        except ViolationError as error:
            violations += 1
            print(f'tick {ticks}, {kind}: {error}')
            world.restart(noise)
        done += world.counts
        world.counts.clear()
    shares = ', '.join(f'{k} {done[k] / ticks:.1%}' for k in sorted(done) if k.startswith('in '))
    print(f'{ticks} steps, {violations} violations, seed {seed}, '
          f'{time.monotonic() - begun:.0f} s; moving {done["moving"] / ticks:.0%}, {shares}')
    return 1 if violations else 0


if __name__ == '__main__':
    sys.exit(main())
