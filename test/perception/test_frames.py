"""Which frames are trusted: stamps by the robot's clock, frozen pictures, matching cameras."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.perception.frames import FrameLimits, FrameStore

NOW_NS = 1_000_000_000_000


def picture(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def store(*cameras: str) -> FrameStore:
    return FrameStore(cameras or ('head',), FrameLimits())


@pytest.mark.parametrize(('offset_s', 'reason'), [(-2.0, '2.00 s old'), (10.0, '10.00 s ahead'),
                                                  (-1000.0, 'is zero'), (-0.9, ''), (0.4, '')])
def test_stamp_is_judged_by_the_robots_clock(offset_s: float, reason: str) -> None:
    problem = store().add('head', picture(1), NOW_NS + int(offset_s * 1e9), NOW_NS, 5.0)
    assert reason in problem and bool(problem) == bool(reason)


@pytest.mark.parametrize(('stamp_s', 'now_s', 'words'), [
    (1000.0, 0.0, 'use_sim_time is set, and no time has come on /clock'),
    (0.0, 1000.0, 'driver has to say when'),
    (1012.3, 1000.0, "12.30 s ahead: the camera's clock is ahead of this machine's. Synchronise"),
    (987.7, 1000.0, "the camera's clock is behind this machine's. Synchronise"),
    (12.0, 1.8e9, '57.0 years old: it counts from another beginning. Set use_sim_time'),
    (1.8e9, 12.0, '57.0 years ahead: it counts from another beginning. Set use_sim_time')])
def test_a_refused_stamp_says_what_to_do(stamp_s: float, now_s: float, words: str) -> None:
    """Regression: without /clock it said that the stamp was 1795615223.57 s ahead."""
    assert words in store().add('head', picture(1), int(stamp_s * 1e9), int(now_s * 1e9), 5.0)


def test_refused_frame_does_not_replace_a_good_one() -> None:
    frames = store()
    frames.add('head', picture(1), NOW_NS, NOW_NS, 5.0)
    frames.add('head', picture(2), NOW_NS + 10**10, NOW_NS, 5.1)
    matching, _ = frames.matching(5.2)
    assert matching['head'].pixels[0, 0, 0] == 1
    assert frames.counts == {'head.accepted': 1, 'head.rejected': 1}
    nothing, reason = frames.matching(6.2)
    assert not nothing and reason.startswith('camera head: the stamp is 10.00 s ahead')


def test_frozen_picture_counts_only_while_moving_and_clears_with_a_new_one() -> None:
    frames = store()

    def feed(value: int, at_s: float, moving: bool) -> str:
        stamp = NOW_NS + int(at_s * 1e9)
        return frames.add('head', picture(value), stamp, stamp, at_s, moving)

    assert not any(feed(1, t / 10, False) for t in range(50))
    assert not any(feed(1, 5.0 + t / 10, True) for t in range(4))
    assert 'has not changed' in feed(1, 5.5, True)
    assert 'has not changed' in feed(1, 5.6, False)  # at rest by then, and still frozen
    assert feed(2, 5.7, True) == ''


def test_frozen_at_rest_for_cameras_that_have_noise() -> None:
    frames = FrameStore(('head',), FrameLimits(frozen_at_rest=True))
    problems = []
    for tick in range(7):
        stamp = NOW_NS + tick * 10**8
        problems.append(frames.add('head', picture(1), stamp, stamp, tick / 10, moving=False))
    assert not any(problems[:5])
    assert all('has not changed' in p for p in problems[5:])


def test_cameras_too_far_apart_are_no_pair() -> None:
    frames = store('head', 'wrist')
    assert frames.matching(0.0)[1] == 'camera head: no frame yet'
    frames.add('head', picture(1), NOW_NS, NOW_NS, 0.0)
    frames.add('wrist', picture(1), NOW_NS - 200_000_000, NOW_NS, 0.0)
    assert frames.matching(0.0) == ({}, 'cameras are 0.20 s apart')
    frames.add('wrist', picture(2), NOW_NS - 50_000_000, NOW_NS, 0.1)
    assert set(frames.matching(0.1)[0]) == {'head', 'wrist'}


def test_clock_that_jumps_back_is_followed() -> None:
    frames = store()
    frames.add('head', picture(1), NOW_NS, NOW_NS, 0.0)
    back = NOW_NS - 5 * 10**9
    assert frames.add('head', picture(2), back, back, 0.1) == ''
    assert frames.matching(0.1)[0]['head'].stamp_ns == back


@pytest.mark.parametrize('value', [0.0, -1.0, 1e6, float('nan'), float('inf')])
def test_limits_must_make_sense(value: float) -> None:
    with pytest.raises(ValueError, match='max_age_s'):
        FrameLimits(max_age_s=value)
    with pytest.raises(ValueError, match='frozen_after_s'):
        FrameLimits(frozen_after_s=value)
