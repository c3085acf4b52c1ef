"""The contract that every policy fulfils, whatever computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vla_humanoid_control.types import ActionChunk, Observation


@dataclass(frozen=True)
class PolicySpec:
    """What a policy needs and gives.

    Attributes:
        cameras: Names of the cameras that it looks through.
        image_size: Width and height that it resizes images to [px].
        joint_names: Order of `Observation.joint_positions` that it expects.
        channels: Names of the D action channels that it gives.
        horizon: Rows in a chunk, H.
        dt_s: Time between two rows [s].
    """

    cameras: tuple[str, ...]
    image_size: tuple[int, int]
    joint_names: tuple[str, ...]
    channels: tuple[str, ...]
    horizon: int
    dt_s: float


class Policy(Protocol):
    """A Vision-Language-Action policy: `reset` with words, then `infer` on each observation."""

    spec: PolicySpec

    def reset(self, instruction: str) -> None:
        """Begin a new instruction, in plain English."""

    def infer(self, observation: Observation) -> ActionChunk:
        """Actions for the next `spec.horizon` steps. May take long; never called in a callback."""
