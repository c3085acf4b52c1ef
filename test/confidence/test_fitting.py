"""Held-out episodes are parted by a hash, and each part is used for one thing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.confidence import fitting
from vla_humanoid_control.confidence.calibration import fit_isotonic
from vla_humanoid_control.confidence.combine import ALPHA, Combination
from vla_humanoid_control.confidence.fitting import (
    FIT,
    JUDGE,
    PART_SHARES,
    THRESHOLD,
    HeldOut,
    Signals,
    check_parts,
)
from vla_humanoid_control.data.parts import parts_of
from vla_humanoid_control.support.errors import UserError

SIGNALS = ('head', 'image', 'instruction', 'agreement')
NAMES = [f'val/{10_000_000 + number // 50}/{number % 50}' for number in range(5000)]


def test_the_part_of_a_name_depends_on_the_name_alone() -> None:
    parts = parts_of(NAMES, PART_SHARES, 'calibration')
    assert parts_of(NAMES[::-1], PART_SHARES, 'calibration').tolist() == parts[::-1].tolist()
    assert parts_of([NAMES[7]], PART_SHARES, 'calibration').tolist() == [parts[7]]
    # As they were when this was written: other machines and versions part alike.
    assert parts[:12].tolist() == [2, 2, 2, 1, 0, 1, 1, 1, 0, 1, 0, 2]


@pytest.mark.parametrize('shares', [(0.4, 0.4, 0.2), (7, 1), (1,) * 5, (1,)])
def test_parts_are_as_large_as_they_should_be_and_their_uses_independent(
        shares: tuple[float, ...]) -> None:
    """Regression: numbers times a constant, modulo 5, were no hash but a cycle of the numbers."""
    parts = parts_of(NAMES, shares, 'one use')
    for part, share in enumerate(shares):
        own = parts == part
        assert own.mean() == pytest.approx(share / sum(shares), abs=0.03)
        other = parts_of(np.array(NAMES)[own].tolist(), shares, 'another use') == part
        assert other.mean() == pytest.approx(share / sum(shares), abs=0.06)
        # No rhythm: the next episodes in a row lie in this part no more often than any.
        for step in (1, 2, 5, 10):
            assert own[step:][own[:-step]].mean() == pytest.approx(own.mean(), abs=0.06)


def held_out(seed: int = 0, episodes: int = 300, length: int = 6) -> HeldOut:
    """Episodes whose signals tell their outcome, more or less."""
    rng = np.random.default_rng(seed)
    count = episodes * length
    episode = np.repeat(np.arange(episodes), length)
    won = (rng.random(episodes) < 0.6)[episode]
    broken = {kind: (signals(rng, np.zeros(100, bool)), signals(rng, np.zeros(50, bool)))
              for kind in ('corrupted', 'out_of_scope')}
    return HeldOut(signals(rng, won), won.astype(np.float64), episode,
                   np.tile(np.arange(length) * 0.4, episodes).astype(np.float32),
                   np.ones(count, bool), parts_of(NAMES[:episodes], PART_SHARES, 'x')[episode],
                   parts_of(NAMES[:episodes], (1,) * 5, 'y')[episode], broken,
                   {'corrupted': 0.25, 'out_of_scope': 0.3})


def signals(rng: np.random.Generator, won: np.ndarray) -> Signals:
    return {name: np.where(won, 0.0, 0.7) + rng.normal(0, 0.5, len(won)) for name in SIGNALS}


def with_other_part(data: HeldOut, part: int) -> HeldOut:
    """The same, but everything in one part turned upside down."""
    own = data.part == part
    values = {name: v.copy() for name, v in data.values.items()}
    for v in values.values():
        v[own] = v[own][::-1] * 1.7
    labels = np.where(own, 1 - data.labels, data.labels)
    broken = {kind: (fit, {n: v[:20] * 0.2 for n, v in judge.items()} if part == JUDGE else judge)
              for kind, (fit, judge) in data.broken.items()}
    return dataclasses.replace(data, values=values, labels=labels, broken=broken)


def regression(combination: Combination) -> dict[str, Any]:
    """What decides which answer is better than which."""
    return {n: v for n, v in combination.to_dict().items() if n not in ('lowest', 'calibration')}


@pytest.mark.parametrize('choice', [SIGNALS, ('head',), ('image', 'agreement')], ids='+'.join)
def test_nothing_is_judged_by_what_it_was_fitted_on(choice: tuple[str, ...]) -> None:
    """Regression: the threshold and the figures about it came from the same episodes."""
    data = held_out()
    combination, figures = data.combine(choice)
    other, other_figures = with_other_part(data, JUDGE).combine(choice)
    assert other == combination
    assert figures != other_figures
    assert figures['threshold'] == other_figures['threshold']
    other, _ = with_other_part(data, THRESHOLD).combine(choice)
    assert regression(other) == regression(combination)
    assert other.lowest != combination.lowest
    other, _ = with_other_part(data, FIT).combine(choice)
    assert regression(other) != regression(combination)


def test_the_figures_are_those_of_the_episodes_that_judge() -> None:
    data = held_out(3, 1500)
    for choice in [SIGNALS, *((name,) for name in SIGNALS), ('image', 'agreement')]:
        combination, figures = data.combine(choice)
        judged = data.part == JUDGE
        assert figures['samples'] == judged.sum()
        assert figures['episodes'] == len(np.unique(data.episode[judged]))
        assert figures['successes'] == len(np.unique(data.episode[judged & (data.labels > 0.5)]))
        assert figures['threshold'] == combination.threshold(ALPHA) > 0
        assert figures['threshold_from'] == len(combination.lowest)
        # The promise is kept on episodes that did not set the threshold, up to chance.
        assert figures['false_stops'] <= ALPHA + 0.04
        assert 0.5 < figures['auroc'] <= 1
        assert 0 <= figures['ece'] < 0.25
        assert set(figures) > {'held_corrupted', 'held_out_of_scope'}


def test_how_a_promise_is_kept_is_asked_of_the_episodes_that_judge() -> None:
    data = held_out()
    combination, figures = data.combine(SIGNALS)
    lowest = data.lowest(combination, JUDGE)
    assert len(lowest) == figures['successes'] > 20
    assert (lowest < combination.threshold(ALPHA)).mean() == figures['false_stops']
    assert np.sort(data.lowest(combination, THRESHOLD)).tolist() == list(combination.lowest)


@pytest.mark.parametrize(('part', 'labels'), [
    ([FIT, FIT, THRESHOLD, JUDGE], [1, 1, 1, 1]), ([FIT, FIT, THRESHOLD, JUDGE], [0, 0, 1, 1]),
    ([FIT, FIT, THRESHOLD, JUDGE], [0, 1, 0, 1]), ([FIT, FIT, THRESHOLD, FIT], [0, 1, 1, 1]),
    ([THRESHOLD, JUDGE, THRESHOLD, JUDGE], [0, 1, 1, 1])])
def test_too_few_episodes_are_refused_with_what_to_do(part: list[int], labels: list[int]) -> None:
    with pytest.raises(UserError, match=r'Of the 4 rollouts \d succeeded: too few.*--suite'):
        check_parts(np.array(part), np.array(labels) > 0, np.arange(4))
    check_parts(np.array([FIT, FIT, THRESHOLD, JUDGE]), np.array([0, 1, 1, 0]) > 0, np.arange(4))


def test_what_is_worse_than_all_that_was_seen_gets_no_confidence() -> None:
    """Regression: with few failures the lowest step was high, and an image of nothing got it."""
    rng = np.random.default_rng(5)
    logits = rng.normal(2, 1, 400)
    labels = (rng.random(400) < np.where(logits < 1.5, 0.7, 0.98)).astype(np.float64)
    steps = fitting._falling(fit_isotonic(logits, labels), float(logits.min()))
    assert steps(np.array([logits.min()]))[0] > 0.0
    assert steps(np.array([logits.min() - 3.0]))[0] == 0.0
    np.testing.assert_allclose(steps(logits), fit_isotonic(logits, labels)(logits), atol=1e-6)
