"""What the stages exchange. Frozen, with shape, dtype and unit on every field.

    RobotObservation --Policy--> RobotChunk --ChunkPlayback--> Proposal --ConfidenceGate-->
    GatedProposal --SafetySupervisor--> Command
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

BASE_CHANNELS = ('base/linear_x', 'base/linear_y', 'base/angular_z')
"""Base twist channels [m/s, m/s, rad/s] in the robot's own frame: x forward, y left, z up."""
CONTROL_PERIOD_S = 0.02
"""Between two commands to the robot [s]: 50 Hz."""


@dataclass(frozen=True)
class RobotObservation:
    """What a policy may see at one moment.

    Attributes:
        stamp_ns: Time at which the camera frame was taken, in the robot's clock [ns].
        images: Camera name to RGB image, uint8 [H, W, 3].
        joint_positions: float64 [J], in the order of `RobotSpec.joint_names` [rad; m for
            grippers].
        elapsed_s: Time for which the present instruction has been acted on, held time not
            counted [s].
        travelled: float64 [3], how far the base has come since the instruction began: x [m],
            y [m], yaw [rad, unwrapped], in the frame of the base at that moment. By its odometry,
            or by dead reckoning of the commands that were sent where the robot has none.
    """

    stamp_ns: int
    images: Mapping[str, NDArray[np.uint8]]
    joint_positions: NDArray[np.float64]
    elapsed_s: float = 0.0
    travelled: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True)
class JointReading:
    """Measured joint state.

    Attributes:
        stamp_ns: Time of measurement, in the robot's clock [ns].
        positions: Joint name to position [rad; m for grippers].
        velocities: Joint name to velocity [rad/s; m/s]; empty where the robot reports none.
    """

    stamp_ns: int
    positions: Mapping[str, float]
    velocities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ScanReading:
    """One planar laser scan around the base.

    Attributes:
        stamp_ns: Time of measurement, in the robot's clock [ns].
        angle_min_rad: Bearing of the first ray, counter-clockwise [rad].
        angle_increment_rad: Step between rays [rad].
        range_min_m, range_max_m: Ranges outside are no measurement [m].
        ranges_m: float64 [N]; inf means that nothing was hit [m].
        frame: What the message calls the frame of its angles, which may be another than the
            base's; None where it is the base's for sure.
    """

    stamp_ns: int
    angle_min_rad: float
    angle_increment_rad: float
    range_min_m: float
    range_max_m: float
    ranges_m: NDArray[np.float64]
    frame: str | None = None


@dataclass(frozen=True)
class ImuReading:
    """Measured body attitude and motion, in the frame of the torso.

    Attributes:
        stamp_ns: Time of measurement, in the robot's clock [ns].
        orientation_xyzw: float64 [4], unit quaternion from torso to world.
        angular_velocity: float64 [3] [rad/s].
        linear_acceleration: float64 [3], gravity included [m/s²].
    """

    stamp_ns: int
    orientation_xyzw: NDArray[np.float64]
    angular_velocity: NDArray[np.float64]
    linear_acceleration: NDArray[np.float64]


@dataclass(frozen=True)
class OdometryReading:
    """Measured motion of the base.

    Attributes:
        stamp_ns: Time of measurement, in the robot's clock [ns].
        pose: float64 [3], x, y [m], yaw [rad] in the odometry's own frame.
        twist: float64 [3], forward, left, turning left [m/s, m/s, rad/s].
    """

    stamp_ns: int
    pose: NDArray[np.float64]
    twist: NDArray[np.float64]


@dataclass(frozen=True)
class RobotChunk:
    """A policy's answer to one observation: the next H actions.

    Attributes:
        channels: Names of the D action channels: base channels first, then joint names.
        actions: float32 [H, D]; base channels are velocities [m/s, rad/s], joints position targets
            [rad; m for grippers]. Row h is meant for `stamp_ns + h * dt_s`.
        dt_s: Time between two rows [s].
        confidence: How likely it is to succeed by the policy's own account, in [0, 1]; 0 where it
            says nothing.
        progress: How far the task has come, in [0, 1]; near 1 means that it is done.
        says_progress: Whether the policy says so itself. Otherwise its trust artifact does;
            without one progress is 0.
        signals: Name to a number that tells how it will end, larger where it is worse, NaN where
            unknown (`confidence/signals/meter.py`).
        trust: Which trust artifact they were measured with, `TrustArtifact.identity`; 0 for none.
        evidence: What the policy says of it in its own terms; see `interfaces.ActionChunk`.
    """

    channels: tuple[str, ...]
    actions: NDArray[np.float32]
    dt_s: float
    confidence: float
    progress: float
    signals: Mapping[str, float] = field(default_factory=dict)
    trust: int = 0
    says_progress: bool = True
    evidence: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """One action for the whole body.

    Attributes:
        twist: float64 [3], base velocity forward, left, and turning left [m/s, m/s, rad/s].
        joints: Joint name to position target [rad; m for grippers]. A joint that is absent holds.
    """

    twist: NDArray[np.float64]
    joints: Mapping[str, float]

    @staticmethod
    def hold() -> Action:
        """Stand still and hold every joint."""
        return Action(np.zeros(3), {})


@dataclass(frozen=True)
class Proposal:
    """One action as the policy proposes it, with what is to be known of it.

    Attributes:
        stamp_ns: Stamp of the camera frame that it was computed from [ns].
        action: The action.
        confidence: Probability in [0, 1] that it leads to success: before the confidence monitor
            by the policy's own account, behind it as measured.
        progress: Task progress in [0, 1].
        signals, trust: Of the policy's answer that it was taken from; see `RobotChunk`.
        attempt: Which attempt at an instruction it belongs to; another number, another attempt.
    """

    stamp_ns: int
    action: Action
    confidence: float
    progress: float
    signals: Mapping[str, float] = field(default_factory=dict)
    attempt: int = 0
    trust: int = 0

    @property
    def is_answer(self) -> bool:
        """Whether a policy has said something; else the controller holds."""
        return bool(self.signals) or self.confidence > 0.0


def proposal_of(chunk: RobotChunk, stamp_ns: int, attempt: int = 0) -> Proposal:
    """What is proposed on an answer, before its actions are played back: to hold."""
    return Proposal(stamp_ns, Action.hold(), chunk.confidence, chunk.progress, chunk.signals,
                    attempt, chunk.trust)


@dataclass(frozen=True)
class Fault:
    """In the place of a proposal: a task runs, and there is no usable action.

    Attributes:
        stamp_ns: Stamp of the camera frame that was acted on last [ns].
        reason: Why.
    """

    stamp_ns: int
    reason: str


@dataclass(frozen=True)
class GatedProposal:
    """A proposal after the confidence gate: unchanged where `is_open`, else a hold, and why."""

    proposal: Proposal
    is_open: bool
    reason: str


class SafetyState(Enum):
    """What the safety supervisor lets the robot do."""

    RUN = 'RUN'
    SLOW = 'SLOW'
    HOLD = 'HOLD'
    STOP = 'STOP'
    ESTOP = 'ESTOP'


@dataclass(frozen=True)
class Command:
    """What is sent to the robot.

    Attributes:
        twist: float64 [3], base velocity forward, left, and turning left [m/s, m/s, rad/s].
        joints: Joint name to position target [rad; m for grippers], for every controlled joint, or
            empty before the first joint state was seen.
        state: The supervisor's state.
        reason: Why it is in that state; empty in RUN.
    """

    twist: NDArray[np.float64]
    joints: Mapping[str, float]
    state: SafetyState
    reason: str


class TaskState(Enum):
    """Where the present instruction stands."""

    IDLE = 'IDLE'
    RUNNING = 'RUNNING'
    HELD = 'HELD'
    RETRYING = 'RETRYING'
    ASKING = 'ASKING'
    DONE = 'DONE'
    FAILED = 'FAILED'

    @property
    def is_active(self) -> bool:
        """Whether the policy is to work on an instruction."""
        return self in (TaskState.RUNNING, TaskState.HELD, TaskState.RETRYING)
