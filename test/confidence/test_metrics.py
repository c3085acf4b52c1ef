"""Metrics against values worked out by hand and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_humanoid_control.confidence import metrics

SCORED = st.lists(st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=2,
                  max_size=60)


@pytest.mark.parametrize(('successes', 'n', 'low', 'high'), [
    # Values of the closed form, as in Newcombe (1998), table I, method 3.
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718), (29, 29, 0.8830, 1.0), (97, 100, 0.9155, 0.9897)])
def test_wilson_interval(successes: int, n: int, low: float, high: float) -> None:
    assert metrics.wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_of_nothing_says_nothing_and_nonsense_is_refused() -> None:
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError):
        metrics.wilson_interval(3, 2)


def test_auroc_by_hand() -> None:
    # Pairs (success, failure): .9>.8 .9>.3 .4<.8 .4>.3 -> 3 of 4.
    assert metrics.auroc([0.9, 0.4, 0.8, 0.3], [True, True, False, False]) == 0.75
    assert metrics.auroc([0.5, 0.5], [True, False]) == 0.5
    assert metrics.auroc([0.5, 0.6], [True, True]) is None


def test_auroc_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Normal scores, the successes' a standard deviation and a half higher: the area is 0.856."""
    rng, truth, held = np.random.default_rng(0), 0.8556, 0
    for _ in range(400):
        scores = 1 / (1 + np.exp(-rng.normal([1.5] * 60 + [0.0] * 8)))
        labels = np.arange(68) < 60
        low, high = metrics.auroc_interval(metrics.auroc(scores, labels), 60, 8)
        held += low <= truth <= high
    assert 0.93 <= held / 400 <= 1.0


def test_auroc_interval_knows_little_from_little() -> None:
    assert metrics.auroc_interval(None, 5, 0) == (0.0, 1.0)
    low, high = metrics.auroc_interval(1.0, 600, 1)
    assert low < 0.8 and high == 1.0
    few, many = metrics.auroc_interval(0.9, 600, 7), metrics.auroc_interval(0.9, 350, 150)
    assert few[0] < many[0] < 0.9 < many[1] < few[1]


def test_auprc_by_hand() -> None:
    # Thresholds .9: P 1, R 1/2; .8: P 1/2; .4: P 2/3, R 1 -> 1 * 1/2 + 2/3 * 1/2.
    assert metrics.auprc([0.9, 0.8, 0.4, 0.3], [True, False, True, False]) == pytest.approx(5 / 6)
    assert metrics.auprc([0.5], [False]) is None


@settings(deadline=None)  # importing scikit-learn takes its time
@given(SCORED)
def test_ranking_metrics_agree_with_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    sklearn = pytest.importorskip('sklearn.metrics')
    scores, labels = [s for s, _ in pairs], [y for _, y in pairs]
    if any(labels):
        assert metrics.auprc(scores, labels) == pytest.approx(
            sklearn.average_precision_score(labels, scores))
    if any(labels) and not all(labels):
        assert metrics.auroc(scores, labels) == pytest.approx(
            sklearn.roc_auc_score(labels, scores))
        decided = [s >= 0.5 for s in scores]
        assert metrics.balanced_accuracy(scores, labels, 0.5) == pytest.approx(
            sklearn.balanced_accuracy_score(labels, decided))
    assert metrics.brier_score(scores, labels) == pytest.approx(
        np.mean((np.array(scores) - np.array(labels)) ** 2))


def test_calibration_error_by_hand() -> None:
    # Two bins of the fifteen: 0.9 (4 scores, 3 right), 0.1 (2 scores, 1 right).
    scores, labels = [0.9] * 4 + [0.1] * 2, [True, True, True, False, True, False]
    expected = (4 * abs(0.75 - 0.9) + 2 * abs(0.5 - 0.1)) / 6
    assert metrics.expected_calibration_error(scores, labels) == pytest.approx(expected)
    assert metrics.expected_calibration_error([], []) is None


def test_a_calibrated_confidence_has_hardly_any_calibration_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(50_000)
    labels = rng.random(50_000) < scores
    assert (metrics.expected_calibration_error(scores, labels) or 1.0) < 0.01
    assert (metrics.expected_calibration_error(scores ** 3, labels) or 0.0) > 0.1


@settings(deadline=None)  # importing scikit-learn takes its time
@given(SCORED)
def test_every_score_is_in_one_bin(pairs: list[tuple[float, bool]]) -> None:
    bins = metrics.reliability([s for s, _ in pairs], [y for _, y in pairs])
    assert len(bins) == metrics.ECE_BINS
    assert sum(b.n for b in bins) == len(pairs)
    for b in bins:
        assert b.n == 0 or b.low - 1e-9 <= b.confidence <= b.high + 1e-9


@pytest.mark.parametrize('scores', [[math.nan], [1.2], [-0.1], [0.5, 0.5]])
def test_scores_that_are_no_probabilities_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError):
        metrics.auroc(scores, [True])
