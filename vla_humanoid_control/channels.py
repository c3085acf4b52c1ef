"""The action message: named channels in one stamped vector, encoded and decoded in one place.

One proposal is one message, so no gate ever pairs an action with another action's confidence.
Base channels carry `velocity`; joints and the policy's channels carry `position`; the entry of
the other vector is 0. A message that is not understood to the last entry is refused as a whole.

    proposal   base/linear_x base/linear_y base/angular_z  <joint>...  policy/confidence
               policy/progress, and where the policy's answer was measured policy/attempt,
               policy/trust (by which artifact) and signal/<name>..., NaN where unknown
    gated      the same, and policy/gate (1 open, 0 closed), with the reason in `note`
    fault      policy/fault alone, with the reason in `note`: tells the next stage that there is
               no usable action, so that it stops now and need not wait for its watchdog
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from vla_humanoid_control.types import BASE_CHANNELS, Action, Fault, GatedProposal, Proposal

CONFIDENCE = 'policy/confidence'
PROGRESS = 'policy/progress'
GATE = 'policy/gate'
FAULT = 'policy/fault'
ATTEMPT = 'policy/attempt'
TRUST = 'policy/trust'
_WHOLE = (ATTEMPT, TRUST)
SIGNAL = 'signal/'
"""Before the name of a signal."""
_SIGNAL_NAME = re.compile(f'{SIGNAL}[a-z][a-z0-9_]{{0,39}}')
MOST_SIGNALS = 32
"""A proposal with more is refused."""

MAX_NOTE_LENGTH = 200
"""Longer reasons are cut [characters]."""


class ChannelError(ValueError):
    """An action message that must not be acted on. `str(error)` is the reason."""


@dataclass(frozen=True)
class ChannelMessage:
    """The fields of the `sensor_msgs/JointState` on the wire.

    Attributes:
        stamp_ns: Stamp of the camera frame that the action was computed from [ns].
        names: Channel names, N of them.
        position: N values, 0 for base channels [rad; m for grippers; 1 for policy channels].
        velocity: N values, 0 but for base channels [m/s, m/s, rad/s].
        note: Why a gate is closed, or what the fault is; travels in `header.frame_id`.
    """

    stamp_ns: int
    names: tuple[str, ...]
    position: tuple[float, ...]
    velocity: tuple[float, ...]
    note: str = ''


def encode_proposal(proposal: Proposal | Fault) -> ChannelMessage:
    """A proposal as a message.

    A confidence that is not a number in [0, 1] is sent as 0. An action or progress that is not
    finite, or a twist that is not 3 long, is sent as a fault.
    """
    if isinstance(proposal, Fault):
        return encode_fault(proposal.stamp_ns, proposal.reason)
    try:
        return _encode(proposal, {}, '')
    except ChannelError as error:
        return encode_fault(proposal.stamp_ns, f'policy: {error}')


def encode_gated(gated: GatedProposal) -> ChannelMessage:
    """A gated proposal as a message.

    Raises:
        ChannelError: The action or the progress is not finite, or the twist is not 3 long.
    """
    return _encode(gated.proposal, {GATE: 1.0 if gated.is_open else 0.0}, gated.reason)


def encode_fault(stamp_ns: int, reason: str) -> ChannelMessage:
    """A message that the next stage refuses with this reason, and therefore stops on."""
    return ChannelMessage(stamp_ns, (FAULT,), (1.0,), (0.0,), reason[:MAX_NOTE_LENGTH])


def decode_proposal(message: ChannelMessage, joint_names: Collection[str]) -> Proposal:
    """The proposal in a message.

    Args:
        message: What came in.
        joint_names: The joints that a policy may command.

    Raises:
        ChannelError: Anything about it is not as it should be.
    """
    return _decode(message, joint_names, (CONFIDENCE, PROGRESS))[0]


def decode_gated(message: ChannelMessage, joint_names: Collection[str]) -> GatedProposal:
    """The gated proposal in a message; arguments and errors as for `decode_proposal`."""
    proposal, values = _decode(message, joint_names, (CONFIDENCE, PROGRESS, GATE))
    gate = values[GATE]
    if gate not in (0.0, 1.0):
        raise ChannelError(f'{GATE} is {gate}, not 0 or 1')
    return GatedProposal(proposal, is_open=gate == 1.0, reason=message.note[:MAX_NOTE_LENGTH])


def read_gated(message: ChannelMessage, joint_names: Collection[str]) -> tuple[bool, str]:
    """Whether the gate is open, and why not; a message that is not understood is a closed one."""
    try:
        gated = decode_gated(message, joint_names)
    except ChannelError as error:
        return False, str(error)
    return gated.is_open, gated.reason


def _encode(proposal: Proposal, extra: Mapping[str, float], note: str) -> ChannelMessage:
    twist = np.asarray(proposal.action.twist, dtype=np.float64)
    if twist.shape != (3,):
        raise ChannelError(f'twist has shape {twist.shape}, not (3,)')
    base = dict(zip(BASE_CHANNELS, (float(v) for v in twist), strict=True))
    scalars = {
        **{name: float(value) for name, value in proposal.action.joints.items()},
        CONFIDENCE: _confidence(float(proposal.confidence)),
        PROGRESS: min(1.0, max(0.0, _finite(PROGRESS, float(proposal.progress)))),
        **extra,
    }
    for name, value in (*base.items(), *scalars.items()):
        _finite(name, value)
    if proposal.signals:
        scalars |= {ATTEMPT: float(proposal.attempt), TRUST: float(proposal.trust),
                    **{SIGNAL + name: float(v) for name, v in proposal.signals.items()}}
    return ChannelMessage(
        stamp_ns=proposal.stamp_ns,
        names=(*base, *scalars),
        position=(*(0.0 for _ in base), *scalars.values()),
        velocity=(*base.values(), *(0.0 for _ in scalars)),
        note=note[:MAX_NOTE_LENGTH],
    )


def _decode(message: ChannelMessage, joint_names: Collection[str],
            required: tuple[str, ...]) -> tuple[Proposal, dict[str, float]]:
    names = message.names
    if FAULT in names:
        raise ChannelError(message.note[:MAX_NOTE_LENGTH] or 'the sender reports a fault')
    # Counted before anything is looked at, so that a huge message costs nothing.
    most = len(BASE_CHANNELS) + len(joint_names) + len(required) + len(_WHOLE) + MOST_SIGNALS
    if len(names) > most:
        raise ChannelError(f'{len(names)} channels, at most {most} are known')
    if not len(names) == len(message.position) == len(message.velocity):
        raise ChannelError(f'{len(names)} names, {len(message.position)} positions and '
                           f'{len(message.velocity)} velocities')
    values: dict[str, float] = {}
    for name, position, velocity in zip(names, message.position, message.velocity, strict=True):
        if name in values:
            raise ChannelError(f'channel {name!r:.60} twice')
        if name in BASE_CHANNELS:
            value, unused = velocity, position
        elif name in joint_names or name in required or name in _WHOLE \
                or _SIGNAL_NAME.fullmatch(name):
            value, unused = position, velocity
        else:
            raise ChannelError(f'unknown channel {name!r:.60}')
        if unused != 0.0:
            raise ChannelError(f'{name} has {unused} where 0 belongs')
        values[name] = _confidence(value) if name == CONFIDENCE else \
            value if name.startswith(SIGNAL) else _finite(name, value)
    for name in (*BASE_CHANNELS, *required):
        if name not in values:
            raise ChannelError(f'channel {name} is missing')
    progress = values[PROGRESS]
    if not 0.0 <= progress <= 1.0:
        raise ChannelError(f'{PROGRESS} is {progress}, not in [0, 1]')
    for name in _WHOLE:
        value = values.setdefault(name, 0.0)
        if value < 0 or value != int(value):
            raise ChannelError(f'{name} is {value}, no whole number')
    action = Action(twist=np.array([values[c] for c in BASE_CHANNELS]),
                    joints={n: values[n] for n in names if n in joint_names})
    signals = {n.removeprefix(SIGNAL): v for n, v in values.items() if n.startswith(SIGNAL)}
    return Proposal(message.stamp_ns, action, values[CONFIDENCE], progress, signals,
                    int(values[ATTEMPT]), int(values[TRUST])), values


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ChannelError(f'{name} is {value}')
    return value


def _confidence(value: float) -> float:
    """A confidence that is not a probability counts as none."""
    return value if 0.0 <= value <= 1.0 else 0.0
