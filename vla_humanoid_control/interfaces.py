"""The contract that every policy fulfils, whatever computes it, and whatever robot it is for.

    Prompt, Observation ──► Policy ──► ActionChunk

A policy says in its `PolicySpec` what it looks at and what it gives, in terms of its own: roles of
images, named states, groups of action channels. `policy/embodiment.py` fits it to a robot. A
policy gives actions, not trust: what may be known of its success comes from signals, of which
`ActionChunk.evidence` is the raw material.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

CHUNK_DT_S = 0.1
"""Between two rows of the action chunks of our own policies, and between two proposals [s]."""
CHUNK_HORIZON = 8
"""Rows in an action chunk of our own policies."""
IMAGE_SIZE = (128, 96)
"""Width and height of the images that our own policies are trained on [px]."""
JOINTS, TRAVELLED, ELAPSED = 'joints', 'travelled', 'elapsed'
"""States that every robot has: positions of its joints [rad; m for grippers]; how far the base has
come since the instruction began, x, y [m], yaw [rad, unwrapped], in the frame of the base at that
moment; and for how long the instruction has been acted on [s]."""
EFFECTOR = 'ee/'
"""Before the name of an end effector: the state that says where it is."""
CONFIDENCE = 'confidence'
"""Evidence of a policy that knows by itself how likely it is to succeed, a number in [0, 1]."""
SAMPLES, TOKEN_ENTROPY, EMBEDDING = 'samples', 'token_entropy', 'embedding'
"""Evidence that is more than a number: K whole answers to the same question [K, H, D]; the entropy
of each token that it chose [N]; a vector that stands for what it saw and was told [V]."""
MOST_EVIDENCE = 16
"""A policy gives no more kinds of evidence."""
_EVIDENCE_NAME = re.compile('[a-z][a-z0-9_]{0,39}')


class ActionKind(Enum):
    """What the channels of a group mean, and in which unit.

    Attributes:
        BASE_TWIST: Velocity of the base in its own frame: forward, left, turning left [m/s, m/s,
            rad/s].
        JOINT_POSITION: Position targets [rad; m for grippers].
        JOINT_DELTA: The same, relative to `ActionGroup.relative_to`.
        EE_POSE: Where an end effector is to be, in the frame of the base: 3 numbers for its place
            [m], 6 with a rotation vector [rad], 7 with a quaternion w, x, y, z instead.
        EE_DELTA: A motion of it: 3 numbers [m], or 6 with a rotation vector [rad], in the frame of
            the base, relative to `ActionGroup.relative_to`.
        GRIPPER: How far grippers are open, 0 closed to 1 open.
        MODE: 1 where the policy declares the task done, else 0.
    """

    BASE_TWIST = 'base_twist'
    JOINT_POSITION = 'joint_position'
    JOINT_DELTA = 'joint_delta'
    EE_POSE = 'ee_pose'
    EE_DELTA = 'ee_delta'
    GRIPPER = 'gripper'
    MODE = 'mode'


EE_SIZES = {ActionKind.EE_POSE: (3, 6, 7), ActionKind.EE_DELTA: (3, 6)}
"""How many channels a group of each kind may have."""


@dataclass(frozen=True)
class ActionGroup:
    """Neighbouring channels of an action that belong together.

    Attributes:
        name: Its name, in the policy's own terms.
        kind: What its channels mean.
        channels: Their names: joints or base channels of a robot, or names that a mapping file
            translates.
        relative_to: Of deltas: what they are added to, the state at the observation, or the row
            before.
        effector: Of poses and motions of an end effector: which, by the name that the robot's
            model has for its site, or that a mapping file translates.

    Raises:
        ValueError: It makes no sense.
    """

    name: str
    kind: ActionKind
    channels: tuple[str, ...]
    relative_to: Literal['', 'observation', 'previous_row'] = ''
    effector: str = ''

    def __post_init__(self) -> None:
        sizes = EE_SIZES.get(self.kind)
        if (sizes is not None) != bool(self.effector) \
                or (sizes is not None and len(self.channels) not in sizes):
            raise ValueError(
                f'action group {self.name!r} ({self.kind.value}) has {len(self.channels)} '
                f'channels of {self.effector or "no end effector"}: an ee_pose has 3, 6 or 7, an '
                'ee_delta 3 or 6, and they, and no others, have an effector')
        if not self.channels or (self.kind is ActionKind.MODE and len(self.channels) > 1):
            raise ValueError(f'action group {self.name!r} ({self.kind.value}) has '
                             f'{len(self.channels)} channels')
        deltas = (ActionKind.JOINT_DELTA, ActionKind.EE_DELTA)
        if (self.kind in deltas) != bool(self.relative_to):
            raise ValueError(f'action group {self.name!r} is {self.kind.value}, relative to '
                             f'{self.relative_to or "nothing"}: deltas, and only they, are '
                             "relative to 'observation' or 'previous_row'")


@dataclass(frozen=True)
class ActionSpace:
    """The D channels of an action, and when the H rows of a chunk are meant for.

    Attributes:
        groups: Of channels, in their order.
        horizon: Rows in a chunk, H.
        dt_s: Time between two rows [s].

    Raises:
        ValueError: It makes no sense.
    """

    groups: tuple[ActionGroup, ...]
    horizon: int
    dt_s: float

    def __post_init__(self) -> None:
        _check_unique('action group', [g.name for g in self.groups])
        if self.horizon < 1 or not 0.0 < self.dt_s < math.inf:
            raise ValueError(f'an action space needs one row or more and a time between them, got '
                             f'{self.horizon} rows every {self.dt_s} s')

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all D channels, in order."""
        return tuple(c for group in self.groups for c in group.channels)

    def columns(self, name: str) -> slice:
        """Where the channels of a group are; KeyError if there is none of that name."""
        first = 0
        for group in self.groups:
            if group.name == name:
                return slice(first, first + len(group.channels))
            first += len(group.channels)
        raise KeyError(name)


@dataclass(frozen=True)
class ImageFeature:
    """Images that a policy looks at.

    Attributes:
        role: What it calls the camera.
        size: Width and height [px].
        fit: How an image of another shape comes to that size: stretched, padded with black, or cut
            to its middle.
        times_s: At which times relative to the observation, rising to 0 [s]. Before the task
            began, the first image stands in.

    Raises:
        ValueError: It makes no sense.
    """

    role: str
    size: tuple[int, int]
    fit: Literal['stretch', 'pad', 'crop'] = 'stretch'
    times_s: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.fit not in ('stretch', 'pad', 'crop'):
            raise ValueError(f'image {self.role!r} has size {self.size} and fit {self.fit!r}')
        _check_times(self.role, self.times_s)


@dataclass(frozen=True)
class StateFeature:
    """A state that a policy is told, such as `JOINTS`.

    Attributes:
        name: What it is. `EFFECTOR` and the name of an end effector is where that is: 3, 6 or 7
            values as of `ActionKind.EE_POSE`.
        channels: Names of its D values: of joints those that a robot, or a mapping file, has.
        times_s: As in `ImageFeature`.

    Raises:
        ValueError: It makes no sense.
    """

    name: str
    channels: tuple[str, ...]
    times_s: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        _check_unique(f'channel of state {self.name!r}', self.channels)
        _check_times(self.name, self.times_s)


@dataclass(frozen=True)
class PolicySpec:
    """What a policy needs and gives.

    Attributes:
        images, states: What it is shown.
        actions: What it gives.
        rate_hz: How often it wants to be asked [Hz].
        latency_s: How long it takes to answer, at most but for rare cases [s].
        gives: Names of the evidence beside its actions: `CONFIDENCE`, or what its authors call it.
            A single number is a signal for the confidence monitor, larger where it is worse.

    Raises:
        ValueError: It makes no sense.
    """

    images: tuple[ImageFeature, ...]
    states: tuple[StateFeature, ...]
    actions: ActionSpace
    rate_hz: float = 1.0 / CHUNK_DT_S
    latency_s: float = 0.1
    gives: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _check_unique('image', [i.role for i in self.images])
        _check_unique('state', [s.name for s in self.states])
        if wrong := [n for n in self.gives if not _EVIDENCE_NAME.fullmatch(n)]:
            raise ValueError(f'evidence {wrong[0]!r:.60}: names are of at most 40 small letters, '
                             'digits and _')
        if len(self.gives) > MOST_EVIDENCE:
            raise ValueError(f'{len(self.gives)} kinds of evidence, at most {MOST_EVIDENCE}')
        for name in ('rate_hz', 'latency_s'):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f'{name} must be greater than 0, got {getattr(self, name)}')


@dataclass(frozen=True)
class Prompt:
    """What a policy is asked for.

    Attributes:
        text: In plain English.
        images: Images that belong to the text, such as a goal: name to RGB uint8 [H, W, 3].
    """

    text: str
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What a policy sees at one moment: what its `PolicySpec` asks for, and nothing else.

    Attributes:
        stamp_ns: Time at which the newest images were taken, in the robot's clock [ns].
        images: Role to RGB images, uint8 [T, H, W, 3], oldest first.
        state: Name to values, float64 [T, D], oldest first.
    """

    stamp_ns: int
    images: Mapping[str, NDArray[np.uint8]]
    state: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class ActionChunk:
    """A policy's answer to one observation: the next H actions.

    Attributes:
        actions: float32 [H, D]; row h is meant for `stamp_ns + h * dt_s`.
        progress: How far the task has come, in [0, 1]; near 1 means that it is done. None where
            the policy does not know.
        evidence: What else it says of them, by the names in `PolicySpec.gives`.
    """

    actions: NDArray[np.float32]
    progress: float | None = None
    evidence: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class PolicyError(Exception):
    """A policy cannot answer; `str(error)` says why, for people.

    Attributes:
        fatal: Whether trying again with the same words is pointless.
        retry_after_s: How long to wait before asking it again [s].
    """

    def __init__(self, reason: str, fatal: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.fatal = fatal
        self.retry_after_s = retry_after_s


class UnreadableError(PolicyError):
    """A policy cannot read an instruction; trying again with the same words is pointless."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, fatal=True)


class AnswerError(PolicyError):
    """A policy has answered, and its answer makes no sense."""


class Policy(Protocol):
    """A Vision-Language-Action policy: `reset` with a prompt, then `infer` on observations.

    It is used by one thread at a time, which may block for as long as `spec.latency_s` says.
    """

    spec: PolicySpec

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction.

        Raises:
            UnreadableError: It cannot be read to its end. Nothing of it is acted on.
            PolicyError: The policy is not to be had now.
        """

    def infer(self, observation: Observation) -> ActionChunk:
        """Actions for the next rows.

        Raises:
            PolicyError: There is no answer.
        """

    def close(self) -> None:
        """Let go of everything. Called once, when it is used no more."""


def reading_problem(policy: object) -> Callable[[str], str]:
    """What says why a policy cannot read a text; for policies that read any, always empty.

    A policy that cannot has a method `unreadable(text) -> str` for it, which may be called from
    any thread while it works.
    """
    found: Callable[[str], str] | None = getattr(policy, 'unreadable', None)
    return (lambda text: '') if found is None else found


def _check_unique(what: str, names: tuple[str, ...] | list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'{what} {", ".join(sorted(twice))} is there twice')


def _check_times(name: str, times_s: tuple[float, ...]) -> None:
    if not times_s or times_s[-1] != 0.0 or list(times_s) != sorted(set(times_s)):
        raise ValueError(f'{name!r} has times {times_s}: they must rise to 0')
