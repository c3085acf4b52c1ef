"""Joint states that come in parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.perception.joints import JointStateMerger, joints_problem
from vla_humanoid_control.types import JointReading

ARMS, HEAD = ('left_elbow', 'right_elbow'), ('neck',)
NAMES = (*ARMS, *HEAD)
SECOND_NS = 10**9


def reading(stamp_ns: int, names: tuple[str, ...], value: float = 0.1, **velocities: float
            ) -> JointReading:
    return JointReading(stamp_ns, dict.fromkeys(names, value), velocities)


def test_drivers_with_other_stamps_and_rates_make_one_reading() -> None:
    """Regression: a reading that lacked a joint was refused, and so was one whose stamp was
    behind that of the other driver's."""
    merger = JointStateMerger(NAMES)
    now_s = 100.0
    for tick in range(20):
        now_s += 0.01
        stamp_ns = int(now_s * 1e9)
        assert not merger.take(reading(stamp_ns, ARMS, 0.1 * tick), now_s)
        if tick % 4 == 0:  # slower, and always 30 ms behind
            assert not merger.take(reading(stamp_ns - 30_000_000, HEAD, -0.1 * tick), now_s)
        assert merger.is_whole
    whole = merger.reading()
    assert whole is not None
    assert whole.positions == pytest.approx({'left_elbow': 1.9, 'right_elbow': 1.9, 'neck': -1.6})
    assert whole.stamp_ns == int((100.0 + 0.17) * 1e9) - 30_000_000
    assert merger.age_s(now_s) == pytest.approx(0.03)


def test_before_every_joint_was_heard_there_is_no_whole_reading() -> None:
    merger = JointStateMerger(NAMES)
    assert merger.reading() is None and not merger.is_whole
    assert merger.age_s(5.0) == math.inf
    assert merger.problem(5.0, 0.2) == 'left_elbow, right_elbow, neck never heard'
    merger.take(reading(1, ARMS), 5.0)
    assert merger.reading() is None
    assert merger.problem(5.0, 0.2) == 'neck never heard'
    merger.take(reading(1, HEAD), 5.0)
    assert merger.reading() is not None and not merger.problem(5.0, 0.2)


def test_each_joint_has_its_own_age() -> None:
    merger = JointStateMerger(NAMES)
    merger.take(reading(1, NAMES), 5.0)
    merger.take(reading(2, ('right_elbow', 'neck')), 5.4)
    assert merger.age_s(5.4) == pytest.approx(0.4)
    assert merger.problem(5.4, 0.2) == 'left_elbow not heard for 0.40 s'
    merger.take(reading(3, ARMS), 5.5)
    assert merger.problem(5.5, 0.2) == ''


def test_of_many_silent_joints_some_are_named() -> None:
    names = tuple(f'joint_{n}' for n in range(30))
    assert JointStateMerger(names).problem(1.0, 0.2) == \
        'joint_0, joint_1, joint_2 and 27 more joints never heard'


def test_stamps_must_advance_for_each_joint() -> None:
    """Two publishers of the same joint: the later reading counts, in whatever order they come."""
    merger = JointStateMerger(NAMES)
    merger.take(reading(5 * SECOND_NS, NAMES, 0.1), 5.0)
    assert merger.take(reading(5 * SECOND_NS, NAMES, 0.2), 5.1) == 'stamp does not advance'
    assert merger.take(reading(5 * SECOND_NS - 1, ARMS, 0.2), 5.1) == 'stamp does not advance'
    merger.take(reading(5 * SECOND_NS + 1, HEAD, 0.3), 5.1)
    # Newer for the arms alone.
    late = JointReading(5 * SECOND_NS + 1, dict(zip(NAMES, (1.0, 2.0, 3.0))))
    assert merger.take(late, 5.2) == ''
    assert merger.positions.tolist() == [1.0, 2.0, 0.3]
    assert merger.age_s(5.2) == pytest.approx(0.1)


def test_after_a_jump_of_the_clock_the_order_begins_anew() -> None:
    merger = JointStateMerger(NAMES)
    merger.take(reading(50 * SECOND_NS, NAMES, 0.1), 5.0)
    back_ns = 49 * SECOND_NS + 500_000_000
    assert merger.take(reading(back_ns, NAMES), 5.1) == 'stamp does not advance'
    # The robot's clock is known to have gone back.
    assert not merger.take(reading(back_ns, NAMES, 0.2), 5.1, latest_ns=back_ns + 100_000_000)
    # Nothing is known of the clock, but this is more than a reading that came late.
    assert not merger.take(reading(3 * SECOND_NS, NAMES, 0.3), 5.2)
    assert merger.positions.tolist() == [0.3] * 3


def test_what_joints_of_others_say_is_ignored() -> None:
    """Regression: NaN for the velocity of a wheel made every reading unusable."""
    merger = JointStateMerger(NAMES)
    wheels = {'wheel': math.nan, 'castor': math.inf}
    assert not merger.take(JointReading(1, {**wheels, **dict.fromkeys(NAMES, 0.1)},
                                        {**wheels, 'neck': 0.5}), 5.0)
    whole = merger.reading()
    assert whole == JointReading(1, dict.fromkeys(NAMES, 0.1), {'neck': 0.5})
    assert not merger.take(JointReading(2, wheels, wheels), 6.0)
    assert merger.age_s(6.0) == pytest.approx(1.0)


@pytest.mark.parametrize('velocity', [math.nan, math.inf])
def test_a_joint_without_velocity_has_none(velocity: float) -> None:
    """Regression: as ros2_control writes it, NaN, it made the whole reading unusable."""
    merger = JointStateMerger(NAMES)
    merger.take(reading(1, NAMES, neck=0.5, left_elbow=0.5), 5.0)
    assert not merger.take(reading(2, NAMES, neck=velocity, right_elbow=0.2), 5.0)
    whole = merger.reading()
    assert whole is not None and whole.velocities == {'right_elbow': 0.2}


@pytest.mark.parametrize('position', [math.nan, math.inf, -math.inf])
def test_an_own_position_that_is_not_finite_spoils_the_reading(position: float) -> None:
    merger = JointStateMerger(NAMES)
    merger.take(reading(1, NAMES, 0.1), 5.0)
    spoilt = JointReading(2, {'neck': 0.2, 'left_elbow': position})
    assert 'left_elbow is not finite' in merger.take(spoilt, 5.1)
    assert 'left_elbow is not finite' in joints_problem(spoilt, NAMES)
    assert merger.positions.tolist() == [0.1] * 3
    assert merger.age_s(5.1) == pytest.approx(0.1)


def test_any_order_of_parts_gives_what_was_said_last_of_each_joint() -> None:
    random = np.random.default_rng(0)
    merger, last = JointStateMerger(NAMES), {}
    for stamp_ns in range(1, 500):
        names = [str(n) for n in random.permutation([*NAMES, 'wheel'])[:random.integers(1, 5)]]
        values = {n: float(random.normal()) for n in names}
        assert not merger.take(JointReading(stamp_ns, values), 0.01 * stamp_ns)
        last.update(values)
    last.pop('wheel')
    whole = merger.reading()
    assert whole is not None and whole.positions == last
