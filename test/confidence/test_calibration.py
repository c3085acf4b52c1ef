"""Calibration and the conformal threshold keep their promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.confidence.calibration import (
    Calibration,
    Isotonic,
    PlattScaling,
    calibration_from_dict,
    conformal_threshold,
    cross_entropy,
    fit_isotonic,
    fit_platt_scaling,
)
from vla_humanoid_control.confidence.metrics import expected_calibration_error
from vla_humanoid_control.support.errors import UserError


def overconfident(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits three times too large, and outcomes."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0.5, 1.5, count)
    outcome = (rng.random(count) < 1 / (1 + np.exp(-honest))).astype(float)
    return 3 * honest + 1, outcome


@pytest.mark.parametrize('fit', [fit_platt_scaling, fit_isotonic])
def test_calibration_brings_the_error_down_on_new_data(fit: object) -> None:
    logits, outcome = overconfident(4000, 0)
    new_logits, new_outcome = overconfident(4000, 1)
    calibration: Calibration = fit(logits, outcome)  # type: ignore[operator]
    before = expected_calibration_error(PlattScaling()(new_logits), new_outcome > 0.5)
    after = expected_calibration_error(calibration(new_logits), new_outcome > 0.5)
    assert before is not None and after is not None
    assert before > 0.08 and after < 0.035


def test_platt_scaling_finds_the_right_scale() -> None:
    logits, outcome = overconfident(20000, 2)
    found = fit_platt_scaling(logits, outcome)
    assert found.scale == pytest.approx(1 / 3, abs=0.02)
    assert found.offset == pytest.approx(-1 / 3, abs=0.06)


def test_a_head_that_ranks_the_wrong_way_is_not_turned_over() -> None:
    logits, outcome = overconfident(2000, 3)
    found = fit_platt_scaling(-logits, outcome)
    assert found.scale > 0
    assert np.ptp(found(np.linspace(-10, 10, 5))) < 0.01


@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=2, max_size=60))
def test_isotonic_never_falls_and_stays_within_bounds(samples: list[tuple[float, bool]]) -> None:
    logits = np.array([s for s, _ in samples])
    labels = np.array([float(y) for _, y in samples])
    if labels.min() == labels.max():
        with pytest.raises(UserError):
            fit_isotonic(logits, labels)
        return
    values = fit_isotonic(logits, labels)(np.linspace(-25, 25, 200))
    assert (np.diff(values) >= -1e-12).all() and values.min() > 0 and values.max() < 1


@pytest.mark.parametrize('calibration', [
    PlattScaling(0.7, -0.2), Isotonic((-1.0, 0.5, 2.0), (0.1, 0.4, 0.9))])
def test_a_stored_calibration_reads_back(calibration: Calibration) -> None:
    again = calibration_from_dict(calibration.to_dict(), 'here')
    assert again == calibration
    assert calibration_from_dict({}, 'here') == PlattScaling()


@pytest.mark.parametrize('data', [
    {'kind': 'magic'}, {'kind': 'temperature', 'scale': -1, 'offset': 0},
    {'kind': 'temperature', 'scale': float('nan'), 'offset': 0}, {'kind': 'temperature'},
    {'kind': 'isotonic', 'logits': [0, 0], 'probabilities': [0, 1]},
    {'kind': 'isotonic', 'logits': [0, 1], 'probabilities': [1, 0]}])
def test_a_damaged_calibration_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UserError, match='statistics'):
        calibration_from_dict(data, 'statistics.json')


def test_the_threshold_has_the_finite_sample_rank() -> None:
    lowest = np.arange(1, 100) / 100  # 0.01 ... 0.99
    # ceil(100 * 0.9) = 90 of 99 must lie at or above it: the tenth smallest.
    assert conformal_threshold(lowest, 0.1) == pytest.approx(0.10)
    assert conformal_threshold(lowest[:5], 0.1) == 0.0


@pytest.mark.parametrize('alpha', [0.02, 0.1, 0.3])
def test_the_promised_rate_of_false_stops_holds(alpha: float) -> None:
    rng = np.random.default_rng(4)
    rates = []
    for _ in range(400):
        threshold = conformal_threshold(rng.beta(5, 2, 120), alpha)
        rates.append(float((rng.beta(5, 2, 400) < threshold).mean()))
    assert np.mean(rates) <= alpha + 3 * np.std(rates) / 20
    assert np.mean(rates) > alpha / 3


def test_cross_entropy_of_a_known_forecast() -> None:
    assert cross_entropy(np.array([0.5]), np.array([1.0])) == pytest.approx(np.log(2))
