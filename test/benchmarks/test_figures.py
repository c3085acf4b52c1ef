"""Statistics of the bench: from raw times to figures."""

import numpy as np
import pytest

from benchmarks.figures import first_commands, followed_by, measure_loop, summarise

MS = 1_000_000


def test_percentile_is_a_value_that_occurred() -> None:
    s = summarise([*range(1, 100), 1000])
    assert (s.n, s.median_ms, s.p99_ms, s.worst_ms) == (100, 50.5, 1000.0, 1000.0)
    assert summarise(range(1, 1001)).p99_ms == 991.0


@pytest.mark.parametrize('values', [[], [1.0, float('nan')], [float('inf')]])
def test_nothing_is_no_summary(values: list[float]) -> None:
    with pytest.raises(ValueError):
        summarise(values)


def test_loop_counts_late_ticks() -> None:
    times = [0, 20, 40, 71, 80, 100, 131, 140]  # 31 ms late by more than half a period, twice
    loop = measure_loop([t * MS for t in times], 0.02)
    assert (loop.ticks, loop.missed, loop.longest_ms) == (7, 2, 31.0)
    assert loop.p99_deviation_ms == pytest.approx(11.0)
    assert loop.jitter_ms == pytest.approx(np.diff(times).std())


def test_even_loop_has_no_jitter() -> None:
    loop = measure_loop([i * 20 * MS for i in range(50)], 0.02)
    assert (loop.jitter_ms, loop.missed, loop.p99_deviation_ms) == (0.0, 0, 0.0)


def test_one_tick_is_no_loop() -> None:
    with pytest.raises(ValueError):
        measure_loop([5], 0.02)


def test_first_command_of_each_frame() -> None:
    """A command that left before safety had heard the proposal does not follow from it."""
    trace = np.array([[100, 7, 1], [120, 7, 1], [140, 8, 1], [160, 8, 1], [180, 9, 0]])
    arrivals = np.array([[101, 103], [121, 123], [141, 144], [161, 163], [181, 183]])
    assert first_commands(trace, arrivals).tolist() == [[7, 101, 103], [8, 141, 144]]


def test_lost_command_is_given_by_the_next() -> None:
    trace = np.array([[100, 7, 1], [120, 8, 1], [140, 8, 1]])
    arrivals = np.array([[141, 145], [101, 102]])  # not in order either
    assert first_commands(trace, arrivals).tolist() == [[7, 101, 102], [8, 141, 145]]


def test_arrivals_from_before_the_trace_are_left_out() -> None:
    trace = np.array([[100, 7, 1]])
    assert first_commands(trace, np.array([[50, 51]])).shape == (0, 3)
    assert first_commands(np.zeros((0, 3), np.int64), np.array([[50, 51]])).shape == (0, 3)


def test_followed_by_takes_the_first_message_with_that_stamp() -> None:
    sent = np.array([10 * MS, 20 * MS, 30 * MS])
    messages = np.array([[10 * MS, 25 * MS], [10 * MS, 14 * MS], [30 * MS, 33 * MS]])
    after = followed_by(sent, messages)
    assert after[[0, 2]].tolist() == [4.0, 3.0] and np.isnan(after[1])
