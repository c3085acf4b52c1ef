"""What counts in an episode, whoever watches it."""

import numpy as np
import pytest

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.evaluation.watching import InterventionCounter, TaskWatch
from vla_humanoid_control.language.intake import parse_command
from vla_humanoid_control.types import SafetyState


@pytest.mark.parametrize(('begin', 'then', 'count'), [
    ('HOLD', 'HOLD RUN HOLD', 0), ('HOLD', 'RUN SLOW SLOW RUN SLOW', 2),
    ('RUN', 'SLOW STOP SLOW RUN', 3), ('RUN', 'STOP ESTOP ESTOP', 2),
    ('SLOW', 'SLOW SLOW RUN', 0), ('STOP', 'STOP SLOW', 1)])
def test_every_change_to_slow_or_stop_counts_once(begin: str, then: str, count: int) -> None:
    """In process, SLOW to STOP was not counted; through the graph it was."""
    counter = InterventionCounter(SafetyState(begin))
    for state in then.split():
        counter.take(SafetyState(state))
    assert counter.count == count


def test_a_task_that_was_over_before_is_not_declared_done() -> None:
    """A controller that does not react left 'DONE: stop' standing, which passed for success."""
    watch = TaskWatch('look left', 'DONE: stop')
    watch.take('DONE: stop')
    assert (watch.line, watch.is_over, watch.is_declared) == ('', False, False)
    watch.take('RUNNING: look left')
    assert watch.is_at_work and not watch.is_over
    watch.take('DONE: look left')
    assert watch.is_over and watch.is_declared and not watch.is_at_work


def test_the_same_words_done_before_are_not_done_again() -> None:
    watch = TaskWatch('wave', 'DONE: wave')
    watch.take('DONE: wave')
    assert not watch.is_declared
    watch.take('RUNNING: wave')
    watch.take('DONE: wave')
    assert watch.is_declared


def test_late_news_of_another_task_is_none_of_this_one() -> None:
    watch = TaskWatch('turn left', 'RUNNING: walk forward')
    for line in ('DONE: walk forward', 'DONE: stop', 'FAILED: turn left around (gave up)', 'IDLE'):
        watch.take(line)
    assert not watch.is_over and not watch.line
    watch.take('FAILED: turn left (emergency stop)')
    assert watch.is_over and not watch.is_declared


def test_retries_are_those_that_the_task_manager_made() -> None:
    task = TaskManager(TaskConfig(hold_timeout_s=2.0, max_retries=3))
    watch = TaskWatch('file my taxes', 'DONE: stop')
    task.command(parse_command('file  my taxes'), 0.0)
    for tick in range(500):
        now_s = 0.02 * tick
        task.on_inference(0.0, np.zeros(3, np.float32), now_s)
        task.on_gate(False, 'confidence 0.05 below 0.60', now_s)
        task.tick(now_s)
        watch.take(task.describe())
    assert watch.is_over and not watch.is_declared
    assert watch.retries == task.attempt == 3


def test_the_step_is_that_of_the_newest_line_about_it() -> None:
    watch = TaskWatch('look up and wave', 'DONE: stop')
    steps = []
    for line in ('RUNNING: look up and wave (step 1 of 2: look up)',
                 'HELD: look up and wave (step 1 of 2: confidence 0.10 below 0.60)',
                 'RUNNING: look up and wave (step 2 of 2: wave)', 'DONE: look up and wave'):
        watch.take(line)
        steps.append(watch.step)
    assert steps == [0, 0, 1, 1]
    assert watch.is_declared and not watch.refused


@pytest.mark.parametrize(('lines', 'refused'), [
    (['FAILED: fly (I do not know that)'], 'I do not know that'),
    (['RUNNING: fly', 'FAILED: fly (confidence 0.10 below 0.60)'], '')])
def test_only_what_never_began_was_refused(lines: list[str], refused: str) -> None:
    watch = TaskWatch('fly', 'DONE: stop')
    for line in lines:
        watch.take(line)
    assert watch.refused == refused
