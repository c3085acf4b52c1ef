"""Fits a policy to a robot: its images, states and actions to cameras, joints and base.

    RobotObservation ──observe──► Observation ──Policy──► ActionChunk ──act──► RobotChunk

What has the same name on both sides is the same thing; the rest is named in a mapping file
(`config/embodiments/`). All that does not fit is told at once. Joints that a policy does not move
hold; a base that it does not move stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.artifact import TrustArtifact
from vla_humanoid_control.confidence.signals.meter import SignalMeter
from vla_humanoid_control.control.playback import actions_problem
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    EE_SIZES,
    EFFECTOR,
    ELAPSED,
    IMAGE_SIZE,
    TRAVELLED,
    ActionChunk,
    ActionGroup,
    ActionKind,
    AnswerError,
    ImageFeature,
    Observation,
    Policy,
    PolicySpec,
    Prompt,
    StateFeature,
    reading_problem,
)
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.policy.hands import Hand, effector_names
from vla_humanoid_control.robot.end_effector import EndEffector
from vla_humanoid_control.robot.spec import JointSpec, RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotChunk, RobotObservation

_PLAIN_STATES = {TRAVELLED: 3, ELAPSED: 1}
"""States that are no joints: how many values they have."""


@dataclass(frozen=True)
class EmbodimentMap:
    """Which of the robot's names are which of the policy's. What is not named is called the same.

    Attributes:
        images: Role to camera; None shows the policy black.
        channels: Channel of a state or an action to the joint or base channel of the robot that it
            is, or end effector to the site of the robot's model; None tells the policy 0, and
            heeds nothing of what it gives there.
        scale: Channel to (offset, factor): the robot's value is offset + factor × the policy's.
            Grippers have one by nature, from 0 closed to 1 open over the range of the joint.
    """

    images: Mapping[str, str | None] = field(default_factory=dict)
    channels: Mapping[str, str | None] = field(default_factory=dict)
    scale: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Channel:
    """One channel of an action: where it is, what it moves, and how."""

    column: int
    target: str
    kind: ActionKind
    relative_to: str
    offset: float
    factor: float


class Embodiment:
    """A policy's specification, fitted to a robot. Make one with `Embodiment.fit`.

    Attributes:
        spec: The policy's.
        control_spec: What is left of it for the controller, in the robot's terms.
        looks_through: Role to the robot's camera whose images it is shown.
        robot: The robot.
    """

    def __init__(self, spec: PolicySpec, robot: RobotSpec, names: EmbodimentMap,
                 channels: Sequence[_Channel], hands: Sequence[Hand],
                 effectors: Mapping[str, EndEffector | None],
                 cameras: Mapping[str, str | None]) -> None:
        self.spec = spec
        self._cameras = cameras  # role to camera
        self._joints = {name: place for place, name in enumerate(robot.joint_names)}
        self._names = names
        self.robot = robot
        self._channels, self._hands, self._effectors = channels, hands, effectors
        moved = {c.target for c in channels}.union(*(h.effector.joints for h in hands))
        self._mode = next((spec.actions.columns(g.name).start for g in spec.actions.groups
                           if g.kind is ActionKind.MODE), None)
        self._states = {s.name: self._sources(s) for s in spec.states
                        if s.name not in _PLAIN_STATES and not s.name.startswith(EFFECTOR)}
        earliest_s = [times[0] for times in (*(i.times_s for i in spec.images),
                                             *(s.times_s for s in spec.states))]
        self._span_ns = -1e9 * min(earliest_s, default=0.0)
        self._past: deque[RobotObservation] = deque()
        self.looks_through = {role: c for role, c in cameras.items() if c is not None}
        sizes = [f.size for f in spec.images] or [IMAGE_SIZE]
        self.control_spec = ControlSpec(
            # A policy that looks at nothing still acts on moments, which frames mark, and would
            # not act where a camera is missing.
            tuple(dict.fromkeys(self.looks_through.values())) or tuple(robot.cameras),
            (max(w for w, _ in sizes), max(h for _, h in sizes)), robot.joint_names,
            tuple(c for c in robot.action_channels if c in moved), spec.actions.horizon,
            spec.actions.dt_s, spec.rate_hz, spec.latency_s)

    @staticmethod
    def fit(spec: PolicySpec, robot: RobotSpec, names: EmbodimentMap | None = None,
            who: str = 'The policy') -> Embodiment:
        """Fit a policy to a robot.

        Args:
            spec: The policy's.
            robot: Whose cameras and joints it is to use.
            names: What is called otherwise.
            who: The policy, for messages.

        Raises:
            UserError: It does not fit; says all that does not.
        """
        names = names or EmbodimentMap()
        problems = [*_unknown(spec, names)]
        cameras = {f.role: names.images.get(f.role, f.role) for f in spec.images}
        if missing := [f'{role} (camera {camera})' if camera != role else role
                       for role, camera in cameras.items()
                       if camera is not None and camera not in robot.cameras]:
            problems.append(f'cameras {", ".join(missing)}: the robot has '
                            f'{", ".join(robot.cameras) or "none"}')
        if not robot.cameras:
            problems.append('a camera: the robot has none')
        for state in spec.states:
            problems += _state_problems(state, robot, names)
        effectors = {name: None if (site := names.channels.get(name, name)) is None else
                     EndEffector(robot, site) for name in effector_names(spec)}
        channels: list[_Channel] = []
        hands: list[Hand] = []
        for group in spec.actions.groups:
            if group.kind in EE_SIZES:
                if (effector := effectors[group.effector]) is not None:
                    hands.append(Hand.of(group, spec, names.scale, effector))
                continue
            made, found = _channels(group, spec, robot, names)
            channels += made
            problems += found
        targets = [*(c.target for c in channels), *(j for h in hands for j in h.effector.joints)]
        if twice := sorted({t for t in targets if targets.count(t) > 1}):
            problems.append(f'only one channel for each of {", ".join(twice)}')
        if not targets and not problems:
            problems.append('something to move: none of its actions moves this robot')
        if problems:
            raise UserError(f'{who} does not fit robot {robot.name}. It needs '
                            f'{"; ".join(dict.fromkeys(problems))}. Use a policy for this robot, '
                            'or say in a mapping file which names are which.')
        return Embodiment(spec, robot, names, channels, hands, effectors, cameras)

    def begin(self) -> None:
        """A new instruction: what was seen before does not count."""
        self._past.clear()

    def observe(self, seen: RobotObservation) -> Observation:
        """What the policy is shown of what the robot senses."""
        while self._past and (self._past[0].stamp_ns > seen.stamp_ns
                              or (len(self._past) > 1
                              and seen.stamp_ns - self._past[1].stamp_ns >= self._span_ns)):
            self._past.popleft()
        self._past.append(seen)
        images = {feature.role: np.stack([self._image(feature, at)
                                          for at in self._at(seen, feature.times_s)])
                  for feature in self.spec.images}
        state = {feature.name: np.stack([self._state(feature, at)
                                         for at in self._at(seen, feature.times_s)])
                 for feature in self.spec.states}
        return Observation(seen.stamp_ns, images, state)

    def act(self, chunk: ActionChunk, seen: RobotObservation) -> RobotChunk:
        """What the robot is to do: absolute targets of its own joints and base.

        Args:
            chunk: The policy's answer.
            seen: What it was asked about.

        Raises:
            AnswerError: The answer is none.
        """
        shape = (self.spec.actions.horizon, len(self.spec.actions.channels))
        if not isinstance(chunk, ActionChunk):
            raise AnswerError(f'the policy gave {type(chunk).__name__} instead of a chunk')
        actions = chunk.actions
        if problem := actions_problem(actions, shape):
            raise AnswerError(problem)
        columns = {channel.target: self._column(channel, actions[:, channel.column], seen)
                   for channel in self._channels}
        for hand in self._hands:
            columns |= hand.joint_targets(actions, seen.joint_positions)
        progress = chunk.progress
        if progress is None:  # then only a mode says when it is done
            progress = 0.0 if self._mode is None else float(np.clip(actions[0, self._mode], 0, 1))
        return RobotChunk(
            self.control_spec.channels,
            np.stack([columns[c] for c in self.control_spec.channels], axis=1).astype(np.float32),
            self.spec.actions.dt_s, float(chunk.evidence.get(CONFIDENCE, 0.0)), progress,
            says_progress=chunk.progress is not None or self._mode is not None,
            evidence={name: np.asarray(value, np.float64)
                      for name, value in chunk.evidence.items()
                      if name in self.spec.gives or name == CONFIDENCE})

    # --- what it sees ------------------------------------------------------------------------

    def _at(self, seen: RobotObservation, times_s: Sequence[float]) -> list[RobotObservation]:
        """What was seen at these times before, or next to them."""
        return [min(self._past, key=lambda past: abs(past.stamp_ns - seen.stamp_ns - 1e9 * t))
                for t in times_s]

    def _image(self, feature: ImageFeature, seen: RobotObservation) -> NDArray[np.uint8]:
        camera = self._cameras[feature.role]
        if camera is None:
            return np.zeros((feature.size[1], feature.size[0], 3), np.uint8)
        return resize_image(seen.images[camera], feature.size, feature.fit)

    def _state(self, feature: StateFeature, seen: RobotObservation) -> NDArray[np.float64]:
        if feature.name == TRAVELLED:
            return np.asarray(seen.travelled, np.float64)
        if feature.name == ELAPSED:
            return np.array([seen.elapsed_s])
        if feature.name.startswith(EFFECTOR):
            effector = self._effectors[feature.name.removeprefix(EFFECTOR)]
            size = len(feature.channels)
            return np.zeros(size) if effector is None else \
                effector.pose(seen.joint_positions, size)
        places, offsets, factors, known = self._states[feature.name]
        values = (seen.joint_positions[places] - offsets) / factors
        return np.where(known, values, 0.0)

    def _sources(self, feature: StateFeature
                 ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64],
                            NDArray[np.bool_]]:
        """Of each channel: which joint, offset, factor, and whether there is one."""
        targets = [self._names.channels.get(c, c) for c in feature.channels]
        grippers = {c for g in self.spec.actions.groups if g.kind is ActionKind.GRIPPER
                    for c in g.channels}
        scales = [(0.0, 1.0) if t is None else _scale(
            c, self.robot.joint(t), self._names,
            ActionKind.GRIPPER if c in grippers else ActionKind.JOINT_POSITION)
            for c, t in zip(feature.channels, targets)]
        return (np.array([self._joints.get(t or '', 0) for t in targets], np.intp),
                np.array([offset for offset, _ in scales]), np.array([f for _, f in scales]),
                np.array([t is not None for t in targets]))

    # --- what it gives -----------------------------------------------------------------------

    def _column(self, channel: _Channel, values: NDArray[Any], seen: RobotObservation
                ) -> NDArray[Any]:
        if channel.kind is ActionKind.JOINT_DELTA:
            steps = channel.factor * values.astype(np.float64)
            if channel.relative_to == 'previous_row':
                steps = np.cumsum(steps)
            return np.asarray(seen.joint_positions[self._joints[channel.target]] + steps)
        if (channel.offset, channel.factor) == (0.0, 1.0):
            return values
        return channel.offset + channel.factor * values.astype(np.float64)


class FittedPolicy:
    """Any policy on a robot, as the controller runs it: a `RobotPolicy`.

    Attributes:
        policy: The policy itself.
        embodiment: How it fits the robot.
        spec: What it needs of the robot, and gives for it.
        meter: Measures the signals of its answers.
    """

    def __init__(self, policy: Policy, embodiment: Embodiment,
                 artifact: TrustArtifact | None = None) -> None:
        """Make one; with its trust artifact, where it was measured."""
        self.policy, self.embodiment = policy, embodiment
        self.spec = embodiment.control_spec
        self._trust = 0 if artifact is None else artifact.identity
        cameras, gives = embodiment.looks_through, policy.spec.gives
        self.meter = SignalMeter(cameras, gives) if artifact is None else \
            SignalMeter(cameras, gives, artifact.scale, artifact.learnt)
        self._unreadable = reading_problem(policy)

    def unreadable(self, text: str) -> str:
        """Why the policy cannot read a text to its end; empty where it can."""
        return self._unreadable(text)

    def reset(self, instruction: str) -> None:
        """Begin a new instruction. Raises PolicyError where the policy cannot."""
        self.policy.reset(Prompt(instruction))
        self.embodiment.begin()
        self.meter.begin(instruction)

    def infer(self, observation: RobotObservation) -> RobotChunk:
        """Ask the policy, and measure the signals of its answer, and how far the task has come."""
        acted = self.ask(observation)
        described = self.meter.describe(observation, acted)
        progress = acted.progress if acted.says_progress else \
            self.meter.learnt.progress_of(described)
        return replace(acted, progress=progress, signals=self.meter.signals(described),
                       trust=self._trust)

    def ask(self, observation: RobotObservation) -> RobotChunk:
        """Ask the policy, and measure nothing."""
        chunk = self.policy.infer(self.embodiment.observe(observation))
        return self.embodiment.act(chunk, observation)

    def close(self) -> None:
        """Let go of the policy."""
        self.policy.close()


def _unknown(spec: PolicySpec, names: EmbodimentMap) -> list[str]:
    """What a mapping file names, and the policy does not have."""
    roles = {f.role for f in spec.images}
    channels = {c for s in spec.states for c in s.channels} | {*spec.actions.channels,
                                                               *effector_names(spec)}
    wrong = [*(r for r in names.images if r not in roles),
             *(c for c in (*names.channels, *names.scale) if c not in channels)]
    return [f'a mapping without {", ".join(dict.fromkeys(wrong))}, which it does not have'] \
        if wrong else []


def _state_problems(state: StateFeature, robot: RobotSpec, names: EmbodimentMap) -> list[str]:
    if (count := _PLAIN_STATES.get(state.name)) is not None:
        return [] if len(state.channels) == count else [
            f'{len(state.channels)} values of {state.name}, which has {count}']
    if state.name.startswith(EFFECTOR):
        known = EE_SIZES[ActionKind.EE_POSE]
        return [] if len(state.channels) in known else [
            f'{len(state.channels)} values of {state.name}, which has '
            f'{" or ".join(map(str, known))}']
    targets = [names.channels.get(c, c) for c in state.channels]
    missing = [t for t in targets if t is not None and t not in robot.joint_names]
    return [f'joints {", ".join(missing)}'] if missing else []


def _channels(group: ActionGroup, spec: PolicySpec, robot: RobotSpec, names: EmbodimentMap
              ) -> tuple[list[_Channel], list[str]]:
    """The channels of a group that move something, and what the robot lacks for the others."""
    made: list[_Channel] = []
    missing: dict[str, list[str]] = {}
    if group.kind is ActionKind.MODE:
        return [], []
    for column, name in enumerate(group.channels, spec.actions.columns(group.name).start):
        target = names.channels.get(name, name)
        if target is None:
            continue
        offset, factor = names.scale.get(name, (0.0, 1.0))
        if group.kind is ActionKind.BASE_TWIST:
            if target not in robot.base:
                missing.setdefault('base channels', []).append(target)
                continue
        elif target not in robot.joint_names:
            missing.setdefault('joints', []).append(target)
            continue
        elif not (joint := robot.joint(target)).controlled:
            missing.setdefault('to command joints that belong to the robot itself:',
                               []).append(target)
            continue
        else:
            offset, factor = _scale(name, joint, names, group.kind)
        made.append(_Channel(column, target, group.kind, group.relative_to, offset, factor))
    return made, [f'{what} {", ".join(which)}' for what, which in missing.items()]


def _scale(channel: str, joint: JointSpec, names: EmbodimentMap, kind: ActionKind
           ) -> tuple[float, float]:
    """Offset and factor from the policy's value to the robot's."""
    if channel in names.scale:
        return names.scale[channel]
    if kind is ActionKind.GRIPPER:
        return joint.lower, joint.upper - joint.lower
    return 0.0, 1.0

