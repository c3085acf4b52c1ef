"""The contract that every policy fulfils, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vla_humanoid_control.types import ActionChunk, Observation

CHUNK_DT_S = 0.1
"""Between two rows of the action chunks of our own policies, and between two proposals [s]."""
CHUNK_HORIZON = 8
"""Rows in an action chunk of our own policies."""
IMAGE_SIZE = (128, 96)
"""Width and height of the images that our own policies are trained on [px]."""


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


class UnreadableError(ValueError):
    """A policy cannot read an instruction; trying again with the same words is pointless."""


class Policy(Protocol):
    """A Vision-Language-Action policy: `reset` with words, then `infer` on each observation."""

    spec: PolicySpec

    def reset(self, instruction: str) -> None:
        """Begin a new instruction, in plain English.

        Raises:
            UnreadableError: It cannot be read to its end. Nothing of it is acted on.
        """

    def infer(self, observation: Observation) -> ActionChunk:
        """Actions for the next `spec.horizon` steps. May take long; never called in a callback."""


def reading_problem(policy: Policy) -> Callable[[str], str]:
    """What says why a policy cannot read a text; for policies that read any, always empty.

    A policy that cannot has a method `unreadable(text) -> str` for it, which may be called from
    any thread while it works.
    """
    found: Callable[[str], str] | None = getattr(policy, 'unreadable', None)
    return (lambda text: '') if found is None else found
