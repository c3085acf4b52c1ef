"""Several tasks in one, and so much of one: keys, mappings, what is refused, their order."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.amount import Amount
from vla_humanoid_control.tasks.order import StepOrder
from vla_humanoid_control.tasks.task import Task, check_keys

BOX = {'task': 'go_to', 'colour': 'red', 'shape': 'box'}
CUP = {'task': 'reach', 'colour': 'red', 'shape': 'cup'}
WAVE = {'task': 'gesture', 'gesture': 'wave'}
LEFT = {'task': 'turn', 'direction': 'left'}
FORWARD = {'task': 'move', 'direction': 'forward'}


def steps(*entries: Any, **others: Any) -> dict[str, Any]:
    return {'task': 'steps', 'steps': list(entries), **others}


def quantity(of: Any, value: Any, unit: Any) -> dict[str, Any]:
    return {'task': 'quantity', 'of': of, 'value': value, 'unit': unit}


@pytest.mark.parametrize(('mapping', 'key', 'parts'), [
    (steps(BOX, WAVE), 'go_to:red:box+gesture:wave', 2),
    (steps(LEFT, {**WAVE, 'value': 3, 'unit': 'times'}, {**FORWARD, 'value': 1.25, 'unit': 'm'}),
     'turn:left+gesture:wave=3times+move:forward=1.25m', 5),
    (quantity(FORWARD, 2.0, 'm'), 'move:forward=2m', 1),
    (quantity(LEFT, 90, 'deg'), 'turn:left=90deg', 1),
    (quantity(WAVE, 2, 'times'), 'gesture:wave=2times', 2)])
def test_keys_and_mappings_round_trip(mapping: dict[str, Any], key: str, parts: int) -> None:
    task = Task.from_mapping(mapping)
    assert (task.key, len(task.parts)) == (key, parts)
    assert Task.from_key(key) == task == Task.from_mapping(task.to_mapping())
    with_others = Task.from_mapping({**mapping, 'distractors': 2})
    assert with_others.distractors == 2
    assert Task.from_mapping(with_others.to_mapping()) == with_others


def test_the_time_limit_is_the_sum_and_grows_with_the_amount() -> None:
    both = Task.from_mapping(steps(BOX, WAVE))
    assert both.time_limit_s == sum(Task.from_mapping(m).time_limit_s for m in (BOX, WAVE))
    waves = Task.from_mapping(quantity(WAVE, 3, 'times'))
    assert waves.time_limit_s == 3 * Task.from_mapping(WAVE).time_limit_s
    short, far = (Task.from_mapping(quantity(FORWARD, v, 'm')).time_limit_s for v in (0.5, 3.0))
    assert Task.from_mapping(FORWARD).time_limit_s == short < far - 10


@pytest.mark.parametrize(('mapping', 'complaint'), [
    (steps(WAVE), 'two steps or more, got 1'),
    ({'task': 'steps'}, 'needs steps, a list'),
    ({'task': 'steps', 'steps': 'wave'}, 'needs steps, a list'),
    (steps(WAVE, 'wave'), r'step 2 must be a mapping'),
    (steps(WAVE, {'task': 'fly'}), r'step 2: Unknown task .fly.'),
    (steps(WAVE, {**BOX, 'colour': 'pink'}), r'step 2: .*colour.*red.*pink'),
    (steps(WAVE, {**BOX, 'seed': 3}), r'step 2: unknown key seed'),
    (steps(WAVE, {'task': 'stop'}), r'step 2: stop can be no step'),
    (steps({'task': 'out_of_scope'}, WAVE), r'step 1: out_of_scope can be no step'),
    (steps(WAVE, steps(WAVE, WAVE)), r'step 2: Unknown task .steps.'),
    (steps(LEFT, CUP), r'step 2: reach begins at the table'),
    (steps(CUP, {**CUP, 'task': 'go_to'}), 'red cup cannot stand on the floor'),
    (steps(*({**CUP, 'colour': c, 'shape': s} for c in ('red', 'blue') for s in
             ('box', 'ball', 'cone'))), 'room for 4 objects in a scene, the steps name 6'),
    (steps(LEFT, {**FORWARD, 'value': 2}), r'step 2: .*measured in m; got unit None'),
    (steps(LEFT, {**BOX, 'value': 2, 'unit': 'm'}), r'step 2: Task go_to has no value and unit'),
    (steps(WAVE, LEFT, distractors=9), 'distractors'),
    ({'task': 'quantity', 'value': 2.0, 'unit': 'm'}, 'of must be a mapping'),
    (quantity(FORWARD, 2.0, 'deg'), "measured in m; got unit 'deg'"),
    (quantity(FORWARD, 2.0, ['m']), 'measured in m'),
    (quantity(FORWARD, 0, 'm'), r'0.1 to 4 m, got 0'),
    (quantity(FORWARD, 500, 'm'), r'0.1 to 4 m, got 500'),
    (quantity(FORWARD, float('nan'), 'm'), r'0.1 to 4 m, got nan'),
    (quantity(FORWARD, True, 'm'), 'got True'),
    (quantity(FORWARD, '2', 'm'), "got '2'"),
    (quantity(WAVE, 1.5, 'times'), r'a whole number, 1 to 10 times, got 1.5'),
    (quantity({**FORWARD, 'value': 1.0, 'unit': 'm'}, 2.0, 'm'), 'of: unknown key value, unit'),
    (quantity({'task': 'stop'}, 2, 'times'), 'stop has no value and unit')])
def test_what_no_robot_can_be_judged_at_is_refused(mapping: dict[str, Any],
                                                   complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Task.from_mapping(mapping)


@pytest.mark.parametrize('key', ['turn:left+', 'move:forward=', 'move:forward=2', 'turn:left=2m',
                                 'move:forward=-1m', 'stop+gesture:wave', 'gesture:wave=0times'])
def test_a_key_of_nonsense_is_refused(key: str) -> None:
    with pytest.raises(UserError):
        Task.from_key(key)


def test_nobody_collects_several_tasks_in_one() -> None:
    with pytest.raises(UserError, match='turn:left=90deg'):
        check_keys(['turn:left=90deg'])


@pytest.mark.parametrize(('amount', 'tolerance'), [
    (Amount(2.0, 'm'), 0.3), (Amount(0.2, 'm'), 0.05), (Amount(0.1, 'm'), 0.05),
    (Amount(90, 'deg'), 10.0), (Amount(15, 'deg'), 7.5), (Amount(3, 'times'), 0.0)])
def test_standing_still_is_within_no_tolerance(amount: Amount, tolerance: float) -> None:
    assert amount.tolerance == pytest.approx(tolerance)
    assert amount.tolerance < amount.value


def order() -> StepOrder:
    return StepOrder([Task.from_key(k) for k in ('turn:left', 'move:forward', 'gesture:wave')])


def test_one_after_the_other() -> None:
    one = order()
    assert one.go_on(1, True) and one.go_on(2, True)
    assert one.present.key == 'gesture:wave'
    assert one.end(False) == 'declared done, but it was not: step 3 of 3 (gesture:wave)'
    assert one.end(True) == ''


@pytest.mark.parametrize(('told', 'says'), [
    ([(1, False), (2, True)], r'step 1 of 3 \(turn:left\) was not achieved when the robot went'),
    ([(2, True)], r'from step 1 of 3 \(turn:left\) the robot went on to step 3'),
    ([(1, True), (0, True)], r'from step 2 of 3 \(move:forward\) the robot went on to step 1'),
    ([(1, True), (2, True), (3, True)], r'the robot went on after step 3 of 3'),
    ([(1, True)], r'declared done at step 2 of 3 \(move:forward\)')])
def test_the_first_thing_that_goes_wrong_is_told(told: list[tuple[int, bool]], says: str) -> None:
    one = order()
    for step, achieved in told:
        one.go_on(step, achieved)
    assert re.match(says, one.end(True))


def test_one_thing_has_no_place() -> None:
    one = StepOrder([Task.from_key('turn:left=90deg')])
    assert one.end(False, 'turned 70 degrees to the left') \
        == 'declared done, but it was not: turned 70 degrees to the left'
