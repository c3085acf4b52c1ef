"""Is a policy done? It says so, or has come to rest: no motion, and progress that stands still."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.types import BASE_CHANNELS

_BASE_SPEED = 0.05  # a slower base command is none [m/s; rad/s]
_HOVER_RAD = 0.25  # joint targets that stay within this only hover
_HOVER_SHARE = 0.2  # of a joint's range, where that is less: a gripper's is a few centimetres
_PROGRESS = 0.1  # progress that stays within this stands still


@dataclass(frozen=True)
class Stillness:
    """Up to where what a policy asks for is no motion, for each of its D channels.

    Attributes:
        speed: float32 [D]; a base command up to this is none, infinite for joints [m/s; rad/s].
        hover: float32 [D]; joint targets that stay within this only hover, infinite for the base
            [rad; m for grippers].
    """

    speed: NDArray[np.float32]
    hover: NDArray[np.float32]

    @staticmethod
    def of(channels: Sequence[str], robot: RobotSpec) -> Stillness:
        """That of a policy with these action channels, on a robot that has them."""
        speed, hover = np.full((2, len(channels)), np.inf, np.float32)
        for place, name in enumerate(channels):
            if name in BASE_CHANNELS:
                speed[place] = _BASE_SPEED
            else:
                joint = robot.joint(name)
                hover[place] = min(_HOVER_RAD, _HOVER_SHARE * (joint.upper - joint.lower))
        return Stillness(speed, hover)

    @staticmethod
    def usual(channels: int) -> Stillness:
        """That of a policy of which nothing is known: base channels first, then joints in rad."""
        is_base = np.arange(channels) < len(BASE_CHANNELS)
        return Stillness(np.where(is_base, np.float32(_BASE_SPEED), np.float32(np.inf)),
                         np.where(is_base, np.float32(np.inf), np.float32(_HOVER_RAD)))


class RestWatch:
    """Follows what a policy asks for, and tells when it has come to rest.

    A policy that has arrived is not always sure of it: then it stays where it is, with a progress
    that has risen, and rises no more.

    Args:
        stillness: Of the policy's channels; None takes `Stillness.usual`.
    """

    def __init__(self, stillness: Stillness | None = None) -> None:
        self._stillness = stillness
        self._recent: deque[tuple[float, float, NDArray[np.float32]]] = deque()
        self._was_below = False

    def begin(self) -> None:
        """A new attempt: whatever was asked for before says nothing about it."""
        self._recent.clear()
        self._was_below = False

    def pause(self) -> None:
        """What is asked for is not done now."""
        self._recent.clear()

    def take(self, progress: float, action: NDArray[np.float32], now_s: float, *,
             threshold: float, rest_s: float) -> bool:
        """Whether the policy is at rest, by its newest inference.

        Args:
            progress: In [0, 1].
            action: float32 [D], what it asks for now; see `RobotChunk`.
            now_s: Steady clock [s].
            threshold: Progress that it must have risen to, from below.
            rest_s: How long it must be at rest [s].
        """
        still = self._stillness or Stillness.usual(len(action))
        self._was_below |= progress < threshold
        if progress < threshold or bool((np.abs(action) > still.speed).any()):
            self._recent.clear()
            return False
        self._recent.append((now_s, progress, action))
        # One that is old enough stays: it shows that the others reach back far enough.
        while len(self._recent) > 1 and self._recent[1][0] <= now_s - rest_s:
            self._recent.popleft()
        if not self._was_below or self._recent[0][0] > now_s - rest_s:
            return False
        _, progresses, actions = zip(*self._recent)
        return bool(np.ptp(progresses) <= _PROGRESS
                    and (np.ptp(np.array(actions), axis=0) <= still.hover).all())


class DoneWatch:
    """Tells when a policy means that it is done: by its progress, or because it has come to rest.

    Args:
        stillness: As of `RestWatch`.
    """

    def __init__(self, stillness: Stillness | None = None) -> None:
        self._rest = RestWatch(stillness)
        self._count = 0

    def begin(self) -> None:
        """A new attempt."""
        self._count = 0
        self._rest.begin()

    def pause(self) -> None:
        """What is asked for is not done now."""
        self._count = 0
        self._rest.pause()

    def take(self, progress: float, action: NDArray[np.float32], is_acting: bool,
             config: TaskConfig, now_s: float) -> bool:
        """Whether it is done, by its newest inference.

        Args:
            progress: In [0, 1].
            action: float32 [D], what it asks for now; see `RobotChunk`.
            is_acting: Whether that is carried out: else nothing is done by it.
            config: From which progress on, how often, and after how long a rest.
            now_s: Steady clock [s].
        """
        rests = self._rest.take(progress, action, now_s, threshold=config.rest_threshold,
                                rest_s=config.rest_s)
        if not is_acting:
            self.pause()
            return False
        self._count = self._count + 1 if progress >= config.done_threshold else 0
        return rests or self._count >= config.done_ticks
