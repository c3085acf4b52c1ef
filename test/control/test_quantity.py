"""How much is done of what was asked, as it is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.control.quantity import (
    QuantityWatch,
    Way,
    quantity_problem,
    tolerance,
)
from vla_humanoid_control.language.plan import Quantity, Step, Unit

M, RAD = Unit.METRES, Unit.RADIANS


def step(key: str, value: float) -> Step:
    """A step with a quantity: metres of a move, degrees of a turn."""
    text = key.replace(':', ' ')
    return Step(text, Quantity(value, M) if key.startswith('move')
                else Quantity(math.radians(value), RAD), key)


def way(x: float = 0.0, y: float = 0.0, yaw: float = 0.0,
        ahead: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Way:
    return Way(np.array([x, y, yaw]), np.array(ahead))


@pytest.mark.parametrize(('key', 'pose', 'done'), [
    ('move:forward', (1.2, 0.5, 0.3), 1.2), ('move:backward', (-0.4, 0.1, 0.0), 0.4),
    ('move:left', (0.1, 0.6, 0.0), 0.6), ('move:right', (0.1, -0.6, 0.0), 0.6),
    ('turn:left', (0.1, 0.1, 1.0), 1.0), ('turn:right', (0.0, 0.0, -7.0), 7.0),
    ('move:forward', (-0.3, 0.0, 0.0), -0.3), ('turn:left', (0.0, 0.0, -1.0), -1.0)])
def test_only_the_way_in_the_direction_of_the_task_counts(
        key: str, pose: tuple[float, float, float], done: float) -> None:
    watch = QuantityWatch(step(key, 8.0))
    watch.take(way(*pose), 1.0)
    assert watch.done == pytest.approx(done)


def test_it_is_reached_as_soon_as_a_base_that_is_stopped_would_come_to_rest_there() -> None:
    watch = QuantityWatch(step('move:backward', 1.0))
    watch.take(way(-0.89, ahead=(-0.1, 0.0, 0.0)), 1.0)
    assert not watch.is_reached
    watch.take(way(-0.91, ahead=(-0.1, 0.0, 0.0)), 1.02)
    assert watch.is_reached
    watch.take(way(-0.91, ahead=(0.1, 0.0, 0.0)), 1.04)  # it rolls back
    assert not watch.is_reached


@pytest.mark.parametrize(('key', 'value', 'allowed'), [
    ('move:forward', 2.0, 0.3), ('move:left', 0.2, 0.05), ('move:left', 0.06, 0.03),
    ('turn:left', 90.0, math.radians(10)), ('turn:right', 720.0, math.radians(10)),
    ('turn:right', 10.0, math.radians(5))])
def test_what_may_be_missing_or_too_much(key: str, value: float, allowed: float) -> None:
    asked = step(key, value)
    assert asked.quantity is not None
    assert tolerance(asked.quantity) == pytest.approx(allowed)
    axis = {'move:forward': way(1), 'move:left': way(0, 1), 'turn:left': way(0, 0, 1),
            'turn:right': way(0, 0, -1)}[key].travelled
    for off, is_right in ((-1.02, False), (-0.98, True), (0.98, True), (1.02, False)):
        watch = QuantityWatch(asked)
        watch.take(Way(axis * (asked.quantity.value + off * allowed), np.zeros(3)), 1.0)
        assert (watch.problem == '') is is_right


def test_what_is_wrong_is_said_in_figures() -> None:
    watch = QuantityWatch(step('move:forward', 2.0))
    watch.take(way(1.2), 1.0)
    assert watch.problem == 'went 1.2 m of 2 m'
    watch.take(way(-1e-9), 1.0)
    assert watch.problem == 'went 0 m of 2 m'
    turn = QuantityWatch(step('turn:right', 90.0))
    turn.take(way(yaw=math.radians(-70.4)), 1.0)
    assert turn.problem == 'turned 70 of 90 degrees'


def test_another_beginning_needs_something_left_and_progress_in_the_last() -> None:
    watch = QuantityWatch(step('move:forward', 2.0))
    assert not watch.wants_more  # nothing was done at all
    watch.take(way(0.7), 1.0)
    assert watch.wants_more
    watch.begin()
    assert not watch.wants_more
    watch.take(way(0.72), 2.0)
    assert not watch.wants_more and watch.problem
    watch.take(way(1.4), 2.0)
    assert watch.wants_more
    watch.begin()
    watch.take(way(1.95), 3.0)
    assert not watch.wants_more and not watch.problem


def test_a_small_rest_needs_small_progress() -> None:
    watch = QuantityWatch(step('move:forward', 3.0))
    watch.take(way(2.8), 1.0)
    watch.begin()
    watch.take(way(2.84), 2.0)
    assert not watch.wants_more  # hardly anything of what was left
    watch = QuantityWatch(step('move:forward', 0.2))
    watch.take(way(0.14), 1.0)
    watch.begin()
    watch.take(way(0.175), 2.0)
    assert watch.wants_more


def test_a_base_that_takes_steps_makes_none_for_what_is_allowed() -> None:
    asked = step('move:forward', 1.0)  # within 0.15 m
    for walks, short in ((False, True), (True, False)):
        watch = QuantityWatch(asked, walks)
        watch.take(way(0.9), 1.0)
        assert watch.wants_more is short and not watch.problem
        watch.take(way(0.8), 2.0)
        assert watch.wants_more and watch.problem


def test_a_base_stands_that_is_told_to_and_has_not_moved_for_a_while() -> None:
    watch = QuantityWatch(step('move:forward', 1.0))
    now_s, x = 5.0, 0.9
    for ahead in (0.05, 0.02, 0.0):
        watch.take(way(x, ahead=(ahead, 0.0, 0.0)), now_s)
        assert not watch.stands
        now_s += 0.02
    for _ in range(10):  # it is told to stand, and rolls on
        x += 0.01
        watch.take(way(x), now_s)
        assert not watch.stands
        now_s += 0.04
    watch.take(way(x), now_s + 0.31)
    assert watch.stands
    watch.brake()
    assert not watch.stands


def test_a_base_that_sways_is_not_waited_for_for_ever() -> None:
    watch = QuantityWatch(step('turn:left', 90.0))
    for tick in range(97):
        watch.take(way(yaw=1.5 + 0.05 * (tick % 2)), 5.0 + tick * 0.02)
        assert not watch.stands
    for tick in range(97, 110):
        watch.take(way(yaw=1.5 + 0.05 * (tick % 2)), 5.0 + tick * 0.02)
    assert watch.stands


@pytest.mark.parametrize(('key', 'quantity'), [
    ('turn:around', Quantity(1.0, RAD)), ('gesture:wave', Quantity(1.0, M)),
    ('', Quantity(1.0, M)), ('move:forward', Quantity(1.0, RAD)),
    ('turn:left', Quantity(1.0, M)), ('move:forward', Quantity(0.0, M)),
    ('move:forward', Quantity(math.nan, M)), ('move:forward', Quantity(math.inf, M))])
def test_what_cannot_be_measured_is_no_quantity(key: str, quantity: Quantity) -> None:
    assert 'cannot be measured' in quantity_problem(Step('do it', quantity, key))


def test_what_can_be_measured_has_no_problem() -> None:
    assert not quantity_problem(step('turn:right', 400.0))
    assert not quantity_problem(Step('wave'))
    with pytest.raises(ValueError, match='no quantity'):
        QuantityWatch(Step('wave'))
