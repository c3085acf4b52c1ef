"""Four signals become one confidence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.confidence.score import (
    SIGNALS,
    SMOOTHING_S,
    Combination,
    Combinations,
    Score,
    disagreement,
    read_signals,
    smooth,
    subsets,
)
from vla_humanoid_control.support.errors import UserError


def combination(*signals: str) -> Combination:
    n = len(signals)
    return Combination(signals, (0.0,) * n, (1.0,) * n, (1.5,) * n, (1.0,) * n + (2.0,) * n,
                       3.0, lowest=(0.2, 0.4, 0.6))


GOOD = np.array([2.0, 1.0, 1.0, 0.1])


def test_there_are_fifteen_choices_of_four_signals() -> None:
    assert len(set(subsets())) == 15 and subsets()[-1] == SIGNALS


@given(st.integers(0, 3), st.floats(1.01, 50))
def test_what_looks_worse_never_raises_the_confidence(column: int, factor: float) -> None:
    worse = GOOD.copy()
    worse[column] = -factor if column == 0 else worse[column] * factor
    good, bad = combination(*SIGNALS).logits(np.stack([GOOD, worse]))
    assert bad <= good


def test_beyond_the_hinge_a_signal_weighs_more() -> None:
    alone = combination('head')  # whose nonconformity is its negative value
    logits = alone.logits(np.array([[h, 1.0, 1.0, 0.1] for h in (0.0, -1.0, -2.0, -3.0)]))
    assert np.diff(logits).tolist() == [-1.0, -1.0 - 2 * 0.5, -1.0 - 2 * 1.0]


def test_a_signal_that_is_off_has_no_say() -> None:
    two = combination('head', 'agreement')
    other = GOOD.copy()
    other[1:3] = 1e6
    assert np.ptp(two.logits(np.stack([GOOD, other]))) == 0


def test_unknown_agreement_counts_as_usual_and_other_nans_are_passed_on() -> None:
    all_four = combination(*SIGNALS)
    first, usual = GOOD.copy(), GOOD.copy()
    first[3], usual[3] = math.nan, 1.0  # log 1 = 0 = the mean
    assert all_four.logits(first[None]) == all_four.logits(usual[None])
    for column in range(3):
        broken = GOOD.copy()
        broken[column] = math.nan
        assert math.isnan(Score(all_four).update(broken, 0.0))


def test_the_score_follows_a_fall_within_a_second_and_forgets_at_a_reset() -> None:
    score = Score(combination(*SIGNALS))
    bad = np.array([-9.0, 9.0, 1.0, 1.0])
    high = score.update(GOOD, 0.0)
    first = score.update(bad, 0.1)
    for step in range(2, 11):
        low = score.update(bad, 0.1 * step)
    assert low < 0.1 < first < high
    score.reset()
    assert score.update(GOOD, 1.1) == high


def test_smoothing_many_is_smoothing_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values = np.abs(rng.normal(1, 1, (40, 4)))
    episode = np.repeat([0, 1], 20)
    time_s = np.tile(np.arange(20) * 0.1, 2)
    chosen = combination('head', 'image')
    expected = []
    score = Score(chosen)
    for i in range(40):
        if i == 20:
            score.reset()
        expected.append(score.update(values[i], float(time_s[i])))
    found = chosen.calibration(smooth(chosen.logits(values), episode, time_s))
    np.testing.assert_allclose(found, expected)
    assert SMOOTHING_S < 0.5  # else a broken camera could not be held within a second


def test_chunks_that_foresee_the_same_agree() -> None:
    plan = np.linspace(0, 1, 20, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    std = np.full(3, 0.5, np.float32)
    assert disagreement(plan[:8], plan[1:9], 0.1, 0.1, std) == pytest.approx(0)
    assert disagreement(plan[:8], plan[1:9] + 0.25, 0.1, 0.1, std) == pytest.approx(0.5)
    assert math.isnan(disagreement(plan[:8], plan[:8], 0.9, 0.1, std))


def test_a_stored_score_reads_back() -> None:
    everything = Combinations({s: combination(*s) for s in subsets()})
    assert Combinations.from_list(everything.to_list(), 'here') == everything
    assert everything.choose(['image', 'head']).signals == ('head', 'image')


def test_before_the_confidence_stage_the_head_speaks_for_itself() -> None:
    plain = Combinations.from_list([], 'here').choose(SIGNALS)
    assert plain.signals == ('head',) and plain.logits(GOOD[None]) == pytest.approx(2.0)


@pytest.mark.parametrize('change', [
    {'weights': [-1.0] * 8}, {'std': [0.0] * 4}, {'offset': math.nan}, {'lowest': [0.1, 1.5]},
    {'signals': ['head', 'mood']}, {'mean': [0.0]}, {'calibration': {'kind': 'magic'}}])
def test_a_damaged_score_is_refused(change: dict[str, object]) -> None:
    data = Combinations({s: combination(*s) for s in subsets()}).to_list()
    with pytest.raises(UserError, match=r'statistics\.json|Confidence signals'):
        Combinations.from_list([*data[:-1], {**data[-1], **change}], 'statistics.json')


def test_a_missing_choice_is_refused() -> None:
    data = Combinations({s: combination(*s) for s in subsets()}).to_list()
    with pytest.raises(UserError, match='lacks some choices'):
        Combinations.from_list(data[:-1], 'statistics.json')


def test_unknown_or_no_signals_are_refused() -> None:
    for names in ([], ['mood']):
        with pytest.raises(UserError, match='head, image, instruction, agreement'):
            read_signals(names)


def test_the_threshold_belongs_to_the_choice_and_to_alpha() -> None:
    everything = Combinations({s: replace(combination(*s), lowest=(len(s) / 10,) * 20)
                               for s in subsets()})
    assert everything.choose(['head']).threshold(0.1) == 0.1
    assert everything.choose(SIGNALS).threshold(0.1) == 0.4
    assert everything.choose(SIGNALS).threshold(0.01) == 0.0  # twenty are too few to promise that
    graded = replace(combination(*SIGNALS), lowest=tuple(np.linspace(0.3, 0.9, 99).tolist()))
    assert graded.threshold(0.5) > graded.threshold(0.1) > graded.threshold(0.02) >= 0.3
