"""What is proposed at a moment: an action out of the policy's answers, a hold, or a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.playback import ChunkPlayback
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.perception.frames import Frame
from vla_humanoid_control.types import Action, Fault, Proposal, RobotChunk, proposal_of

PLAN_S = 0.8
"""How far ahead it is looked what the policy plans [s]."""
Steer = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From a twist, and its mean over the next `PLAN_S` as the policy plans it, to another twist;
float64 [3] each: forward, left [m/s], turning left [rad/s]."""


class Motion(Enum):
    """What the robot is to do.

    Attributes:
        NONE: Stand, because there is no task.
        PAUSE: Stand for a moment within a task; nothing speaks against the policy.
        PLAY: Follow the policy.
        RETURN: Stand, and bring joints back to where a gesture began.
    """

    NONE = 0
    PAUSE = 1
    PLAY = 2
    RETURN = 3


class Proposer:
    """Turns answers into proposals, each of which waits in `take` to be published.

    Args:
        spec: Of the policy that answers.
        ensembling: Weight decay m of temporal ensembling; see `ChunkPlayback`.

    Attributes:
        answered: The newest answer that is acted on, as a proposal of no action yet; None before
            the first.
    """

    def __init__(self, spec: ControlSpec, ensembling: float) -> None:
        self.answered: Proposal | None = None
        self._playback = ChunkPlayback(spec, ensembling)
        self._acted_ns = 0  # stamp of the frame that the newest chunk was computed from
        self._proposals: list[Proposal | Fault] = []

    def take(self) -> list[Proposal | Fault]:
        """What is to be published, oldest first."""
        proposals, self._proposals = self._proposals, []
        return proposals

    def add(self, chunk: RobotChunk, stamp_ns: int, generation: int) -> None:
        """Take an answer to the frame of that stamp.

        Raises:
            ValueError: It is no chunk of this policy; see `ChunkPlayback.add`.
        """
        self._playback.add(chunk, stamp_ns)
        self._acted_ns = stamp_ns
        self.answered = proposal_of(chunk, stamp_ns, generation)

    def clear(self) -> None:
        """No answer so far is played back any more."""
        self._playback.clear()

    def refuse(self, reason: str) -> None:
        """There is no usable action, though a task runs."""
        self._proposals.append(Fault(self._acted_ns, reason))

    def propose(self, motion: Motion, frames: Mapping[str, Frame], now_s: float,
                back: Mapping[str, float] = MappingProxyType({}),
                steer: Steer | None = None) -> None:
        """Propose what is to be done now.

        Args:
            motion: What that is, in general.
            frames: The newest frames by camera; empty where the robot is blind.
            now_s: Steady clock [s].
            back: Of `RETURN`, name of each joint to where it goes [rad].
            steer: Of `PLAY`, what becomes of the policy's twist.
        """
        stamp_ns, action = self._acted_ns, None
        if frames:
            newest = max(frames.values(), key=lambda f: f.stamp_ns)
            if motion is Motion.PLAY:
                # On the steady clock, so that a paused or jumping robot clock plays nothing twice.
                moment_ns = newest.stamp_ns + int((now_s - newest.arrival_s) * 1e9)
                action = self._playback.action_at(moment_ns)
                if action is not None and steer is not None:
                    planned = self._playback.mean_twist(moment_ns, PLAN_S)
                    action = replace(action, twist=steer(action.twist, planned))
            else:
                stamp_ns = newest.stamp_ns
        proposal = Proposal(stamp_ns, Action.hold(), 0.0, 0.0)
        if self.answered is not None and action is not None:
            proposal = replace(self.answered, action=action)
        elif self.answered is not None and motion in (Motion.PAUSE, Motion.RETURN):
            # The gate stays as it is: once closed, it would not open before its dwell time.
            proposal = replace(self.answered, stamp_ns=stamp_ns,
                               action=Action(np.zeros(3), back) if frames else Action.hold())
        self._proposals.append(proposal)
