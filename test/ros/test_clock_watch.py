"""What a node says of its clock."""

from __future__ import annotations

import pytest

from vla_humanoid_control.ros.clock_watch import ClockWatch


def look(times_s: list[tuple[float, float]], simulated: bool, has_publisher: bool = True) -> str:
    """What it says in the end, of (clock, steady clock)."""
    watch, said = ClockWatch(), ''
    for now_s, steady_s in times_s:
        said = watch.problem(int(now_s * 1e9), steady_s, simulated, has_publisher)
    return said


@pytest.mark.parametrize(('times', 'simulated', 'words'), [
    ([(1e9, 5.0), (1e9 + 0.1, 5.1)], False, ''),
    ([(1e9, 5.0), (1e9 + 0.3, 5.1)], False, ''),  # put right by a little
    ([(1e9, 5.0), (1e9 + 9.0, 14.0)], False, ''),  # a node that was busy
    ([(1e9, 5.0), (1e9 + 3600.1, 5.1)], False, 'jumped ahead by 3600.0 s'),
    ([(1e9, 5.0), (1e9 - 4.9, 5.1)], False, 'jumped back by 5.0 s'),
    ([(1e9, 5.0), (1e9 - 4.9, 5.1), (1e9 + 0.1, 10.2)], False, ''),  # told for a while
    ([(0.0, 5.0)], True, 'no time has come on /clock yet'),
    ([(0.0, 5.0), (500.0, 5.1)], True, ''),  # it came late, and did not jump
    ([(7.0, 5.0), (7.5, 5.1)], True, ''),  # five times as fast
    ([(7.0, 5.0), (7.01, 5.1)], True, ''),
    ([(7.0, 5.0), (6.0, 5.1)], True, 'jumped back by 1.1 s'),
    ([(7.0, 5.0), (3607.0, 5.1)], True, 'jumped ahead by 3599.9 s'),
    ([(7.0, 5.0), (7.0, 5.5)], True, ''),
    ([(7.0, 5.0), (7.0, 7.5)], True, '/clock stands still')])
def test_in_words(times: list[tuple[float, float]], simulated: bool, words: str) -> None:
    said = look(times, simulated)
    assert words in said and bool(said) == bool(words)


def test_that_nobody_publishes_it_matters_for_simulated_time_alone() -> None:
    times = [(1e9, 5.0), (1e9 + 0.1, 5.1)]
    assert 'nobody publishes /clock' in look(times, simulated=True, has_publisher=False)
    assert look(times, simulated=False, has_publisher=False) == ''
