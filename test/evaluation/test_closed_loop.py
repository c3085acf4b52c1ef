"""Several steps and amounts in closed loop: the words are read, carried out, and judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.evaluation.rollout import Rollout
from vla_humanoid_control.evaluation.suite import Episode
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')


@pytest.fixture(scope='module')
def rollout() -> Iterator[Rollout]:
    runner = Rollout(ROBOT, ScriptedRobot(ROBOT))
    yield runner
    runner.close()


@pytest.mark.parametrize(('instruction', 'key'), [
    ('turn left and then look up', 'turn:left+gesture:look_up'),
    ('look left, then walk forward, then raise your right hand',
     'gesture:look_left+move:forward+gesture:raise_right'),
    ('walk forward two metres', 'move:forward=2m'),
    ('turn right 45 degrees', 'turn:right=45deg'),
    ('wave twice', 'gesture:wave=2times'),
    ('turn around, then walk forward 1.5 metres', 'turn:around+move:forward=1.5m')])
def test_what_was_said_is_done_in_order_and_as_much(rollout: Rollout, instruction: str,
                                                    key: str) -> None:
    outcome = rollout.run(Episode('e', instruction, Task.from_key(key), 2))
    assert outcome.success and outcome.declared_done, outcome.reason


@pytest.mark.parametrize(('instruction', 'key', 'says'), [
    ('look up and then turn left', 'turn:left+gesture:look_up', 'step 1 of 2 (turn:left) was'),
    ('turn left and then look down', 'turn:left+gesture:look_up',
     'declared done, but it was not: step 2 of 2 (gesture:look_up)'),
    ('turn left', 'turn:left+gesture:look_up', 'declared done at step 1 of 2 (turn:left)'),
    ('walk forward one metre', 'move:forward=2m', 'declared done, but it was not: moved '),
    ('turn left 120 degrees', 'turn:left=90deg', 'declared done, but it was not: turned '),
    ('wave', 'gesture:wave=2times', 'declared done at step 1 of 2 (gesture:wave)')])
def test_something_else_than_what_was_asked_is_no_success(rollout: Rollout, instruction: str,
                                                          key: str, says: str) -> None:
    outcome = rollout.run(Episode('e', instruction, Task.from_key(key), 2))
    assert outcome.declared_done and not outcome.success
    assert outcome.reason.startswith(says)


def test_a_step_that_the_policy_cannot_do_is_named(rollout: Rollout) -> None:
    outcome = rollout.run(Episode('e', 'turn left and then go to the red box',
                                  Task.from_key('turn:left+go_to:red:box'), 2))
    assert not outcome.success and not outcome.declared_done
    assert outcome.reason.endswith(', at step 2 of 2 (go_to:red:box)')
