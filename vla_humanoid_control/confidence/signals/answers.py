"""Signals of a policy's actions: how much they contradict themselves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.types import BASE_CHANNELS, RobotChunk

LEAST = 1e-3
"""Distances below it are alike: of smaller ones the logarithm would tell much about nothing."""
_REMEMBERED_S = 2.0  # reversals are counted over so long
_MOVES = 0.1  # of a channel's usual deviation; less is no direction


class AnswerSignals:
    """`agreement` and `reversals` of one policy, answer by answer.

    Args:
        scale: Channel to the usual deviation of its actions; 1 where none is given.
    """

    def __init__(self, scale: Mapping[str, float]) -> None:
        self._scale = scale
        self.begin()

    def begin(self) -> None:
        """A new instruction: the answers to the one before do not count."""
        self._past: deque[tuple[int, NDArray[np.float32]]] = deque()

    def measure(self, chunk: RobotChunk, stamp_ns: int) -> dict[str, float]:
        """Signals of the newest answer, NaN in the first.

        Args:
            chunk: The answer.
            stamp_ns: Of the observation that it answers [ns].
        """
        std = np.array([self._scale.get(c, 1.0) for c in chunk.channels], np.float32)
        agreement = math.nan
        if self._past:
            before_ns, before = self._past[-1]
            agreement = log_distance(disagreement(
                before, chunk.actions, (stamp_ns - before_ns) / 1e9, chunk.dt_s, std))
        self._past.append((stamp_ns, chunk.actions))
        while stamp_ns - self._past[0][0] > _REMEMBERED_S * 1e9:
            self._past.popleft()
        rows = np.stack([actions[0] for _, actions in self._past])
        return {'agreement': agreement, 'reversals': reversals(rows / std, chunk.channels)}


def disagreement(before: NDArray[np.float32], after: NDArray[np.float32], later_s: float,
                 dt_s: float, std: NDArray[np.float32]) -> float:
    """How far two chunks differ over the time that both foresee.

    Args:
        before: float32 [H, D].
        after: float32 [H, D].
        later_s: How much later `after` begins [s].
        dt_s: Time between two rows [s].
        std: float32 [D], the channels' usual deviation.

    Returns:
        Mean absolute difference in deviations; NaN where the chunks have no time in common.
    """
    shift = round(later_s / dt_s)
    if not 0 <= shift < len(before):
        return math.nan
    difference = np.abs(before[shift:] - after[:len(after) - shift]) / std
    return float(difference.mean())


def reversals(actions: NDArray[np.floating], channels: tuple[str, ...]) -> float:
    """How often motion turns round, as a share of the times at which it could.

    Args:
        actions: [N, D], what was to be done at N moments, in usual deviations: velocities of base
            channels, position targets of joints.
        channels: Of D.

    Returns:
        Of the channel that turns round most often, in [0, 1]; NaN for fewer than three moments.
    """
    if len(actions) < 3:
        return math.nan
    is_base = np.array([c in BASE_CHANNELS for c in channels])
    motion = np.where(is_base, actions[1:], np.diff(actions, axis=0))
    direction = np.sign(motion) * (np.abs(motion) > _MOVES)
    turned = direction[1:] * direction[:-1] < 0  # [N - 2, D]
    return float(turned.mean(axis=0).max(initial=0.0))


def log_distance(distance: float) -> float:
    """A distance as a signal."""
    return math.log(max(distance, LEAST)) if math.isfinite(distance) else distance
