"""Has a policy come to rest? It asks for no motion any more, and its progress stands still."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.types import BASE_CHANNELS

_BASE = len(BASE_CHANNELS)
_BASE_SPEED = 0.05  # a slower base command is none [m/s; rad/s]
_JOINTS_RAD = 0.25  # joint targets that stay within this only hover
_PROGRESS = 0.1  # progress that stays within this stands still


class RestWatch:
    """Follows what a policy asks for, and tells when it has come to rest.

    A policy that has arrived is not always sure of it: then it stays where it is, with a progress
    that has risen, and rises no more.
    """

    def __init__(self) -> None:
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
            action: float32 [D], what it asks for now, base channels first; see `ActionChunk`.
            now_s: Steady clock [s].
            threshold: Progress that it must have risen to, from below.
            rest_s: How long it must be at rest [s].
        """
        self._was_below |= progress < threshold
        if progress < threshold or np.abs(action[:_BASE]).max() > _BASE_SPEED:
            self._recent.clear()
            return False
        self._recent.append((now_s, progress, action[_BASE:]))
        # One that is old enough stays: it shows that the others reach back far enough.
        while len(self._recent) > 1 and self._recent[1][0] <= now_s - rest_s:
            self._recent.popleft()
        if not self._was_below or self._recent[0][0] > now_s - rest_s:
            return False
        _, progresses, joints = zip(*self._recent)
        return bool(np.ptp(progresses) <= _PROGRESS
                    and np.ptp(np.array(joints), axis=0).max(initial=0.0) <= _JOINTS_RAD)
