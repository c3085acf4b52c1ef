"""One confidence out of four signals, any of which can be switched off.

    head         the network's own prediction of success, a logit
    image        how far the image lies from what training saw, a Mahalanobis distance
    instruction  how far the instruction lies from training's, a Mahalanobis distance
    agreement    how little the newest chunk of actions contradicts the one before it, an error

    signals ─► standardise ─► non-negative logistic regression ─► smooth over time ─► calibrate

Every choice of signals has weights, a calibration and a conformal threshold of its own, fitted on
held-out rollouts (`learning/confidence_stage.py`) and stored in the checkpoint: with a signal
switched off the confidence is calibrated still. The threshold follows from the share of false
stops that a person allows, alpha.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.calibration import (
    Calibration,
    Floats,
    PlattScaling,
    calibration_from_dict,
    conformal_threshold,
)
from vla_humanoid_control.support.errors import UserError

SIGNALS = ('head', 'image', 'instruction', 'agreement')
SMOOTHING_S = 0.3
"""Time constant of the smoothing [s]: single bad inferences pass, a lost camera does not."""
ALPHA = 0.02
"""Share of successful episodes that the gate may stop, where a person says nothing else."""
EARLY_S = 2.0
"""Confidence is calibrated and judged over this long from the instruction on: later it would only
report what has already happened [s]."""


def subsets() -> list[tuple[str, ...]]:
    """Every choice of one or more signals, in the order of `SIGNALS`."""
    return [c for n in range(1, len(SIGNALS) + 1) for c in itertools.combinations(SIGNALS, n)]


def read_signals(names: Sequence[str]) -> tuple[str, ...]:
    """Names in the order of `SIGNALS`.

    Raises:
        UserError: One is unknown, or there is none.
    """
    unknown = [n for n in names if n not in SIGNALS]
    if unknown or not names:
        raise UserError(f'Confidence signals must be one or more of {", ".join(SIGNALS)}; got '
                        f'{", ".join(map(repr, names)) or "none"}.')
    return tuple(n for n in SIGNALS if n in names)


@dataclass(frozen=True)
class Combination:
    """What turns signals into a confidence.

    Attributes:
        signals: The S signals that it uses, in the order of `SIGNALS`.
        mean, std: Of each signal's nonconformity where the policy succeeds, [S] each.
        hinge: The 99th percentile of successes, in standard deviations above the mean, [S]. Beyond
            it a signal has a second weight, a veto.
        weights: Slopes of the nonconformity and of its excess over the hinge, >= 0, [2 S].
        offset: Logit where the nonconformity of every signal is at its mean.
        calibration: Of the smoothed logit.
        lowest: The lowest confidence of each held-out episode that succeeded, rising.
    """

    signals: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hinge: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float
    calibration: Calibration = field(default_factory=PlattScaling)
    lowest: tuple[float, ...] = ()

    def threshold(self, alpha: float) -> float:
        """A successful episode falls below it with probability `alpha` at most.

        Conformal prediction; 0 where there were too few episodes for such a promise.
        """
        return conformal_threshold(np.array(self.lowest), alpha)

    def logits(self, values: Floats) -> Floats:
        """Signals [N, 4], agreement NaN where unknown, to logits [N]."""
        weighed = columns(self.signals, values, np.array(self.mean), np.array(self.std),
                          np.array(self.hinge))
        return np.asarray(self.offset - weighed @ np.array(self.weights))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {'signals': list(self.signals), 'mean': list(self.mean), 'std': list(self.std),
                'hinge': list(self.hinge), 'weights': list(self.weights), 'offset': self.offset,
                'calibration': self.calibration.to_dict(), 'lowest': list(self.lowest)}

    @staticmethod
    def from_dict(data: Any, where: str) -> Combination:
        """The inverse of `to_dict`. Raises UserError where it is damaged."""
        try:
            signals = read_signals(list(data['signals']))
            lists = {n: tuple(float(v) for v in data[n])
                     for n in ('mean', 'std', 'hinge', 'weights', 'lowest')}
            offset = float(data['offset'])
            sizes = [len(lists[n]) for n in ('mean', 'std', 'hinge', 'weights')]
            numbers = [offset, *itertools.chain(*lists.values())]
            if sizes != [len(signals)] * 3 + [2 * len(signals)] \
                    or not all(map(math.isfinite, numbers)) \
                    or any(not 0 <= v <= 1 for v in lists['lowest']) \
                    or min(lists['std']) <= 0 or min(lists['weights']) < 0:
                raise ValueError('sizes or values are wrong')
            return Combination(signals, **lists, offset=offset,
                               calibration=calibration_from_dict(data['calibration'], where))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f'The confidence in {where} is damaged: {error!r}. Calibrate again: '
                            'vla train --stage calibrate') from error


@dataclass(frozen=True)
class Combinations:
    """One combination for each choice of signals. Empty before the confidence stage."""

    by_signals: Mapping[tuple[str, ...], Combination]

    def choose(self, signals: Sequence[str]) -> Combination:
        """The combination of some signals; without any, the plain head as it is."""
        wanted = read_signals(signals)
        return self.by_signals.get(wanted, Combination(
            ('head',), (0.0,), (1.0,), (0.0,), (1.0, 0.0), 0.0))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain data, for JSON."""
        return [c.to_dict() for c in self.by_signals.values()]

    @staticmethod
    def from_list(data: Any, where: str) -> Combinations:
        """The inverse of `to_list`. Raises UserError where it is damaged, or one is missing."""
        if not isinstance(data, list):
            raise UserError(f'The confidence in {where} is damaged: it is no list.')
        found = [Combination.from_dict(d, where) for d in data]
        result = {c.signals: c for c in found}
        if found and set(result) != set(subsets()):
            raise UserError(f'The confidence in {where} lacks some choices of signals. Calibrate '
                            'again: vla train --stage calibrate')
        return Combinations(result)


class Score:
    """The confidence of one policy, inference by inference.

    Args:
        combination: How it is made.
    """

    def __init__(self, combination: Combination) -> None:
        self.combination = combination
        self.reset()

    def reset(self) -> None:
        """Begin a new instruction: the logits of the one before are forgotten."""
        self._smooth, self._time_s = math.nan, math.nan

    def update(self, values: Floats, time_s: float) -> float:
        """Signals [4] at a time, agreement NaN where unknown, to the confidence in [0, 1]."""
        logit = float(self.combination.logits(values[None])[0])
        if math.isfinite(self._smooth):
            logit = _smoothed(self._smooth, logit, time_s - self._time_s)
        self._smooth, self._time_s = logit, time_s
        return float(self.combination.calibration(np.array([logit]))[0])


def smooth(logits: Floats, episode: NDArray[np.int64], time_s: Floats) -> Floats:
    """What `Score` makes of the logits [N] of whole episodes, in their order."""
    result = np.array(logits, np.float64)
    for i in range(1, len(result)):
        if episode[i] == episode[i - 1]:
            result[i] = _smoothed(result[i - 1], result[i], float(time_s[i] - time_s[i - 1]))
    return result


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


def columns(signals: Sequence[str], values: Floats, mean: Floats, std: Floats, hinge: Floats
            ) -> Floats:
    """Signals [N, 4] to what the regression weighs, [N, 2 S].

    An unknown agreement (NaN) counts as the mean.
    """
    chosen = [SIGNALS.index(s) for s in signals]
    z = (nonconformity(values)[:, chosen] - mean) / std
    if 'agreement' in signals:  # the first chunk of an instruction has no agreement
        last = z[:, -1]
        last[np.isnan(last)] = 0.0
    z = np.clip(z, -8.0, 12.0)
    return np.concatenate([z, np.maximum(0.0, z - hinge)], axis=1)


def nonconformity(values: Floats) -> Floats:
    """Signals [N, 4] to nonconformity [N, 4]: larger is worse, on similar scales."""
    head, *distances = np.asarray(values, np.float64).T
    return np.stack([-head, *(np.log(np.maximum(d, 1e-3)) for d in distances)], axis=1)


def _smoothed(before: float, new: float, passed_s: float) -> float:
    """A new logit after a smoothed one; alone where time has gone back."""
    share = 1.0 if passed_s < 0 else 1.0 - math.exp(-passed_s / SMOOTHING_S)
    return before + (new - before) * share
