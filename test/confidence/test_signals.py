"""Each signal is larger where an answer is worse, and NaN where it is unknown."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.confidence.signals.answers import AnswerSignals, reversals
from vla_humanoid_control.confidence.signals.density import Density, Perceptron
from vla_humanoid_control.confidence.signals.learnt import LearntSignals
from vla_humanoid_control.confidence.signals.meter import SignalMeter
from vla_humanoid_control.confidence.signals.words import WordSignals
from vla_humanoid_control.interfaces import CONFIDENCE, EMBEDDING, SAMPLES, TOKEN_ENTROPY
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import RobotChunk, RobotObservation

CHANNELS = ('base/linear_x', 'elbow')


def chunk(forward: float = 0.2, elbow: float = 0.0, **evidence: object) -> RobotChunk:
    actions = np.tile(np.array([forward, elbow], np.float32), (4, 1))
    return RobotChunk(CHANNELS, actions, 0.1, float(evidence.get(CONFIDENCE, 0.0)), 0.5,
                      evidence={n: np.asarray(v, np.float64) for n, v in evidence.items()})


def seen(number: int = 0, image: np.ndarray | None = None) -> RobotObservation:
    picture = np.tile(np.linspace(40, 200, 60, dtype=np.uint8)[:, None, None], (1, 80, 3))
    return RobotObservation(10**9 + number * 10**8,
                            {'head': picture if image is None else image}, np.zeros(3))


def test_the_first_answer_contradicts_nothing_and_a_changed_mind_does() -> None:
    signals = AnswerSignals({'base/linear_x': 0.1, 'elbow': 0.5})
    first = signals.measure(chunk(), 0)
    assert math.isnan(first['agreement']) and math.isnan(first['reversals'])
    same = signals.measure(chunk(), 10**8)['agreement']
    other = signals.measure(chunk(0.1, 0.5), 2 * 10**8)['agreement']
    assert same < -6 and other == pytest.approx(0.0)  # a deviation in each channel: log 1
    signals.begin()
    assert math.isnan(signals.measure(chunk(), 3 * 10**8)['agreement'])


@pytest.mark.parametrize(('forward', 'elbow', 'share'), [
    ([1, 1, 1, 1, 1], [0, 0, 0, 0, 0], 0.0), ([1, -1, 1, -1, 1], [0, 0, 0, 0, 0], 1.0),
    ([1, 1, 1, 1, 1], [0, 1, 0, 1, 0], 1.0), ([1, 1, 1, 1, 1], [0, 1, 2, 3, 2], 1 / 3),
    ([.01, -.01, .01, -.01, .01], [0, 0, 0, 0, 0], 0.0)])
def test_motion_that_turns_round_is_counted(forward: list[float], elbow: list[float],
                                            share: float) -> None:
    actions = np.array([forward, elbow], np.float32).T
    assert reversals(actions, CHANNELS) == pytest.approx(share)


def test_what_a_policy_says_becomes_signals() -> None:
    meter = SignalMeter({'head': 'head'}, ('mood', SAMPLES, TOKEN_ENTROPY))
    meter.begin('walk')
    found = meter.measure(seen(), chunk(mood=1.5, secret=2.0, confidence=0.2,
                                        token_entropy=[0.5, 1.5], samples=np.ones((3, 4, 2))))
    assert found['mood'] == 1.5 and 'secret' not in found
    assert found['claim'] == pytest.approx(math.log(4)) and found['entropy'] == 1.0
    assert found['spread'] == pytest.approx(math.log(1e-3))
    apart = chunk(samples=np.arange(24).reshape(3, 4, 2))
    assert meter.measure(seen(1), apart)['spread'] > 1
    assert math.isnan(meter.measure(seen(2), chunk(confidence=7.0))['claim'])


def test_an_image_of_nothing_is_told() -> None:
    meter = SignalMeter({'head': 'head'})
    meter.begin('walk')
    assert meter.measure(seen(), chunk())['implausible'] == 0.0
    assert meter.measure(seen(1, np.zeros((60, 80, 3), np.uint8)), chunk())['implausible'] == 1.0
    blind = SignalMeter({})
    blind.begin('walk')
    assert blind.measure(seen(0, np.zeros((60, 80, 3), np.uint8)), chunk())['implausible'] == 0.0


def test_a_density_knows_what_it_has_seen_in_every_direction() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    known = (rng.normal(size=(4000, 5)) @ mixing + 3).astype(np.float32)
    density = Density.fit(known)
    assert np.median(density.distance(known)) == pytest.approx(1.0, abs=0.15)
    away = known[:50] + 8 * mixing[0].astype(np.float32)
    assert density.distance(away).min() > np.quantile(density.distance(known), 0.99)


def test_a_perceptron_learns_what_no_line_can() -> None:
    pytest.importorskip('torch')
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2)).astype(np.float32)
    y = (np.abs(x).sum(axis=1) > 1.5).astype(np.float64)
    network = Perceptron.fit(x[:2000], y[:2000], np.ones(2000), 0, 64, 15)
    assert np.mean((network.log_odds(x[2000:]) > 0) == (y[2000:] > 0.5)) > 0.9
    again = Perceptron.fit(x[:2000], y[:2000], np.ones(2000), 0, 64, 15)
    np.testing.assert_array_equal(again.log_odds(x), network.log_odds(x))


def test_words_that_succeeded_are_near_and_requests_beyond_are_told() -> None:
    rng = np.random.default_rng(1)

    def around(centre: np.ndarray, count: int) -> np.ndarray:
        x = centre + 0.05 * rng.normal(size=(count, 16))
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)

    ours, others = np.eye(16)[0], np.eye(16)[1]
    sentences = np.concatenate([around(ours, 60), around(others, 30)])
    able = np.arange(90) < 60
    words = WordSignals.fit(sentences, able, able)
    good, bad = words.measure(around(ours, 20)), words.measure(around(others, 20))
    for name in ('words', 'scope'):
        assert good[name].max() < bad[name].min(), name
    far = words.measure(around(np.eye(16)[2], 20))['words']
    assert far.min() > good['words'].max()


def test_what_was_learnt_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    words = WordSignals.fit(rng.normal(size=(9, 4)).astype(np.float32), np.arange(9) < 5,
                            np.arange(9) < 7)
    learnt = LearntSignals(words=words,
                           embedding=Density.fit(rng.normal(size=(50, 3)).astype(np.float32)))
    learnt.save(tmp_path / 'signals.npz')
    again = LearntSignals.load(tmp_path / 'signals.npz')
    assert again.needs_words and again.features is None and not again.views
    inputs = ({}, rng.normal(size=(5, 4)).astype(np.float32), np.zeros((5, 2), np.float32),
              rng.normal(size=(5, 3)).astype(np.float32))
    for name, values in learnt.measure_many(*inputs).items():
        np.testing.assert_array_equal(values, again.measure_many(*inputs)[name])
    (tmp_path / 'signals.npz').write_bytes(b'nonsense')
    with pytest.raises(UserError, match=r'signals\.npz cannot be read'):
        LearntSignals.load(tmp_path / 'signals.npz')


def test_a_policys_own_embedding_is_measured_where_it_was_learnt() -> None:
    rng = np.random.default_rng(3)
    known = rng.normal(size=(500, 3)).astype(np.float32)
    meter = SignalMeter({}, (EMBEDDING,), learnt=LearntSignals(embedding=Density.fit(known)))
    meter.begin('walk')
    near = meter.measure(seen(), chunk(embedding=[0.0, 0.1, 0.0]))['embedding']
    far = meter.measure(seen(1), chunk(embedding=[9.0, 9.0, 9.0]))['embedding']
    assert near < 0 < far
    assert 'embedding' not in SignalMeter({}, ()).describe(seen(), chunk()).plain


def test_views_and_pictures_are_told_apart_where_either_alone_would_not() -> None:
    """A smooth grey picture lies in the midst of all views."""
    pytest.importorskip('torch')
    from vla_humanoid_control.confidence.signals.views import ViewFeatures, ViewSignals
    from vla_humanoid_control.learning.pictures import draw_picture
    rng = np.random.default_rng(4)
    features = ViewFeatures.shipped()

    def view() -> np.ndarray:  # a grey floor, a light wall, a coloured thing
        image = np.full((96, 128, 3), rng.integers(180, 200), np.uint8)
        image[40:] = rng.integers(90, 110)
        x = int(rng.integers(10, 90))
        image[45:65, x:x + 20] = rng.integers(0, 255, 3)
        return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)

    known = features([view() for _ in range(200)])
    pictures = features([draw_picture(rng) for _ in range(400)])
    signals = ViewSignals.fit(known, np.ones(200, bool), pictures, 0)
    own = signals.measure(features([view() for _ in range(50)]))
    other = signals.measure(features([draw_picture(rng) for _ in range(50)]))
    worst = {name: values.max() for name, values in own.items()}
    told = (other['view'] > worst['view']) | (other['picture'] > worst['picture'])
    assert told.mean() > 0.95
    again = ViewSignals.of(signals.arrays)
    np.testing.assert_array_equal(again.measure(known)['picture'],
                                  signals.measure(known)['picture'])


def test_features_do_not_depend_on_the_batch_or_on_the_size_of_the_image() -> None:
    pytest.importorskip('torch')
    from vla_humanoid_control.confidence.signals.views import ViewFeatures
    features = ViewFeatures.shipped()
    small = seen().images['head']
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    alone, together = features([large])[0], features([small, large])[1]
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    assert alone.shape == (880,)


def test_the_meter_says_nothing_twice() -> None:
    """Of several cameras the worst counts, and what was not learnt is not there."""
    found = SignalMeter({'head': 'head'}).measure(seen(), replace(chunk(), evidence={}))
    assert set(found) == {'implausible', 'coverage', 'agreement', 'reversals'}


def test_what_was_learnt_with_other_joints_is_told() -> None:
    vectors = [np.zeros(n, np.float32) for n in (21, 21, 4, 4, 1)]
    outcome = Perceptron(*vectors[:2], np.zeros((21, 4), np.float32), *vectors[2:])
    meter = SignalMeter({}, learnt=LearntSignals(outcome=outcome))
    assert meter.problem(12, 2) == '' and meter.problem(13, 2) == 'other joints'
