"""How good results are and how honest a confidence is, from the definitions.

Arrays: `scores` float64 [N] in [0, 1], `labels` bool [N], True for success.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ECE_BINS = 15
Z_95 = 1.959963984540054
"""Standard errors to either side that hold 95 % of a normal distribution."""

Scores = Sequence[float] | NDArray[np.float64]
Labels = Sequence[bool] | NDArray[np.bool_]


def wilson_interval(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927); z = 1.96 gives 95 %.

    Returns:
        Lower and upper bound in [0, 1]; (0, 1) where n is 0.

    Raises:
        ValueError: Not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f'need 0 <= successes <= n, got {successes} of {n}')
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def auroc(scores: Scores, labels: Labels) -> float | None:
    """Probability that a success has a higher score than a failure; a tie counts half.

    Returns:
        None where there is no success or no failure: then it is not defined.
    """
    s, y = _checked(scores, labels)
    positive, negative = s[y], s[~y]
    if not len(positive) or not len(negative):
        return None
    _, inverse, counts = np.unique(s, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]  # mean rank of each, from 1
    u = ranks[y].sum() - len(positive) * (len(positive) + 1) / 2
    return float(u / (len(positive) * len(negative)))


def auroc_interval(area: float | None, successes: int, failures: int,
                   z: float = Z_95) -> tuple[float, float]:
    """Score interval of an area under the ROC curve (Newcombe, 2006, method 5); z = 1.96: 95 %.

    It stays within [0, 1] and says how little a few failures prove, also where the area is 1.

    Args:
        area: As `auroc` gives it.
        successes: How many it was computed from.
        failures: Likewise.
        z: How many standard errors.

    Returns:
        Lower and upper bound; (0, 1) where the area is not defined.
    """
    if area is None:
        return 0.0, 1.0
    half_n = (successes + failures) / 2 - 1

    def reaches(theta: float) -> bool:
        """Whether the area lies within z standard errors of this true area."""
        spread = 1 + half_n * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (successes * failures)
        return abs(area - theta) <= z * math.sqrt(variance)

    def edge(outside: float) -> float:
        inside = area
        for _ in range(50):  # halvings: the last one is far below what a float resolves
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if reaches(middle) else (inside, middle)
        return inside

    return edge(0.0), edge(1.0)


def auprc(scores: Scores, labels: Labels) -> float | None:
    """Average precision: precision at every threshold, weighted by the recall gained there.

    Returns:
        None where there is no success.
    """
    s, y = _checked(scores, labels)
    if not y.any():
        return None
    order = np.argsort(-s, kind='stable')
    s, y = s[order], y[order]
    ends = np.append(np.nonzero(np.diff(s))[0], len(s) - 1)  # ties share one threshold
    found = np.cumsum(y)[ends]
    precision = found / (ends + 1)
    recall = found / y.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram.

    Attributes:
        low, high: Its bounds; a score on a bound belongs to the bin below, 0 to the first.
        n: Scores in it.
        confidence: Their mean; 0 where there is none.
        accuracy: Share of successes among them; 0 where there is none.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(scores: Scores, labels: Labels, bins: int = ECE_BINS) -> list[Bin]:
    """Bins of equal width over [0, 1]."""
    s, y = _checked(scores, labels)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, s, side='left') - 1, 0, bins - 1)
    result = []
    for b in range(bins):
        inside = index == b
        n = int(inside.sum())
        result.append(Bin(float(edges[b]), float(edges[b + 1]), n,
                          float(s[inside].mean()) if n else 0.0,
                          float(y[inside].mean()) if n else 0.0))
    return result


def expected_calibration_error(scores: Scores, labels: Labels,
                               bins: int = ECE_BINS) -> float | None:
    """Mean distance of confidence from accuracy, weighted by bin (Guo et al., 2017).

    Returns:
        None without scores.
    """
    filled = reliability(scores, labels, bins)
    n = sum(b.n for b in filled)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in filled) / n if n else None


def brier_score(scores: Scores, labels: Labels) -> float | None:
    """Mean squared distance of the score from the outcome; None without scores."""
    s, y = _checked(scores, labels)
    return float(np.mean((s - y) ** 2)) if len(s) else None


def balanced_accuracy(scores: Scores, labels: Labels, threshold: float) -> float | None:
    """Mean of the shares judged rightly among successes and among failures.

    Returns:
        None where there is no success or no failure.
    """
    s, y = _checked(scores, labels)
    if not y.any() or y.all():
        return None
    return float((np.mean(s[y] >= threshold) + np.mean(s[~y] < threshold)) / 2)


def _checked(scores: Scores, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    if s.shape != y.shape or s.ndim != 1:
        raise ValueError(f'scores and labels differ in shape: {s.shape} and {y.shape}')
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError('scores must be in [0, 1]')
    return s, y
