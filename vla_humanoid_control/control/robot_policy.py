"""A policy as the controller sees it: fitted to the robot, in the robot's own joints and cameras.

`policy/embodiment.py` makes one of any `interfaces.Policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.types import RobotChunk, RobotObservation


@dataclass(frozen=True)
class ControlSpec:
    """What a fitted policy needs of the robot, and gives for it.

    Attributes:
        cameras: Names of the cameras that it looks through.
        image_size: Width and height of the largest image that it looks at [px]; (0, 0) where it
            looks at none.
        joint_names: Order of `RobotObservation.joint_positions`.
        channels: Names of the D action channels that it gives: of the base, then joints.
        horizon: Rows in a chunk, H.
        dt_s: Time between two rows [s].
        rate_hz: How often it wants to be asked [Hz].
        latency_s: How long it takes to answer, at most but for rare cases [s].
    """

    cameras: tuple[str, ...]
    image_size: tuple[int, int]
    joint_names: tuple[str, ...]
    channels: tuple[str, ...]
    horizon: int
    dt_s: float
    rate_hz: float = 1.0 / CHUNK_DT_S
    latency_s: float = 0.1

    @property
    def period_s(self) -> float:
        """Time between two answers, where all goes well [s]."""
        return max(1.0 / self.rate_hz, self.latency_s)


class RobotPolicy(Protocol):
    """`reset` with words, then `infer` on each observation."""

    spec: ControlSpec

    def reset(self, instruction: str) -> None:
        """Begin a new instruction, in plain English. Raises PolicyError where that fails."""

    def infer(self, observation: RobotObservation) -> RobotChunk:
        """Actions for the next rows. May take long; never called in a callback."""

    def close(self) -> None:
        """Let go of everything."""
