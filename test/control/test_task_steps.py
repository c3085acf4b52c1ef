"""Instructions of several steps in the task state machine, driven by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.plan import Quantity, Step, Unit
from vla_humanoid_control.types import TaskState

WORDS = 'go to the red box, wave and turn left'
STEPS = tuple(Step(text) for text in ('go to the red box', 'wave', 'turn left'))
THREE = Instruction(WORDS, False, steps=STEPS)
STILL = np.zeros(5, np.float32)


def begun(config: TaskConfig | None = None) -> TaskManager:
    task = TaskManager(config or TaskConfig())
    task.command(THREE, 10.0)
    return task


def done(task: TaskManager, now_s: float) -> None:
    """The policy says often enough that it is done, and the gate is open."""
    task.on_gate(True, '', now_s)
    for _ in range(task.config.done_ticks + 1):
        task.on_inference(1.0, STILL, now_s)
        task.on_gate(True, '', now_s)
        if task.is_between or not task.is_active:
            return
    raise AssertionError(task.describe())


def test_each_step_begins_when_the_one_before_is_done() -> None:
    task = begun()
    said = []
    for second in (11.0, 12.0, 13.0):
        assert task.step_index == second - 11.0
        said.append((task.wording, task.describe()))
        done(task, second)
    assert said == [
        ('go to the red box', f'RUNNING: {WORDS} (step 1 of 3: go to the red box)'),
        ('wave', f'RUNNING: {WORDS} (step 2 of 3: wave)'),
        ('turn left', f'RUNNING: {WORDS} (step 3 of 3: turn left)')]
    assert task.describe() == f'DONE: {WORDS}' and task.wording is None and not task.step


def test_a_step_is_a_start_of_its_own() -> None:
    """Way, time and results of the step before say nothing about it."""
    task = begun()
    task.on_gate(True, '', 10.0)
    task.on_inference(0.0, STILL, 10.0)
    before = (task.generation, task.step_id, task.instruction_id)
    assert task.elapsed_s(14.0) == pytest.approx(4.0) and not task.is_between
    done(task, 14.0)
    assert all(new > old for new, old in zip(
        (task.generation, task.step_id, task.instruction_id), before))
    assert task.is_between and task.elapsed_s(14.0) == 0.0
    task.on_gate(True, '', 15.0)
    assert task.elapsed_s(15.0) == 0.0  # the gate was opened by the step before
    task.on_inference(0.0, STILL, 15.0)
    assert not task.is_between and task.elapsed_s(16.0) == pytest.approx(1.0)


def test_a_held_step_says_which_it_is_and_is_retried_in_other_words_of_its_own() -> None:
    task = begun(TaskConfig(hold_timeout_s=1.0, max_retries=2))
    task.on_gate(False, 'low', 10.0)
    task.tick(11.1)
    assert task.describe() == f'RETRYING: {WORDS} (step 1 of 3: retry 1 of 2: ' \
                              'the policy gave no result)'
    assert task.wording == 'walk to the red box'
    done(task, 11.2)
    assert task.attempt == 0 and task.wording == 'wave'
    task.on_inference(0.1, STILL, 11.3)
    task.on_gate(False, 'low', 11.3)
    assert task.describe() == f'HELD: {WORDS} (step 2 of 3: low)'
    for attempt, now_s in ((1, 12.4), (2, 13.5)):
        task.tick(now_s)
        task.on_inference(0.1, STILL, now_s)
        assert task.attempt == attempt and 'wave' in (task.wording or '')
        assert task.describe() == f'RETRYING: {WORDS} (step 2 of 3: retry {attempt} of 2: low)'
    task.tick(14.6)
    assert task.describe() == f'FAILED: {WORDS} (step 2 of 3, wave: low)'
    task.on_gate(True, '', 15.0)
    task.on_inference(1.0, STILL, 15.0)
    task.tick(100.0)
    assert task.state is TaskState.FAILED and task.wording is None  # nothing comes after it


def test_the_time_limit_counts_for_each_step() -> None:
    task = begun(TaskConfig(time_limit_s=30.0))
    done(task, 35.0)
    task.on_inference(0.1, STILL, 36.0)
    task.tick(64.0)
    assert task.is_active
    task.tick(65.1)
    assert task.describe() == f'FAILED: {WORDS} (step 2 of 3, wave: not done after 30 s)'


@pytest.mark.parametrize('fatal', [True, False])
def test_an_error_of_the_policy_is_one_of_the_step(fatal: bool) -> None:
    task = begun(TaskConfig(max_retries=0))
    done(task, 11.0)
    task.on_policy_error('out of memory', fatal, 12.0)
    assert task.describe() == f'FAILED: {WORDS} (step 2 of 3, wave: out of memory)'


def test_a_stop_ends_all_of_it() -> None:
    for said in (Instruction('stop', True), None):
        task = begun()
        done(task, 11.0)
        generation = task.generation
        if said is None:
            task.stop(12.0)
        else:
            task.command(said, 12.0)
        assert task.describe() == ('IDLE' if said is None else 'DONE: stop')
        assert task.wording is None and not task.is_between and task.generation > generation
        task.on_gate(True, '', 12.0)
        for _ in range(20):
            task.on_inference(1.0, STILL, 12.0)
        assert task.wording is None


def test_an_emergency_stop_ends_all_of_it_and_says_where() -> None:
    task = begun()
    done(task, 11.0)
    task.abort('ESTOP: emergency stop (topic)', 12.0)
    assert task.describe() == \
        f'FAILED: {WORDS} (step 2 of 3, wave: ESTOP: emergency stop (topic))'
    assert task.wording is None and not task.is_between


@pytest.mark.parametrize(('said', 'line'), [
    (Instruction('look up', False), 'RUNNING: look up'),
    (Instruction('do not wave', False, 'a negation'), 'FAILED: do not wave (a negation)')])
def test_a_new_or_refused_command_ends_all_of_it(said: Instruction, line: str) -> None:
    task = begun()
    done(task, 11.0)
    task.command(said, 12.0)
    assert task.describe() == line and task.step_index == 0


def test_the_same_words_again_do_not_begin_at_the_first_step() -> None:
    task = begun()
    done(task, 11.0)
    generation = task.generation
    task.command(Instruction(WORDS.upper(), False, steps=STEPS), 12.0)
    assert (task.generation, task.step_index) == (generation, 1)


def test_nothing_begins_where_a_later_step_cannot_be_done() -> None:
    """A robot that does half of what was said and then finds out has done something else."""
    task = TaskManager(TaskConfig(), unreadable=lambda text: 'too long' if 'left' in text else '')
    task.command(THREE, 10.0)
    assert task.describe() == f'FAILED: {WORDS} (step 3 of 3, turn left: too long)'
    assert task.wording is None and task.generation > 0
    unmeasured = Step('wave', Quantity(2.0, Unit.METRES), 'gesture:wave')
    task.command(Instruction('wave two metres', False, steps=(unmeasured,)), 11.0)
    assert task.describe() == 'FAILED: wave two metres (2 m of it cannot be measured)'


def test_the_text_of_the_step_is_what_the_policy_must_be_able_to_read() -> None:
    task = TaskManager(TaskConfig(), unreadable=lambda text: 'too long' * (len(text) > 20))
    task.command(THREE, 10.0)
    assert len(WORDS) > 20 and task.wording == STEPS[0].text


def test_one_step_shows_as_it_always_did() -> None:
    task = TaskManager(TaskConfig())
    task.command(Instruction('please wave', False, steps=(Step('wave'),)), 10.0)
    assert task.describe() == 'RUNNING: please wave' and task.wording == 'wave'
    assert task.step == '1 of 1: wave'
    task.tick(50.0)
    assert task.describe() == \
        'FAILED: please wave (not done after 30 s: the policy gave no result)'
