"""Fits the confidence on rollouts that were held out, and says how good it is on others of them.

A hash of their names parts the episodes (`data/parts.py`):

    FIT         regression
    THRESHOLD   conformal threshold; with FIT, calibration, which changes no order
    JUDGE       the figures, which nothing was fitted on
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from vla_humanoid_control.confidence import metrics
from vla_humanoid_control.confidence.calibration import (
    Calibration,
    Isotonic,
    cross_entropy,
    fit_isotonic,
    fit_platt_scaling,
    sigmoid,
)
from vla_humanoid_control.confidence.combine import (
    ALPHA,
    EARLY_S,
    Combination,
    columns,
    smooth,
)
from vla_humanoid_control.support.errors import UserError

FIT, THRESHOLD, JUDGE = range(3)
"""Parts of the validation rollouts."""
PART_SHARES = (0.4, 0.4, 0.2)
VETOES = {'instruction': 4.0, 'words': 4.0, 'scope': 4.0, 'view': 4.0, 'picture': 3.0}
"""Least slopes, in logits per standard deviation, beyond the 99th percentile of successes. Without
them a clear image outweighs an unknown instruction, and a known instruction an unknown image."""
_FALL = 3.0  # logits below the lowest that a calibration was fitted on, where it is 0
_RIDGE = 1e-4  # on the slopes, so that what tells nothing weighs nothing

Signals = Mapping[str, NDArray[np.float64]]
"""Name to values, one for each sample; NaN where unknown."""


@dataclass(frozen=True)
class HeldOut:
    """M samples of validation rollouts, whole episodes in order, and samples that are broken.

    Attributes:
        values: Signals, [M] each. labels: [M], 1 in episodes that succeeded, else 0.
        episode: int64 [M]. time_s: [M], since the instruction [s].
        able: bool [M], whether the robot was asked for what it can do; the others it should hold
            whatever they are.
        part: int64 [M], `FIT`, `THRESHOLD` or `JUDGE`. folds: int64 [M], of the calibration.
        broken: Kind to signals, [N] each, of broken samples to fit with, and of others to judge
            by.
        shares: How much the broken ones of a kind weigh beside the rollouts.
    """

    values: Signals
    labels: NDArray[np.float64]
    episode: NDArray[np.int64]
    time_s: NDArray[np.float32]
    able: NDArray[np.bool_]
    part: NDArray[np.int64]
    folds: NDArray[np.int64]
    broken: Mapping[str, tuple[Signals, Signals]]
    shares: Mapping[str, float]

    def combine(self, signals: tuple[str, ...]) -> tuple[Combination, dict[str, Any]]:
        """Fit, calibrate and set the threshold for some signals, each on its own part.

        Returns:
            The combination, and figures of the part that nothing of it was fitted on.
        """
        fit = self.part == FIT
        counts = {kind: count(values) for kind, (values, _) in self.broken.items()}
        weight = np.concatenate([np.ones(fit.sum()), *(
            np.full(n, self.shares[kind] * fit.sum() / max(1, n)) for kind, n in counts.items())])
        together = {name: np.concatenate([self.values[name][fit], *(
            values[name] for values, _ in self.broken.values())]) for name in signals}
        combination = fit_combination(
            signals, together, np.concatenate([self.labels[fit], np.zeros(sum(counts.values()))]),
            weight)
        logits = self._logits(combination)
        # A probability of success is one among tasks that can succeed, and a prediction: failures
        # last longer than successes, so that over all time they would count for more.
        # Failures are few. The threshold's own part may be used, too: a calibration rises, so that
        # which episode is the lowest, and with it the promise, does not depend on it.
        known = (self.part != JUDGE) & self._early()
        calibration = choose_calibration(logits[known], self.labels[known], self.folds[known])
        confidence = calibration(logits)
        combination = dataclasses.replace(
            combination, calibration=calibration,
            lowest=tuple(np.sort(self._lowest(confidence, THRESHOLD)).tolist()))
        return combination, self._figures(combination, logits, confidence)

    def lowest(self, combination: Combination, part: int) -> NDArray[np.float64]:
        """The lowest confidence of each successful episode of a part."""
        return self._lowest(combination.calibration(self._logits(combination)), part)

    def _logits(self, combination: Combination) -> NDArray[np.float64]:
        return smooth(combination.logits(self.values), self.episode,
                      self.time_s.astype(np.float64))

    def _early(self) -> NDArray[np.bool_]:
        return self.able & (self.time_s <= EARLY_S)

    def _lowest(self, confidence: NDArray[np.float64], part: int) -> NDArray[np.float64]:
        """The lowest confidence of each successful episode of a part."""
        own = np.unique(self.episode[(self.part == part) & (self.labels > 0.5)])
        return np.array([confidence[self.episode == e].min() for e in own])

    def _figures(self, combination: Combination, logits: NDArray[np.float64],
                 confidence: NDArray[np.float64]) -> dict[str, Any]:
        judged, won = self.part == JUDGE, self.labels > 0.5
        early = judged & self._early()
        threshold = combination.threshold(ALPHA)
        lowest = self._lowest(confidence, JUDGE)
        figures = {
            'kind': type(combination.calibration).__name__, 'samples': int(judged.sum()),
            'episodes': len(np.unique(self.episode[judged])), 'successes': len(lowest),
            'auroc': metrics.auroc(sigmoid(logits[judged]), won[judged]),
            'ece': metrics.expected_calibration_error(confidence[early], won[early]),
            'threshold': threshold, 'threshold_from': len(combination.lowest),
            'false_stops': _share_below(lowest, threshold)}
        for kind, (_, values) in self.broken.items():
            figures[f'held_{kind}'] = _share_below(
                combination.calibration(combination.logits(values)), threshold)
        return figures


def _share_below(values: NDArray[np.float64], threshold: float) -> float | None:
    return float((values < threshold).mean()) if len(values) else None


def check_parts(part: NDArray[np.int64], success: NDArray[np.bool_],
                 episode: NDArray[np.int64]) -> None:
    """Refuse rollouts of which a part cannot do what it is for."""
    if len(np.unique(success[part == FIT])) < 2 or not success[part == THRESHOLD].any() \
            or not (part == JUDGE).any():
        of_all, of_successes = len(np.unique(episode)), len(np.unique(episode[success]))
        raise UserError(f'Of the {of_all} rollouts {of_successes} succeeded: too few succeed or '
                        'fail for one part of them to fit the confidence, one to set its '
                        'threshold and one to judge it. Record more: --episodes, with --tasks or '
                        'a --suite that the policy can do, and does not always do.')


def choose_calibration(logits: NDArray[np.float64], labels: NDArray[np.float64],
                       folds: NDArray[np.int64]) -> Calibration:
    """Platt scaling or isotonic, whichever has the lower cross-entropy on folds left out.

    Args:
        logits: [N].
        labels: [N], 0 or 1.
        folds: int64 [N], the fold of each; whole episodes.
    """
    scores: dict[str, list[float]] = {'platt': [], 'isotonic': []}
    for k in np.unique(folds):
        fit, judge = folds != k, folds == k
        if len(np.unique(labels[fit] > 0.5)) < 2 or not judge.any():
            continue
        weight = judge.sum() / len(judge)
        for name, calibration in (('platt', fit_platt_scaling(logits[fit], labels[fit])),
                                  ('isotonic', fit_isotonic(logits[fit], labels[fit]))):
            scores[name].append(weight * cross_entropy(calibration(logits[judge]), labels[judge]))
    if sum(scores['isotonic']) < sum(scores['platt']):
        return _falling(fit_isotonic(logits, labels), float(logits.min()))
    return fit_platt_scaling(logits, labels)


def _falling(steps: Isotonic, lowest: float) -> Isotonic:
    """The same, but that it falls to 0 below the lowest logit that it was fitted on.

    Where failures are few, its lowest step may be high, and would be what the worst image gets.
    """
    return Isotonic((lowest - _FALL, lowest, *(k + 1e-9 for k in steps.logits)),
                    (0.0, steps.probabilities[0], *steps.probabilities))


def fit_combination(signals: tuple[str, ...], values: Signals, success: NDArray[np.float64],
                    weight: NDArray[np.float64]) -> Combination:
    """Weights of some signals by logistic regression: a larger signal never raises the logit.

    Args:
        signals: Which.
        values: [N] each.
        success: [N], 0 or 1.
        weight: [N].
    """
    won = success > 0.5
    bad = np.stack([values[s] for s in signals], axis=1)
    mean = np.nanmean(bad[won], axis=0)
    std = np.maximum(np.nanstd(bad[won], axis=0), 1e-3)
    hinge = (np.nanquantile(bad[won], 1 - ALPHA / 2, axis=0) - mean) / std
    x = columns(signals, values, mean, std, hinge)
    share = weight / weight.sum()
    sign = np.where(won, 1.0, -1.0)

    def loss(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = free[-1] - x @ free[:-1]
        slope = -share * sign * sigmoid(-sign * logits)  # of the cross-entropy by the logit
        value = share @ np.logaddexp(0.0, -sign * logits) + _RIDGE * (free[:-1] ** 2).sum()
        return float(value), np.append(2 * _RIDGE * free[:-1] - slope @ x, slope.sum())

    least = [0.0] * len(signals) + [VETOES.get(s, 0.0) for s in signals]
    found = minimize(loss, np.append(np.maximum(least, 0.7), 0.0), jac=True, method='L-BFGS-B',
                     bounds=[*((low, None) for low in least), (None, None)])
    *weights, offset = found.x.tolist()
    return Combination(signals, tuple(mean.tolist()), tuple(std.tolist()), tuple(hinge.tolist()),
                       tuple(weights), offset)


def count(values: Signals) -> int:
    """How many samples they are of."""
    return len(next(iter(values.values())))
