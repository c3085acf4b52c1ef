"""A robot, its clocks and its bad luck: everything that can reach a supervisor, in any order."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fuzz.watcher import ViolationError, Watcher
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.safety.config import SafetyConfig
from vla_humanoid_control.safety.supervisor import SafetySupervisor
from vla_humanoid_control.support.geometry import advance
from vla_humanoid_control.types import (
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

_LEVEL, _STILL = np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3)
_GRAVITY = np.array([0.0, 0.0, 9.81])
_THRESHOLDS = tuple(entry for entry in dataclasses.fields(SafetyConfig)
                    if not entry.metadata.get('fixed'))
_FROZEN_WAY = 0.04  # more than a base may be commanded to move while readings do not change
_BAD_NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0)


class World:
    """A robot, its clocks and its bad luck.

    Args:
        robot: The robot file.
        noise: Where chance comes from.
    """

    def __init__(self, robot: RobotSpec, noise: Generator) -> None:
        self.robot = robot
        self.now_s = 1000.0
        self.steps = 0
        self.counts: Counter[str] = Counter()
        self._offset_s = 1.7e9
        self._measured = dict(zip(robot.joint_names, robot.home.tolist()))
        self._commandable = frozenset(j.name for j in robot.controlled)
        self._noise = noise
        self._rays = 120
        self._twist, self._pose, self._stuck = _STILL, _STILL, False
        self._driven_s = self.now_s
        self._healthy = True
        self._frozen: tuple[dict[str, float], Array] | None = None
        self._goal = self._random_action(noise)
        self.restart(noise)

    def restart(self, noise: Generator, latched: bool = False) -> None:
        """The supervisor starts anew, knowing nothing but whether it was latched."""
        config = SafetyConfig(rate_hz=float(noise.choice([50.0, 50.0, 50.0, 20.0, 125.0])),
                              heartbeat_timeout_s=float(noise.choice([0.0, 0.0, 0.6])),
                              proposal_timeout_s=float(noise.choice([0.2, 0.3, 0.5])),
                              start_latched=latched)
        self.safety = SafetySupervisor(self.robot, config, self.now_s)
        self.watcher = Watcher(self.robot, config)
        self._period_s = 1.0 / config.rate_hz
        self._pressed: set[str] = set()
        self._latched = latched
        self._heartbeat_s: float | None = None
        self._stop_requested = False
        self._foreign = self._unheard = False
        self._newest_ns = -1
        self._fresh_s: dict[str, float] = {}
        self._heard_s = dict.fromkeys(self.robot.joint_names, -math.inf)
        self._due_s = -math.inf
        self._broken_proposal = False
        self._unfit: set[str] = set()  # sensors that said: tilted, or nothing to be seen

    # ---- time

    def tick(self, dt_s: float | None = None) -> Command:
        """Time passes, healthy inputs arrive, and the supervisor is asked what to command."""
        self.now_s += self._period_s if dt_s is None else dt_s
        if self._healthy:
            self.healthy_inputs()
        return self.step()

    def step(self) -> Command:
        """Ask the supervisor, and judge its answer."""
        late = self.now_s - self._due_s
        period = self._period_s
        ticked = late >= -0.25 * period
        gap = ticked and math.isfinite(late) and late > self.robot.command_timeout_s
        if ticked:
            self._due_s = self.now_s + period if late > period else self._due_s + period
        self._miss_heartbeat()
        must_stop = self._must_stop()
        command = self.safety.step(self.now_s)
        self.steps += 1
        self.counts[f'in {command.state.name}'] += 1
        self.counts['moving'] += bool(command.twist.any())
        self.watcher.judge(command, must_stop, ticked, gap)
        self._drive()
        self._twist = command.twist
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
        unfit = any(getattr(config, f'watch_{name}') for name in self._unfit)
        return stale or unfit or self._latched or self._stop_requested or self._foreign \
            or self._broken_proposal or (self._unheard and config.require_listener)

    def _miss_heartbeat(self) -> None:
        """Once heard, it is missed after its time, and that latches."""
        self._latched |= self._heartbeat_s is not None and self._no_heartbeat()

    def _no_heartbeat(self) -> bool:
        timeout_s = self.safety.config.heartbeat_timeout_s
        heard_s = -math.inf if self._heartbeat_s is None else self._heartbeat_s
        return timeout_s > 0 and self.now_s - heard_s > timeout_s + 1e-9

    # ---- inputs

    @property
    def _stamp_ns(self) -> int:
        return int((self.now_s + self._offset_s) * 1e9)

    def _drive(self) -> None:
        """The base has done what it was told, until it stops by itself for want of a command."""
        span_s = min(self.now_s - self._driven_s, self.robot.command_timeout_s)
        self._driven_s = self.now_s
        if not self._stuck:
            self._pose = advance(self._pose, self._twist, span_s)

    def healthy_inputs(self, proposal_stamp_ns: int | None = None,
                       joints: frozenset[str] | None = None) -> None:
        """Everything that a robot in good health sends; a dead camera does not go on stamping.

        Of the joints, it may be a part.
        """
        safety, now_s = self.safety, self.now_s
        safety.on_clock(self._stamp_ns, now_s)
        self._miss_heartbeat()  # before it comes back
        safety.on_heartbeat(now_s)
        self._heartbeat_s = now_s
        positions = {n: p for n, p in self._joints().items() if joints is None or n in joints}
        safety.on_joint_states(JointReading(self._stamp_ns, positions), now_s)
        self._heard_s.update(dict.fromkeys(positions, now_s))
        self._drive()
        safety.on_imu(ImuReading(self._stamp_ns, _LEVEL, _STILL, _GRAVITY), now_s)
        safety.on_odom(_STILL if self._stuck else self._twist, now_s, self._stamp_ns, self._pose)
        safety.on_scan(self._scan(4.0), now_s)
        if 'depth' in self.robot.sensors:
            safety.on_depth(self._depth(4.0), self._stamp_ns, now_s)
        for name in self.robot.sensors:
            self._fresh_s[name] = now_s
        self._fresh_s['joint_states'] = min(self._heard_s.values())
        self._unfit.clear()
        self.propose(self._goal, proposal_stamp_ns)

    def propose(self, action: Action, stamp_ns: int | None = None, is_open: bool = True,
                confidence: float = 0.9) -> None:
        """A gated proposal arrives."""
        stamp_ns = self._stamp_ns if stamp_ns is None else stamp_ns
        if not is_open:
            action = Action.hold()
        fits = np.shape(action.twist) == (3,) and action.joints.keys() <= self._commandable \
            and all(map(math.isfinite, (*action.twist.tolist(), *action.joints.values())))
        if not fits:
            self._broken_proposal = True
        elif not is_open or stamp_ns >= self._newest_ns:
            config, age_s = self.safety.config, (self._stamp_ns - stamp_ns) * 1e-9
            timely = stamp_ns > 0 \
                and -config.max_stamp_ahead_s <= age_s <= config.max_stamp_age_s
            # A broken proposal is forgiven only by one that may be used.
            if timely or not is_open or stamp_ns == self._newest_ns:
                self._broken_proposal = False
            if timely and stamp_ns > self._newest_ns:
                self._newest_ns = stamp_ns
                self._fresh_s['proposal'] = self.now_s
        self.safety.on_clock(self._stamp_ns, self.now_s)  # as the node does with every message
        self.safety.on_gated(GatedProposal(Proposal(stamp_ns, action, confidence, 0.5), is_open,
                                           ''), self.now_s)

    def _joints(self) -> dict[str, float]:
        if self._frozen is not None:
            return self._frozen[0]
        jitter = 1e-6 * self._noise.normal(size=len(self._measured))
        return {n: v + e for (n, v), e in zip(self._measured.items(), jitter.tolist())}

    def _scan(self, distance: float) -> ScanReading:
        ranges = distance + 0.01 * self._noise.normal(size=self._rays) \
            if self._frozen is None else self._frozen[1]
        return ScanReading(self._stamp_ns, -math.pi, 2 * math.pi / self._rays, 0.05, 10.0, ranges)

    def _depth(self, distance: float) -> Array:
        """A wall ahead as a depth camera sees it, [M, 2]."""
        across = np.linspace(-0.5, 0.5, 12)
        ahead = distance + 0.01 * self._noise.normal(size=len(across))
        return np.stack([ahead, across], axis=1)

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
            share = float(noise.choice([0.0, 0.05, 0.5, 0.95, 1.05, 1.75, 5.0]))
            self.tick(share * self._period_s)

    def _pause(self, noise: Generator) -> None:
        self.now_s += float(noise.choice([0.4, 0.7, 2.0, 3600.0]))
        self.step()

    def _steady_clock_errs(self, noise: Generator) -> None:
        # No call is recorded: the time is not later, so nothing may change.
        not_due = self._due_s - self.now_s > 0.3 * self._period_s
        before = self.safety.step(self.now_s) if not_due else None
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
            self.now_s += self._period_s
            self.healthy_inputs()
            action = self._random_action(noise)
            self.propose(action, is_open=bool(k % 2), stamp_ns=self._stamp_ns + 1000)
            self.step()

    def _silence(self, noise: Generator) -> None:
        for _ in range(int(noise.integers(1, 80))):
            self.tick_silent()

    def tick_silent(self) -> Command:
        """Time passes and nothing arrives."""
        self.now_s += self._period_s
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
            self.now_s += self._period_s
            self.healthy_inputs(0 if stampless else self._stamp_ns + int(offset_s * 1e9))
            self.step()

    def _old_frame(self, noise: Generator) -> None:
        """The camera is dead, and the policy does not notice."""
        stamp_ns = self._stamp_ns
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += self._period_s
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

    def _joints_in_parts(self, noise: Generator) -> None:
        """Two drivers, one of which comes at times only, or with a NaN."""
        some = frozenset(str(n) for n in noise.permutation(self.robot.joint_names)
                         [:int(noise.integers(1, len(self.robot.joints)))])
        share = float(noise.choice([0.0, 0.2, 1.0]))
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += self._period_s
            self.healthy_inputs(joints=some)
            others = {n: p for n, p in self._joints().items() if n not in some}
            if noise.random() < 0.1:
                others[next(iter(others))] = math.nan
                self.safety.on_joint_states(JointReading(self._stamp_ns, others), self.now_s)
            elif noise.random() < share:
                self.safety.on_joint_states(JointReading(self._stamp_ns, others), self.now_s)
                self._heard_s.update(dict.fromkeys(others, self.now_s))
                self._fresh_s['joint_states'] = min(self._heard_s.values())
            self.step()

    def _stuck_base(self, noise: Generator) -> None:
        """The base stands, whatever it is told, and odometry says so."""
        self._stuck, told, off_s = True, list[Array](), 0.0
        for _ in range(int(noise.integers(1, 200))):
            self.now_s += self._period_s
            self.healthy_inputs()
            command, config = self.step(), self.safety.config
            told.append(command.twist)
            # All that was commanded of late is beyond what a base that stands may miss.
            ticks = math.ceil((config.base_lag_s + 0.3) / self._period_s)
            if len(told) < ticks:
                continue
            late = np.array(told[-ticks:])
            least = np.maximum(np.maximum(late.min(axis=0), -late.max(axis=0)), 0.0)
            allowed = max(config.max_base_error[0], 0.5 * float(np.hypot(*late[:, :2].T).max()))
            off_s = off_s + self._period_s if math.hypot(*least[:2]) > allowed + 1e-9 else 0.0
            if off_s > config.base_tracking_s + 0.3 and config.watch_odom \
                    and command.state not in (SafetyState.STOP, SafetyState.ESTOP):
                raise ViolationError(f'{command.state.name} though the base does not follow')
        self._stuck = False

    def _shove_joints(self, noise: Generator) -> None:
        for joint in self.robot.joints:
            if noise.random() < 0.2:
                self._measured[joint.name] += float(noise.normal() * 0.5)

    def _bad_scan(self, noise: Generator) -> None:
        scan = self._scan(2.0)
        ranges = scan.ranges_m.copy()
        ranges[noise.random(len(ranges)) < noise.random()] = noise.choice(_BAD_NUMBERS)
        changed = replace(scan, stamp_ns=scan.stamp_ns + 1, ranges_m=ranges,
                          frame=[None, 'base_link', 'elsewhere', ''][int(noise.integers(4))])
        if noise.random() < 0.3:
            changed = replace(changed, ranges_m=ranges[:int(noise.integers(len(ranges)))])
        before = self._accepted('scan')
        self.safety.on_scan(changed, self.now_s)
        if self._accepted('scan') != before:
            if changed.frame in ('elsewhere', ''):
                raise ViolationError(f'a scan in the frame {changed.frame!r} was used')
            self._fresh_s['scan'] = self.now_s
        self.step()

    def _bad_depth(self, noise: Generator) -> None:
        """A depth image that shows nothing, or one of another time."""
        if noise.random() < 0.5:
            before = self._accepted('depth')
            self.safety.on_depth(None, self._stamp_ns + 1, self.now_s)
            if self._accepted('depth') != before:
                self._fresh_s['depth'] = self.now_s
                self._unfit.add('depth')
        else:
            offset_ns = int(float(noise.choice([-2.0, 10.0])) * 1e9)
            self.safety.on_depth(self._depth(1.0), self._stamp_ns + offset_ns, self.now_s)
        self.step()

    def _bad_motion_sensor(self, noise: Generator) -> None:
        """IMU and odometry that measure what cannot be."""
        bad = float(noise.choice(_BAD_NUMBERS))
        readings = [_LEVEL, _STILL, _GRAVITY]
        broken = int(noise.integers(3))
        readings[broken] = readings[broken].copy()
        readings[broken][noise.integers(3)] = bad
        self.safety.on_imu(ImuReading(self._stamp_ns + 1, *readings), self.now_s)
        if math.isfinite(bad):  # it may have been of use
            self._fresh_s['imu'] = self.now_s
            self._unfit.discard('imu')
        self.safety.on_odom(np.full(int(noise.choice([0, 2, 3, 4])), math.nan), self.now_s)
        self.safety.on_odom(_STILL, self.now_s, self._stamp_ns + 1, np.full(3, math.nan))
        self.step()

    def _border_rejects(self, noise: Generator) -> None:
        """What could not even be decoded."""
        source = str(noise.choice(['gated', 'scan', 'imu', 'joint_states', 'depth', 'head', 'x']))
        self.safety.on_rejected(source, 'garbage', self.now_s)
        self._broken_proposal = self._broken_proposal or source == 'gated'
        self.step()

    def _frozen_robot(self, noise: Generator) -> None:
        """Fresh stamps, old content: joints, scan and camera repeat themselves to the last bit."""
        self._frozen = dict(self._measured), self._scan(4.0).ranges_m
        way, since_s = 0.0, math.inf
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += self._period_s
            self.healthy_inputs()
            self.safety.on_camera('head', self._stamp_ns, 17, self.now_s)
            command, config = self.step(), self.safety.config
            way += float(np.abs(command.twist).sum()) * self._period_s
            since_s = min(since_s, self.now_s) if way > _FROZEN_WAY else math.inf
            if self.now_s - since_s > config.frozen_after_s + 2 * self._period_s \
                    and config.watch_frozen and config.watch_scan \
                    and command.state not in (SafetyState.STOP, SafetyState.ESTOP):
                raise ViolationError(f'{command.state.name} with frozen sensors')
        self._frozen = None

    def _obstacle(self, noise: Generator) -> None:
        distance = float(noise.uniform(0.1, 1.5))
        self.act('repair', noise)
        for _ in range(int(noise.integers(1, 60))):
            self.now_s += self._period_s
            if self._healthy:
                self.healthy_inputs()
                for later_ns in (1, 2, 3):  # most of the last scans see it
                    stamp_ns = self._stamp_ns + later_ns
                    self.safety.on_scan(replace(self._scan(distance), stamp_ns=stamp_ns),
                                        self.now_s)
                    self.safety.on_depth(self._depth(distance), stamp_ns, self.now_s)
            self.step()

    def _tilt(self, noise: Generator) -> None:
        roll = float(noise.uniform(0, math.pi))
        before = self._accepted('imu')
        self.safety.on_imu(ImuReading(self._stamp_ns + 1, np.array(
            [math.sin(roll / 2), 0, 0, math.cos(roll / 2)]), np.zeros(3), np.zeros(3)), self.now_s)
        if self._accepted('imu') != before:
            self._fresh_s['imu'] = self.now_s
            self._unfit.discard('imu')
            if roll > self.robot.max_tilt_rad:
                self._unfit.add('imu')
        self.step()

    def _accepted(self, sensor: str) -> object:
        """How many readings of a sensor the supervisor took; None where the robot has none."""
        return self.safety.diagnostics(self.now_s).get(f'accepted/{sensor}')

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
        if ok and self._no_heartbeat():
            raise ViolationError(f'reset without the operator: {message}')
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

    def _listener(self, noise: Generator) -> None:
        self._unheard = bool(noise.random() < 0.3)
        self.safety.on_listeners('/cmd_vel: nobody listens' if self._unheard else '', self.now_s)
        self.step()

    def _configure(self, noise: Generator) -> None:
        """Any thresholds, to any values: within bounds, at them, beyond, of another type or size.

        A supervisor whose thresholds are out of the ordinary hardly ever moves, so that they are
        put back to what they were at times.
        """
        count = int(noise.choice([1, 1, 1, 2, 3]))
        changes = {}
        for index in noise.integers(len(_THRESHOLDS), size=count):
            entry = _THRESHOLDS[index]
            changes[entry.name] = entry.default if noise.random() < 0.3 \
                else _any_value(entry, noise)
        self._set(changes)

    def _back_to_defaults(self, noise: Generator) -> None:
        del noise
        self._set({entry.name: entry.default for entry in _THRESHOLDS
                   if entry.name not in ('heartbeat_timeout_s', 'watch_cameras')})

    def _set(self, changes: dict[str, object]) -> None:
        before, at_rest = self.safety.config, self.safety.at_rest
        ok, reason = self.safety.configure(changes, self.now_s)
        after = self.safety.config
        if not ok and (after != before or not reason):
            raise ViolationError(f'{changes} was refused ({reason}), and yet changed something')
        off = [n for n in changes if n.startswith('watch_') and getattr(before, n)
               and not getattr(after, n)]
        off += ['heartbeat_timeout_s'] * (before.heartbeat_timeout_s > 0
                                          and after.heartbeat_timeout_s == 0)
        if off and not at_rest:
            raise ViolationError(f'{off} was switched off in motion')
        for name in changes:
            value = getattr(after, name)
            entry = next(e for e in _THRESHOLDS if e.name == name)
            if 'lower' in entry.metadata and not all(
                    entry.metadata['lower'] <= v <= entry.metadata['upper']
                    for v in (value if isinstance(value, tuple) else (value,))):
                raise ViolationError(f'{name} is {value}')
        self.step()

    def _repair(self, noise: Generator) -> None:
        """A person puts everything right, and the robot walks again."""
        self._healthy = True
        self._measured.update((j.name, j.home) for j in self.robot.joints if not j.controlled)
        self._release(noise)
        self.safety.on_foreign_publisher([], self.now_s)
        self.safety.on_listeners('', self.now_s)
        self._foreign = self._unheard = False
        self._back_to_defaults(noise)
        self.safety.resume(self.now_s)
        self._stop_requested = False
        for _ in range(5):
            self.now_s += self._period_s
            self.healthy_inputs()
            self.propose(Action.hold(), self._stamp_ns + 1, is_open=False)
            self.step()
        self._reset(noise)
        self._goal = self._random_action(noise)
        for _ in range(40):
            self.tick()

    def _restart(self, noise: Generator) -> None:
        """As the node does it: a latch outlives the process."""
        self.restart(noise, self._latched)
        self.step()

    ACTIONS: dict[str, Callable[[World, Generator], None]] = {
        'time passes': _pass_time, 'new goal': _new_goal, 'jitter': _jitter, 'pause': _pause,
        'steady clock errs': _steady_clock_errs, 'robot clock jumps': _robot_clock_jumps,
        'flicker': _flicker, 'silence': _silence, 'health': _toggle_health,
        'bad proposal': _bad_proposal, 'odd stamp': _odd_stamp, 'old frame': _old_frame,
        'bad confidence': _bad_confidence,
        'joints in parts': _joints_in_parts, 'stuck base': _stuck_base,
        'bad joints': _bad_joints, 'shoved joints': _shove_joints, 'bad scan': _bad_scan,
        'obstacle': _obstacle, 'tilt': _tilt, 'press': _press, 'release': _release,
        'reset': _reset, 'stop': _stop, 'foreign publisher': _foreigner, 'listener': _listener,
        'bad depth': _bad_depth, 'bad motion sensor': _bad_motion_sensor,
        'rejected at the border': _border_rejects, 'frozen': _frozen_robot,
        'configure': _configure, 'defaults': _back_to_defaults, 'restart': _restart,
        'repair': _repair,
    }
    COMMON = ('time passes', 'time passes', 'time passes', 'new goal', 'repair', 'repair')
    """Done more often than the rest, for the robot to move at all."""


def _any_value(entry: dataclasses.Field[Any], noise: Generator) -> object:
    """A value for a threshold, fit or unfit."""
    if isinstance(entry.default, bool):
        return bool(noise.random() < 0.7) if noise.random() < 0.9 else math.nan
    lower, upper = entry.metadata['lower'], entry.metadata['upper']

    def number() -> float | int:
        value = float(noise.choice([lower, upper, noise.uniform(lower, upper),
                                    noise.uniform(lower, upper), noise.choice(_BAD_NUMBERS)]))
        whole = isinstance(entry.default, int) and math.isfinite(value)
        return round(value) if whole else value

    if isinstance(entry.default, tuple):
        return [number() for _ in range(int(noise.choice([2, 3, 3, 3])))]
    return number()
