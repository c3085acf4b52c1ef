"""From raw confidence to a probability, and from probabilities to a threshold with a promise.

Everything is fitted on rollouts that training never saw, and stored in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.errors import UserError

Floats = NDArray[np.float64]


class Calibration(Protocol):
    """Maps logits to probabilities, monotonically."""

    def __call__(self, logits: Floats) -> Floats:
        """Logits [N] to probabilities in [0, 1], [N]."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; `calibration_from_dict` reads it."""


@dataclass(frozen=True)
class PlattScaling:
    """Sigmoid of `scale * logit + offset` (Platt 1999), scale > 0; its `kind` is 'temperature'."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, logits: Floats) -> Floats:
        """Logits [N] to probabilities [N]."""
        return sigmoid(self.scale * np.asarray(logits, np.float64) + self.offset)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {'kind': 'temperature', 'scale': self.scale, 'offset': self.offset}


@dataclass(frozen=True)
class Isotonic:
    """A monotone step function, interpolated (Zadrozny and Elkan 2002).

    Attributes:
        logits: Knots, strictly increasing. probabilities: Their values, not decreasing.
    """

    logits: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __call__(self, logits: Floats) -> Floats:
        """Logits [N] to probabilities [N]; NaN stays NaN."""
        return np.interp(np.asarray(logits, np.float64), self.logits, self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {'kind': 'isotonic', 'logits': list(self.logits),
                'probabilities': list(self.probabilities)}


def calibration_from_dict(data: Mapping[str, Any], where: str) -> Calibration:
    """The inverse of `to_dict`; an empty mapping is the plain sigmoid.

    Raises:
        UserError: It is damaged.
    """
    try:
        if not data:
            return PlattScaling()
        if data['kind'] == 'temperature':
            scale, offset = float(data['scale']), float(data['offset'])
            if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
                raise ValueError(f'scale {scale}, offset {offset}')
            return PlattScaling(scale, offset)
        if data['kind'] == 'isotonic':
            knots = np.array(data['logits'], np.float64)
            values = np.array(data['probabilities'], np.float64)
            if knots.shape != values.shape or knots.size < 2 or not np.all(np.diff(knots) > 0) \
                    or np.any(np.diff(values) < 0) or values[0] < 0 or values[-1] > 1:
                raise ValueError('knots must increase and probabilities lie in [0, 1]')
            return Isotonic(tuple(knots.tolist()), tuple(values.tolist()))
        raise ValueError(f'unknown kind {data["kind"]!r}')
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'Calibration in {where} is damaged: {error!r}. Calibrate again: '
                        'vla trust') from error


def fit_platt_scaling(logits: Floats, labels: Floats, weights: Floats | None = None
                      ) -> PlattScaling:
    """Scale and offset of least cross-entropy, by Newton's method.

    Labels are smoothed as Platt proposes, so that separable data give no infinite scale.

    Args:
        logits: [N].
        labels: [N], 0 or 1.
        weights: [N], all ones by default.

    Raises:
        UserError: There are not both successes and failures.
    """
    x, y, w = _checked(logits, labels, weights)
    positive, negative = float((w * y).sum()), float((w * (1 - y)).sum())
    target = np.where(y > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)  # [N, 2]
    parameters = np.array([1.0, 0.0])

    def loss(p: Floats) -> float:
        z = design @ p
        return float((w * (np.logaddexp(0, z) - target * z)).sum()) + 1e-6 * float(p @ p)

    for _ in range(100):
        probability = sigmoid(design @ parameters)
        gradient = design.T @ (w * (probability - target)) + 2e-6 * parameters
        curvature = (design * (w * probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), gradient)
        length = 1.0
        while loss(parameters - length * step) > loss(parameters) and length > 1e-6:
            length /= 2
        parameters = parameters - length * step
        if float(np.abs(length * step).max()) < 1e-9:
            break
    # A head that ranks the wrong way round must not be turned over silently.
    if parameters[0] <= 1e-3:
        mean = positive / (positive + negative)
        return PlattScaling(1e-3, math.log(mean / (1 - mean)))
    return PlattScaling(float(parameters[0]), float(parameters[1]))


def fit_isotonic(logits: Floats, labels: Floats, weights: Floats | None = None) -> Isotonic:
    """Monotone regression by pooling adjacent violators; knots at the centres of the pools.

    Args:
        logits: [N].
        labels: [N], 0 or 1.
        weights: [N], all ones by default.

    Raises:
        UserError: There are not both successes and failures.
    """
    x, y, w = _checked(logits, labels, weights)
    order = np.argsort(x, kind='stable')
    # One pool: weighted sum of labels, weight, weighted sum of logits.
    pools: list[tuple[float, float, float]] = []
    for i in order:
        pools.append((y[i] * w[i], w[i], x[i] * w[i]))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last, previous = pools.pop(), pools.pop()
            pools.append(tuple(a + b for a, b in zip(previous, last)))  # type: ignore[arg-type]
    # One pseudo-count on either side keeps the ends away from 0 and 1.
    values = [(s + 0.5) / (n + 1) for s, n, _ in pools]
    centres = [c / n for _, n, c in pools]
    knots, levels = [centres[0]], [values[0]]
    for centre, value in zip(centres[1:], values[1:]):
        if centre > knots[-1] + 1e-9:
            knots.append(centre)
            levels.append(max(value, levels[-1]))
    if len(knots) < 2:
        knots, levels = [knots[0], knots[0] + 1.0], [levels[0], levels[0]]
    return Isotonic(tuple(knots), tuple(levels))


def conformal_threshold(lowest: Floats, alpha: float) -> float:
    """Threshold that stops a successful episode with probability at most `alpha`.

    Split conformal prediction: the nonconformity of an episode is minus its lowest confidence, and
    its quantile has the finite-sample rank ceil((n + 1)(1 - alpha)) (Vovk et al. 2005). An episode
    counts as stopped when its confidence falls below the threshold.

    Args:
        lowest: [n], lowest confidence of each successful calibration episode.
        alpha: Promised share of false stops, in (0, 1).

    Returns:
        The threshold in [0, 1]; 0 where n is too small for the promise (n < 1 / alpha - 1), which
        stops nothing.
    """
    if not 0 < alpha < 1:
        raise ValueError(f'alpha must lie between 0 and 1, got {alpha}')
    values = np.sort(np.asarray(lowest, np.float64))[::-1]
    rank = math.ceil((len(values) + 1) * (1 - alpha))
    if rank > len(values):
        return 0.0
    return float(values[rank - 1])


def cross_entropy(probabilities: Floats, labels: Floats) -> float:
    """Mean negative log-likelihood of labels [N] under probabilities [N]."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-6, 1 - 1e-6)
    y = np.asarray(labels, np.float64)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def _checked(logits: Floats, labels: Floats, weights: Floats | None
             ) -> tuple[Floats, Floats, Floats]:
    x, y = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    if x.shape != y.shape or x.shape != w.shape or not np.isfinite(x).all():
        raise UserError('Calibration needs one finite logit, label and weight for each sample.')
    if not ((y > 0.5).any() and (y <= 0.5).any()):
        raise UserError('Calibration needs both successful and failed rollouts. Collect more '
                        'rollouts, or rollouts with requests that the robot cannot carry out.')
    return x, y, w


def sigmoid(z: Floats) -> Floats:
    """Logits to probabilities, of any shape."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)), np.float64)
