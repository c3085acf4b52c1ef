"""Several signals become one confidence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.confidence.combine import (
    SMOOTHING_S,
    Combination,
    Confidence,
    SignalsError,
    smooth,
)
from vla_humanoid_control.confidence.signals.answers import disagreement
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import Action, Proposal

SIGNALS = ('head', 'image', 'instruction', 'agreement')


def combination(*signals: str) -> Combination:
    n = len(signals)
    return Combination(signals, (0.0,) * n, (1.0,) * n, (1.5,) * n, (1.0,) * n + (2.0,) * n,
                       3.0, lowest=(0.2, 0.4, 0.6))


GOOD = {'head': -2.0, 'image': 0.0, 'instruction': 0.0, 'agreement': -2.3}


def logits(chosen: Combination, *samples: dict[str, float]) -> np.ndarray:
    return chosen.logits({n: np.array([s[n] for s in samples]) for n in samples[0]})


def proposal(time_s: float, signals: dict[str, float], **changes: object) -> Proposal:
    base = Proposal(round(time_s * 1e9), Action.hold(), 0.7, 0.0, signals)
    return replace(base, **changes)  # type: ignore[arg-type]


@given(st.sampled_from(SIGNALS), st.floats(0.01, 50))
def test_what_looks_worse_never_raises_the_confidence(name: str, by: float) -> None:
    good, bad = logits(combination(*SIGNALS), GOOD, GOOD | {name: GOOD[name] + by})
    assert bad <= good


def test_beyond_the_hinge_a_signal_weighs_more() -> None:
    found = logits(combination('head'), *({'head': h} for h in (0.0, 1.0, 2.0, 3.0)))
    assert np.diff(found).tolist() == [-1.0, -1.0 - 2 * 0.5, -1.0 - 2 * 1.0]


def test_a_signal_that_is_off_has_no_say() -> None:
    two = combination('head', 'agreement')
    assert np.ptp(logits(two, GOOD, GOOD | {'image': 1e6, 'instruction': 1e6})) == 0


def test_unknown_agreement_counts_as_usual_and_what_else_is_unknown_leaves_no_confidence() -> None:
    every = combination(*SIGNALS)
    assert np.ptp(logits(every, GOOD | {'agreement': math.nan}, GOOD | {'agreement': 0.0})) == 0
    for name in SIGNALS[:3]:
        unknown = proposal(0.0, GOOD | {name: math.nan})
        assert math.isnan(Confidence(every).judge(unknown).confidence)


def test_the_confidence_follows_a_fall_within_a_second_and_forgets_at_a_new_attempt() -> None:
    judge = Confidence(combination(*SIGNALS))
    bad = GOOD | {'head': 9.0, 'image': 2.2}
    high = judge.judge(proposal(0.0, GOOD)).confidence
    first = judge.judge(proposal(0.1, bad)).confidence
    assert judge.judge(proposal(0.1, bad)).confidence == first  # the same answer, played on
    for step in range(2, 11):
        low = judge.judge(proposal(0.1 * step, bad)).confidence
    assert low < 0.1 < first < high
    assert judge.judge(proposal(1.1, GOOD, attempt=1)).confidence == high


def test_a_policy_that_was_never_measured_speaks_for_itself() -> None:
    assert Confidence().judge(proposal(0.0, GOOD)).confidence == 0.7
    assert Confidence().judge(proposal(0.0, {})).confidence == 0.7


@pytest.mark.parametrize(('signals', 'trust', 'why'), [
    ({}, 7, 'head, image, instruction, agreement are missing'),
    ({n: v for n, v in GOOD.items() if n != 'image'}, 7, 'signals image are missing'),
    (GOOD, 8, 'are of trust artifact 000000000008, the monitor goes by trust artifact 0000000000'),
    (GOOD, 0, 'are of no trust artifact')])
def test_what_another_artifact_measured_is_not_judged(signals: dict[str, float], trust: int,
                                                      why: str) -> None:
    judge = Confidence(combination(*SIGNALS), 7)
    with pytest.raises(SignalsError, match=why):
        judge.judge(proposal(0.0, signals, trust=trust))
    assert judge.judge(proposal(0.0, GOOD, trust=7)).confidence > 0.0
    assert judge.judge(proposal(0.0, {}, confidence=0.0)).confidence == 0.0  # it holds


def test_a_monitor_without_an_artifact_judges_nothing_that_has_one() -> None:
    with pytest.raises(SignalsError, match='goes by no trust artifact'):
        Confidence().judge(proposal(0.0, GOOD, trust=7))


@pytest.mark.parametrize('chosen', [None, combination('head')])
def test_an_image_of_nothing_leaves_no_confidence(chosen: Combination | None) -> None:
    judge = Confidence(chosen)
    blind, seeing = GOOD | {'implausible': 1.0}, GOOD | {'implausible': 0.0}
    assert judge.judge(proposal(0.0, blind)).confidence == 0.0
    assert judge.judge(proposal(0.1, seeing)).confidence > 0.5


def test_smoothing_many_is_smoothing_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values = {name: rng.normal(0, 1, 40) for name in ('head', 'image')}
    episode = np.repeat([0, 1], 20)
    time_s = np.tile(np.arange(20) * 0.1, 2)
    chosen = combination('head', 'image')
    judge = Confidence(chosen)
    expected = [judge.judge(proposal(time_s[i], {n: float(v[i]) for n, v in values.items()},
                                     attempt=int(episode[i]))).confidence for i in range(40)]
    found = chosen.calibration(smooth(chosen.logits(values), episode, time_s))
    np.testing.assert_allclose(found, expected)
    assert SMOOTHING_S < 0.5  # else a broken camera could not be held within a second


def test_chunks_that_foresee_the_same_agree() -> None:
    plan = np.linspace(0, 1, 20, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    std = np.full(3, 0.5, np.float32)
    assert disagreement(plan[:8], plan[1:9], 0.1, 0.1, std) == pytest.approx(0)
    assert disagreement(plan[:8], plan[1:9] + 0.25, 0.1, 0.1, std) == pytest.approx(0.5)
    assert math.isnan(disagreement(plan[:8], plan[:8], 0.9, 0.1, std))


def test_what_is_stored_reads_back() -> None:
    chosen = combination(*SIGNALS)
    assert Combination.from_dict(chosen.to_dict(), 'here') == chosen


@pytest.mark.parametrize('change', [
    {'weights': [-1.0] * 8}, {'std': [0.0] * 4}, {'offset': math.nan}, {'lowest': [0.1, 1.5]},
    {'signals': []}, {'mean': [0.0]}, {'calibration': {'kind': 'magic'}}])
def test_what_is_damaged_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r'trust\.json'):
        Combination.from_dict({**combination(*SIGNALS).to_dict(), **change}, 'trust.json')


def test_the_threshold_follows_from_alpha() -> None:
    chosen = replace(combination(*SIGNALS), lowest=(0.4,) * 20)
    assert chosen.threshold(0.1) == 0.4
    # Twenty are too few to promise that: what they allow is the best there is.
    assert chosen.threshold(0.01) == 0.4 and chosen.promised(0.01) == pytest.approx(1 / 21)
    assert chosen.promised(0.1) == 0.1
    assert replace(chosen, lowest=()).threshold(0.1) == 0.0
    graded = replace(chosen, lowest=tuple(np.linspace(0.3, 0.9, 99).tolist()))
    assert graded.threshold(0.5) > graded.threshold(0.1) > graded.threshold(0.02) >= 0.3
