"""Signals: numbers that tell how an answer of a policy will end, larger where it is worse.

    implausible   1 where an image can be a view of nothing (`perception/plausibility.py`): a veto
    agreement     how far an answer contradicts the one before it, log of deviations
    claim         the policy's own confidence, as log odds of failure
    another name  what else the policy says itself, a single number in its evidence

They are measured beside the policy and travel with its actions. What they are worth is the
confidence monitor's business (`confidence/combine.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.combine import IMPLAUSIBLE
from vla_humanoid_control.interfaces import CONFIDENCE, ActionChunk
from vla_humanoid_control.perception.plausibility import implausible
from vla_humanoid_control.types import RobotChunk, RobotObservation

LEAST = 1e-3
"""Distances below it are alike: of smaller ones the logarithm would tell much about nothing."""
_SURE = 1e-6  # claims that are nearer to 0 or 1 are alike


class SignalMeter:
    """Measures the signals of one policy, answer by answer.

    Args:
        cameras: Those that it looks through.
        scale: Channel of its actions to their usual deviation; 1 where none is given.
    """

    def __init__(self, cameras: tuple[str, ...], scale: Mapping[str, float]) -> None:
        self._cameras = cameras
        self._scale = scale
        self.begin()

    def begin(self) -> None:
        """A new instruction: the answers to the one before do not count."""
        self._before: tuple[int, NDArray[np.float32]] | None = None

    def measure(self, seen: RobotObservation, chunk: RobotChunk) -> dict[str, float]:
        """Signals of an answer that has none yet but the policy's own.

        Args:
            seen: What the policy was asked about.
            chunk: What it answered.
        """
        bad = any(implausible(seen.images[camera]) for camera in self._cameras)
        agreement = math.nan
        if self._before is not None:
            std = np.array([self._scale.get(c, 1.0) for c in chunk.channels], np.float32)
            agreement = log_distance(disagreement(
                self._before[1], chunk.actions, (seen.stamp_ns - self._before[0]) / 1e9,
                chunk.dt_s, std))
        self._before = seen.stamp_ns, chunk.actions
        return {IMPLAUSIBLE: float(bad), 'agreement': agreement, **chunk.signals}


def own_signals(chunk: ActionChunk, gives: Collection[str]) -> dict[str, float]:
    """What a policy says itself, as signals: every single number among the evidence it announced.

    Args:
        chunk: Its answer.
        gives: `PolicySpec.gives`.
    """
    found = {name: float(value) for name, value in chunk.evidence.items()
             if name in gives and name != CONFIDENCE and np.ndim(value) == 0}
    if CONFIDENCE in chunk.evidence:
        found['claim'] = _log_odds_of_failure(float(chunk.evidence[CONFIDENCE]))
    return found


def _log_odds_of_failure(claim: float) -> float:
    if not 0.0 <= claim <= 1.0:
        return math.nan
    claim = min(max(claim, _SURE), 1.0 - _SURE)
    return math.log(1.0 - claim) - math.log(claim)


def log_distance(distance: float) -> float:
    """A distance as a signal."""
    return math.log(max(distance, LEAST)) if math.isfinite(distance) else distance


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
