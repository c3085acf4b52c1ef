"""Ages on the steady clock; stamps that are old, ahead, zero or repeated; frozen inputs."""

from __future__ import annotations

import pytest

from vla_humanoid_control.safety.watchdogs import FrozenCheck, RobotClock, StampLimits, Watchdog

LIMITS = StampLimits(max_age_s=0.5, max_ahead_s=0.1)
S = 1_000_000_000


@pytest.fixture
def clock() -> RobotClock:
    clock = RobotClock()
    clock.set(100 * S)
    return clock


@pytest.fixture
def dog() -> Watchdog:
    return Watchdog('scan', 0.5)


def test_missing_until_the_first_reading(dog: Watchdog, clock: RobotClock) -> None:
    assert dog.stale(0.0) == 'scan missing'
    assert dog.offer(100 * S, clock, LIMITS, 0.0) == ''
    assert dog.stale(0.0) == ''


def test_stale_right_after_the_timeout(dog: Watchdog, clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    assert dog.stale(10.5) == ''
    assert dog.stale(10.51).startswith('scan stale for 0.51 s')


def test_a_proposal_is_as_old_as_its_frame(clock: RobotClock) -> None:
    dog = Watchdog('proposal', 0.4, from_stamp=True)
    dog.offer(100 * S - S // 4, clock, LIMITS, 10.0)
    assert dog.stale(10.14) == ''
    assert dog.stale(10.16).startswith('proposal stale for 0.41 s')


def test_a_stamp_ahead_lengthens_nothing(clock: RobotClock) -> None:
    dog = Watchdog('proposal', 0.4, from_stamp=True)
    assert dog.offer(100 * S + S // 20, clock, LIMITS, 10.0) == ''
    assert dog.stale(10.41)


@pytest.mark.parametrize(('stamp_s', 'reason'), [
    (98, 'stamp is 2.00 s old'), (110, 'stamp is 10.00 s ahead'), (0, 'stamp is zero'),
    (-1, 'stamp is negative'), (1_800_000_000, 'stamp counts from another beginning than the '
     'clock: set use_sim_time in all nodes or in none')])
def test_a_bad_stamp_does_not_extend_the_deadline(dog: Watchdog, clock: RobotClock, stamp_s: int,
                                                  reason: str) -> None:
    dog.offer(100 * S - 1, clock, LIMITS, 10.0)
    assert dog.offer(stamp_s * S, clock, LIMITS, 10.4) == reason
    assert dog.rejected == 1
    assert reason in dog.stale(10.6)


def test_a_repeated_stamp_does_not_extend_the_deadline(dog: Watchdog, clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    assert dog.offer(100 * S, clock, LIMITS, 10.4) == 'stamp does not advance'
    assert dog.stale(10.6)


def test_a_jump_back_of_the_clock_keeps_the_input_alive(dog: Watchdog, clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    clock.set(95 * S)
    assert dog.offer(95 * S, clock, LIMITS, 10.1) == ''
    assert dog.age_s(10.1) == 0.0


def test_a_small_jump_back_of_the_clock_keeps_the_input_alive(dog: Watchdog,
                                                              clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    clock.set(99 * S + S // 2)
    assert dog.offer(99 * S + S // 2, clock, LIMITS, 10.1) == ''


def test_a_clock_that_wavers_makes_no_old_stamp_new(dog: Watchdog, clock: RobotClock) -> None:
    """A paused clock with two publishers, say: stamps halt, and the clock steps back and forth."""
    assert dog.offer(100 * S, clock, LIMITS, 10.0) == ''
    for k in range(10):
        clock.set(100 * S - (k % 2) * S // 100)
        assert dog.offer(100 * S, clock, LIMITS, 10.1) == 'stamp does not advance'
    assert dog.stale(10.6)


def test_old_stamps_by_turns_extend_nothing(dog: Watchdog, clock: RobotClock) -> None:
    patient = StampLimits(max_age_s=5.0, max_ahead_s=0.1)
    assert dog.offer(100 * S, clock, patient, 10.0) == ''
    assert dog.offer(98 * S, clock, patient, 10.1) == 'stamp does not advance'
    assert dog.offer(100 * S, clock, patient, 10.2) == 'stamp does not advance'


def test_a_jump_ahead_of_the_clock_trusts_nothing_older(dog: Watchdog, clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    clock.set(3700 * S)
    assert dog.offer(100 * S + 1, clock, LIMITS, 10.1) == 'stamp is 3600.00 s old'
    assert dog.offer(3700 * S, clock, LIMITS, 10.2) == ''


def test_without_a_clock_a_jump_of_stamps_is_accepted_and_old_ones_are_not(dog: Watchdog) -> None:
    unknown = RobotClock()
    assert dog.offer(100 * S, unknown, LIMITS, 0.0) == ''
    assert dog.offer(95 * S, unknown, LIMITS, 0.1) == ''
    assert dog.offer(95 * S - S // 2, unknown, LIMITS, 0.2) == 'stamp does not advance'


def test_steady_clock_going_back_never_extends_trust(dog: Watchdog, clock: RobotClock) -> None:
    dog.offer(100 * S, clock, LIMITS, 10.0)
    assert dog.age_s(5.0) == 0.0


def offer(check: FrozenCheck, content: str, way: float, now_s: float,
          at_rest_too: bool = False) -> bool:
    check.offer(content, way, at_rest_too, 0.5, now_s)
    return check.frozen


def test_frozen_while_moving() -> None:
    check = FrozenCheck(0.02)
    assert not offer(check, 'same', 0.0, 0.0)
    assert not offer(check, 'same', 0.1, 0.1)
    assert not offer(check, 'same', 0.5, 0.5)
    assert offer(check, 'same', 0.6, 0.7)


def test_not_frozen_at_rest_unless_asked() -> None:
    check = FrozenCheck(0.02)
    assert not any(offer(check, 'same', 0.0, 0.1 * k) for k in range(100))
    strict = FrozenCheck(0.02)
    assert any(offer(strict, 'same', 0.0, 0.1 * k, at_rest_too=True) for k in range(10))


def test_only_a_different_reading_thaws() -> None:
    """The stop that a frozen input causes must not clear it."""
    check = FrozenCheck(0.02)
    offer(check, 'same', 0.0, 0.0)
    offer(check, 'same', 0.1, 0.1)
    assert offer(check, 'same', 0.1, 0.7)
    assert offer(check, 'same', 0.1, 100.0)
    assert not offer(check, 'other', 0.1, 100.1)
