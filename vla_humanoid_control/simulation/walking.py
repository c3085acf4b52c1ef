"""A walking policy: base velocity in, joint targets out, 50 times a second, on the robot's side.

The policies are ONNX files of the package holosoma-inference, whose gains, joint names and ranges
stand in the file itself. What they see, 100 numbers:

    last action 29 | angular velocity x 0.25 | yaw rate, vx, vy asked for | cos of both gait phases
    | joint deviations 29 | joint velocities x 0.05 | gravity in the base | sin of both gait phases

A policy never sees the arms that somebody else moves: it is shown its own targets for them, at
rest. It was not trained on arms that do something else, and would stumble over what it sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.packages import located
from vla_humanoid_control.robot.spec import FALLEN_RAD, RobotSpec
from vla_humanoid_control.support.errors import UserError

Array = NDArray[np.float64]

PERIOD_S = 0.02
"""Between two decisions of a walking policy [s]."""

_ACTION_SCALE, _GYRO_SCALE, _SPEED_SCALE = 0.25, 0.25, 0.05
_MOST_ACTION = 100.0
_STEPS_HZ = 1.0  # of the gait phases
_STANDS = 0.01  # a smaller command is to stand [m/s; rad/s]

_PERIOD_STEPS = round(1 / _STEPS_HZ / PERIOD_S)
_FORWARD = np.array([1.1, 1.9, 1.1])
"""By so much more than its command a policy is asked at once: it follows by about the inverse."""
_INTEGRAL = 1.5
"""Share of the mean error that is added per second [1/s]."""
_MOST_MORE = np.array([0.3, 0.4, 0.3])
"""At most so much is added [m/s, m/s, rad/s]."""


@dataclass(frozen=True)
class Felt:
    """What a walking policy feels of the body.

    Attributes:
        gravity: float64 [3], the direction of gravity in the frame of the base, of length 1.
        gyro: float64 [3], angular velocity of the base in its own frame [rad/s].
        positions: float64 [N], of the policy's joints [rad].
        velocities: float64 [N] [rad/s].
    """

    gravity: Array
    gyro: Array
    positions: Array
    velocities: Array


class WalkingPolicy:
    """One policy, with its own memory of the last action and of the gait's phase.

    Args:
        path: The ONNX file.
        home: Joint name to the position that its deviations are measured from [rad].
        unseen: Joints that somebody else moves.

    Attributes:
        joints: Its joints, in its order.
        kp, kd: float64 [N], gains of the torques that follow its targets [Nm/rad, Nm s/rad].

    Raises:
        UserError: onnxruntime is not installed, or the file is no such policy.
    """

    def __init__(self, path: Path, home: Mapping[str, float], unseen: frozenset[str]) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise UserError('Walking needs onnxruntime, which is not installed: make g1 installs '
                            'what the robots with legs need.') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options)
        meta = self._session.get_modelmeta().custom_metadata_map
        try:
            self.joints: tuple[str, ...] = tuple(json.loads(meta['dof_names']))
            self.kp, self.kd = (np.array(json.loads(meta[key]), float) for key in ('kp', 'kd'))
            ranges = json.loads(meta['command_ranges'])
            self._most = np.array([ranges[axis][1] for axis in
                                   ('lin_vel_x', 'lin_vel_y', 'ang_vel_yaw')])
            self._home = np.array([home[name] for name in self.joints])
        except KeyError as error:
            raise UserError(f'{path} is no walking policy for this robot: {error} is missing.') \
                from error
        self._unseen = np.array([name in unseen for name in self.joints])
        self._input = self._session.get_inputs()[0].name
        self.reset()

    def reset(self) -> None:
        """Stand, with nothing done yet."""
        self._last: Array = np.zeros(len(self.joints))
        self._phase: Array = np.full(2, np.pi)

    def targets(self, felt: Felt, twist: Array) -> Array:
        """Joint targets [N] for the next `PERIOD_S` [rad].

        Args:
            felt: What it feels now.
            twist: float64 [3], asked for: forward, left, turning left [m/s, m/s, rad/s].
        """
        twist = np.clip(twist, -self._most, self._most)
        self._step(bool(np.abs(twist).max() < _STANDS))
        deviation = np.where(self._unseen, self._last * _ACTION_SCALE, felt.positions - self._home)
        speed = np.where(self._unseen, 0.0, felt.velocities) * _SPEED_SCALE
        seen = np.concatenate([
            self._last, felt.gyro * _GYRO_SCALE, [twist[2]], twist[:2], np.cos(self._phase),
            deviation, speed, felt.gravity, np.sin(self._phase)]).astype(np.float32)[None]
        action = self._session.run(None, {self._input: seen})[0][0]
        self._last = np.clip(action.astype(float), -_MOST_ACTION, _MOST_ACTION)
        return self._home + self._last * _ACTION_SCALE

    def _step(self, stands: bool) -> None:
        """Feet in turn while it walks, half a period apart; both down while it stands."""
        if stands:
            self._phase = np.full(2, np.pi)
        elif self._phase[0] == self._phase[1]:
            self._phase = np.array([0.0, np.pi])
        else:
            ahead = self._phase + 2 * np.pi * _STEPS_HZ * PERIOD_S
            self._phase = np.fmod(ahead + np.pi, 2 * np.pi) - np.pi


class Regulator:
    """Asks a walking policy for so much more that odometry shows what was commanded.

    A policy follows its command by a share that differs by direction. Of each direction the mean
    error over one gait period is added up, in the base's frame; the sway within a period is none
    of its business. While the base is to stand, it asks for nothing.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._more: Array = np.zeros(3)
        self._recent: list[Array] = []

    def ask(self, twist: Array, measured: Array) -> Array:
        """What to ask the policy for; call every `PERIOD_S`.

        Args:
            twist: float64 [3], commanded [m/s, m/s, rad/s].
            measured: float64 [3], of odometry.
        """
        if np.abs(twist).max() < _STANDS:
            self.reset()
            return np.zeros(3)
        self._recent = [*self._recent[1 - _PERIOD_STEPS:], twist - measured]
        self._more = np.clip(
            self._more + _INTEGRAL * PERIOD_S * np.mean(self._recent, axis=0), -_MOST_MORE,
            _MOST_MORE)
        asked: Array = twist * _FORWARD + self._more
        return asked


class Walker:
    """A walking policy that follows its command, until it falls.

    Args:
        path: The policy's ONNX file.
        home: Joint name to the position that deviations are measured from [rad].
        unseen: Joints that somebody else moves.

    Attributes:
        policy: The policy.
        fallen: Whether the robot lies; the policy rests until `reset`.

    Raises:
        UserError: As `WalkingPolicy`.
    """

    def __init__(self, path: Path, home: Mapping[str, float], unseen: frozenset[str]) -> None:
        self.policy = WalkingPolicy(path, home, unseen)
        self._regulator = Regulator()
        self.fallen = False

    def reset(self) -> None:
        """Stand, with nothing done yet."""
        self.fallen = False
        self.policy.reset()
        self._regulator.reset()

    def targets(self, felt: Felt, twist: Array, measured: Array) -> Array | None:
        """Joint targets [N] of the policy for the next `PERIOD_S` [rad]; None once it has fallen.

        Args:
            felt: What it feels now.
            twist: float64 [3], commanded: forward, left, turning left [m/s, m/s, rad/s].
            measured: float64 [3], of odometry.
        """
        self.notice(felt.gravity)
        if self.fallen:
            return None
        return self.policy.targets(felt, self._regulator.ask(twist, measured))

    def notice(self, gravity: Array) -> None:
        """See whether it has fallen, by the direction of gravity [3] in the base."""
        self.fallen = self.fallen or tilt(gravity) > FALLEN_RAD


def walker_of(robot: RobotSpec) -> Walker:
    """The walking policy of a robot; its controlled joints somebody else moves.

    Raises:
        UserError: The robot does not walk, or as `WalkingPolicy`.
    """
    if not robot.walks or robot.simulation is None:
        raise UserError(f'Robot {robot.name} has no walking policy: its file does not say '
                        'body: legged and simulation.walking.')
    return Walker(located(robot.simulation.walking), {j.name: j.home for j in robot.joints},
                  frozenset(j.name for j in robot.controlled))


def walking_gains(robot: RobotSpec) -> dict[str, tuple[float, float]]:
    """Stiffness and damping of the joints that a robot walks with [Nm/rad, Nm s/rad], by name.

    Raises:
        UserError: As `walker_of`.
    """
    policy, arms = walker_of(robot).policy, {j.name for j in robot.controlled}
    return {name: (float(kp), float(kd))
            for name, kp, kd in zip(policy.joints, policy.kp, policy.kd, strict=True)
            if name not in arms}


def tilt(gravity: Array) -> float:
    """How far a base leans from upright, by the direction of gravity [3] in its frame [rad]."""
    return float(np.arccos(np.clip(-gravity[2], -1.0, 1.0)))
