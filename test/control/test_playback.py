"""Temporal ensembling against values worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_humanoid_control.control.playback import ChunkPlayback
from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.types import RobotChunk

SPEC = ControlSpec(('head',), (96, 96), ('neck_yaw',), ('base/linear_x', 'neck_yaw'), 3, 0.1)
MS = 1_000_000


def chunk(rows: list[list[float]], channels: tuple[str, ...] = SPEC.channels) -> RobotChunk:
    return RobotChunk(channels, np.array(rows, dtype=np.float32), 0.1, 0.9, 0.1)


def test_nothing_before_a_chunk_and_after_its_horizon() -> None:
    playback = ChunkPlayback(SPEC)
    assert playback.action_at(0) is None
    playback.add(chunk([[0, 0], [1, 1], [2, 2]]), 100 * MS)
    assert playback.action_at(99 * MS) is None
    assert playback.action_at(399 * MS) is not None
    assert playback.action_at(400 * MS) is None


def test_rows_and_straight_lines_between_them() -> None:
    playback = ChunkPlayback(SPEC)
    playback.add(chunk([[0, 0], [1, 2], [2, 4]]), 0)
    for at_ms, expected in ((0, 0.0), (50, 0.5), (100, 1.0), (200, 2.0), (290, 2.0)):
        action = playback.action_at(at_ms * MS)
        assert action is not None
        assert action.twist == pytest.approx([expected, 0, 0])
        assert action.joints == {'neck_yaw': pytest.approx(2 * expected)}


def test_overlapping_chunks_are_weighted_as_in_the_paper() -> None:
    playback = ChunkPlayback(SPEC, m=0.5)
    playback.add(chunk([[1, 0]] * 3), 0)
    playback.add(chunk([[3, 0]] * 3), 100 * MS)
    action = playback.action_at(150 * MS)
    weight = np.exp(-0.5)
    assert action is not None
    assert action.twist[0] == pytest.approx((1 + 3 * weight) / (1 + weight))


def test_clear_forgets() -> None:
    playback = ChunkPlayback(SPEC)
    playback.add(chunk([[1, 1]] * 3), 0)
    playback.clear()
    assert playback.action_at(0) is None


def test_a_clock_that_jumps_back_leaves_no_chunk_of_the_future() -> None:
    playback = ChunkPlayback(SPEC)
    playback.add(chunk([[9, 9]] * 3), 5_000 * MS)
    playback.add(chunk([[1, 1]] * 3), 0)
    action = playback.action_at(10 * MS)
    assert action is not None and action.twist[0] == pytest.approx(1.0)
    assert playback.action_at(5_010 * MS) is None


@pytest.mark.parametrize('bad', [
    chunk([[1, 1]] * 2), chunk([[1, 1, 1]] * 3), chunk([[np.nan, 1]] * 3),
    chunk([[1, np.inf]] * 3), chunk([[1, 1]] * 3, ('neck_yaw', 'base/linear_x'))])
def test_a_chunk_that_does_not_fit_is_refused_whole(bad: RobotChunk) -> None:
    playback = ChunkPlayback(SPEC)
    with pytest.raises(ValueError):
        playback.add(bad, 0)
    assert playback.action_at(0) is None


@pytest.mark.parametrize('bad', [
    None, [[1.0, 1.0]] * 3, {'actions': 1},
    *(replace(chunk([[1, 1]] * 3), **change) for change in (
        {'actions': None}, {'actions': [[1.0, 1.0]] * 3}, {'actions': np.full((3, 2), None)},
        {'actions': np.full((3, 2), 'x')}, {'actions': np.ones((3, 2), np.complex64)},
        {'actions': np.array([[1, None], [1, 1], [1, 1]])}, {'actions': np.ones((3, 2), bool)},
        {'dt_s': None}, {'dt_s': '0.1'}, {'dt_s': float('inf')}, {'dt_s': float('nan')},
        {'confidence': None}, {'confidence': 'high'}, {'confidence': np.ones(2)},
        {'progress': None}, {'progress': [0.5]},
        {'channels': None}, {'channels': list(SPEC.channels)},
        {'channels': np.array(SPEC.channels)}))], ids=str)
def test_what_is_no_chunk_is_refused_like_one_that_does_not_fit(bad: Any) -> None:
    """Regression: a TypeError or AttributeError of it ended the controller."""
    playback = ChunkPlayback(SPEC)
    with pytest.raises(ValueError, match='chunk'):
        playback.add(bad, 0)
    assert playback.action_at(0) is None


@pytest.mark.parametrize('dt_s', [0.05, 0.2, 0.1001, 1, np.float32(0.05)])
def test_a_chunk_with_another_step_than_announced_is_refused(dt_s: Any) -> None:
    """Regression: its rows were played at its own step, too fast or too slow, without a word."""
    playback = ChunkPlayback(SPEC)
    with pytest.raises(ValueError, match=r'dt_s .*announced 0\.1'):
        playback.add(replace(chunk([[1, 1]] * 3), dt_s=dt_s), 0)
    assert playback.action_at(0) is None
    playback.add(replace(chunk([[1, 1]] * 3), dt_s=np.float32(0.1)), 0)
    assert playback.action_at(0) is not None


@pytest.mark.parametrize('kind', [np.float16, np.float64, np.int8])
def test_any_real_numbers_will_do(kind: type) -> None:
    playback = ChunkPlayback(SPEC)
    playback.add(replace(chunk([]), actions=np.ones((3, 2), kind), confidence=np.float32(0.5),
                         progress=1), 0)
    action = playback.action_at(0)
    assert action is not None and action.joints == {'neck_yaw': 1.0}


def test_a_chunk_that_ends_too_soon_holds_its_last_row_until_the_next_may_come() -> None:
    """A policy that gives one action at a time would stand between two answers."""
    slow = replace(SPEC, horizon=1, dt_s=0.3, rate_hz=3.0, latency_s=0.3)
    playback = ChunkPlayback(slow)
    playback.add(replace(chunk([[1, 1]]), dt_s=0.3), 0)
    for stamp_ns, there in ((299, True), (500, True), (729, True), (740, False)):
        assert (playback.action_at(stamp_ns * MS) is not None) == there, stamp_ns
    playback.add(replace(chunk([[3, 1]]), dt_s=0.3), 330 * MS)
    action = playback.action_at(700 * MS)
    assert action is not None and action.twist[0] == 3.0  # the older one counts no more
