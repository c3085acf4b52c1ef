"""Fits the confidence on held-out rollouts, and says how good it is on others of them.

A hash of their names parts the episodes (`learning/parts.py`):

    FIT         regression and calibration
    THRESHOLD   conformal threshold
    JUDGE       the figures, which nothing was fitted on
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.confidence import metrics
from vla_humanoid_control.confidence.calibration import (
    Calibration,
    cross_entropy,
    fit_isotonic,
    fit_platt_scaling,
)
from vla_humanoid_control.confidence.score import (
    ALPHA,
    EARLY_S,
    SIGNALS,
    Combination,
    columns,
    nonconformity,
    smooth,
)
from vla_humanoid_control.support.errors import UserError

FIT, THRESHOLD, JUDGE = range(3)
"""Parts of the validation rollouts."""
PART_SHARES = (0.4, 0.4, 0.2)
_VETO = 4.0
"""Least slope, in logits per standard deviation, beyond the 99th percentile of successful
instructions. Without it a clear image outweighs an unknown instruction."""


@dataclass(frozen=True)
class HeldOut:
    """M samples of validation rollouts, whole episodes in order, and samples that are broken.

    Attributes:
        values: [M, 4], signals. labels: [M], 1 in episodes that succeeded, else 0.
        episode: int64 [M]. time_s: [M], since the instruction [s].
        able: bool [M], whether the robot was asked for what it can do; the others it should hold
            whatever they are.
        part: int64 [M], `FIT`, `THRESHOLD` or `JUDGE`. folds: int64 [M], of the calibration.
        broken: Kind to signals [N, 4] of broken samples to fit with, and of others to judge by.
        shares: How much the broken ones of a kind weigh beside the rollouts.
    """

    values: NDArray[np.float64]
    labels: NDArray[np.float64]
    episode: NDArray[np.int64]
    time_s: NDArray[np.float32]
    able: NDArray[np.bool_]
    part: NDArray[np.int64]
    folds: NDArray[np.int64]
    broken: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    shares: Mapping[str, float]

    def combine(self, signals: tuple[str, ...]) -> tuple[Combination, dict[str, Any]]:
        """Fit, calibrate and set the threshold for some signals, each on its own part.

        Returns:
            The combination, and figures of the part that nothing of it was fitted on.
        """
        fit = self.part == FIT
        others = {kind: values for kind, (values, _) in self.broken.items()}
        weight = np.concatenate([np.ones(fit.sum()), *(
            np.full(len(values), self.shares[kind] * fit.sum() / max(1, len(values)))
            for kind, values in others.items())])
        broken = np.concatenate(list(others.values()))
        combination = fit_combination(
            signals, np.concatenate([self.values[fit], broken]),
            np.concatenate([self.labels[fit], np.zeros(len(broken))]), weight)
        logits = smooth(combination.logits(self.values), self.episode,
                        self.time_s.astype(np.float64))
        # A probability of success is one among tasks that can succeed, and a prediction: failures
        # last longer than successes, so that over all time they would count for more.
        known = fit & self._early()
        calibration = choose_calibration(logits[known], self.labels[known], self.folds[known])
        confidence = calibration(logits)
        combination = dataclasses.replace(
            combination, calibration=calibration,
            lowest=tuple(np.sort(self._lowest(confidence, THRESHOLD)).tolist()))
        return combination, self._figures(combination, logits, confidence)

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
        raise UserError(f'The {len(np.unique(episode))} validation rollouts are too few, or hold '
                        'no success or no failure: a part of them fits the confidence, one sets '
                        'its threshold, one judges it. Collect more of them: vla collect '
                        '--rollouts 800 --split val')


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
        return fit_isotonic(logits, labels)
    return fit_platt_scaling(logits, labels)


def fit_combination(signals: tuple[str, ...], values: NDArray[np.float64],
                    success: NDArray[np.float64], weight: NDArray[np.float64]) -> Combination:
    """Weights of some signals by logistic regression: nonconformity never raises the logit.

    Args:
        signals: Which.
        values: [N, 4].
        success: [N], 0 or 1.
        weight: [N].
    """
    bad = nonconformity(values)[:, [SIGNALS.index(s) for s in signals]]
    mean, std = np.nanmean(bad[success > 0.5], axis=0), np.nanstd(bad[success > 0.5], axis=0)
    std = np.maximum(std, 1e-3)
    hinge = (np.nanquantile(bad[success > 0.5], 1 - ALPHA / 2, axis=0) - mean) / std
    x = torch.from_numpy(columns(signals, values, mean, std, hinge))
    y, w = torch.from_numpy(success), torch.from_numpy(weight / weight.sum())
    least = torch.tensor([0.0] * len(signals) + [_VETO * (s == 'instruction') for s in signals])
    free = torch.zeros(x.shape[1] + 1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn='strong_wolfe')

    def weights() -> Tensor:
        return functional.softplus(free[:-1]) + least

    def loss() -> Tensor:
        optimizer.zero_grad()
        slopes = weights()
        logits = free[-1] - x @ slopes
        value = (w * functional.binary_cross_entropy_with_logits(logits, y, reduction='none')
                 ).sum() + 1e-4 * (slopes ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Combination(signals, tuple(mean.tolist()), tuple(std.tolist()), tuple(hinge.tolist()),
                       tuple(weights().tolist()), float(free[-1].detach()))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits to probabilities, of any shape."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
