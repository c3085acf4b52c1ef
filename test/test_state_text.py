"""The lines of state topics: what is written is read back, by everybody in the same way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from vla_humanoid_control.state_text import (
    StepNote,
    read_safety,
    read_step,
    read_task,
    safety_line,
    state_of,
    step_reason,
    task_line,
)
from vla_humanoid_control.types import SafetyState, TaskState

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('state', list(SafetyState))
@pytest.mark.parametrize('reason', ['', 'scan: nothing for 0.5 s (twice)'])
def test_a_line_of_safety_is_read_back(state: SafetyState, reason: str) -> None:
    line = safety_line(state, reason)
    assert read_safety(line) == (state, reason)
    assert state_of(line) == state.value


@pytest.mark.parametrize('state', list(TaskState))
@pytest.mark.parametrize('reason', ['', 'retry 1 of 3: the gate (0.4) is closed'])
def test_a_line_of_a_task_is_read_back(state: TaskState, reason: str) -> None:
    line = task_line(state, 'go to the box (red)', reason)
    assert read_task(line, 'go to the box (red)') == (state, reason)
    assert read_task(line, 'wave') is None
    assert state_of(line) == state.value


def test_other_letters_are_another_instruction_unless_case_is_ignored() -> None:
    line = 'FAILED: Wave (not done after 30 s)'
    assert read_task(line, 'wave') is None
    assert read_task(line, 'wave', ignore_case=True) == (TaskState.FAILED, 'not done after 30 s')


@pytest.mark.parametrize('line', ['', 'PANIC: run', 'run'])
def test_what_is_no_state_is_not_read(line: str) -> None:
    assert read_safety(line) is None
    assert read_task(line, 'run') is None


BOTH = 'go to the box (red) and wave'


@pytest.mark.parametrize(('state', 'note', 'line'), [
    ('RUNNING', StepNote(1, 2, 'go to the box', ''), 'step 1 of 2: go to the box'),
    ('HELD', StepNote(1, 2, '', 'the gate (0.4): closed'), 'step 1 of 2: the gate (0.4): closed'),
    ('RETRYING', StepNote(2, 12, '', 'retry 1 of 3: low'), 'step 2 of 12: retry 1 of 3: low'),
    ('FAILED', StepNote(2, 2, 'wave', 'not done after 30 s: STOP: scan, stale'),
     'step 2 of 2, wave: not done after 30 s: STOP: scan, stale')])
def test_a_step_of_several_stands_in_the_reason_and_is_read_back(
        state: str, note: StepNote, line: str) -> None:
    reason = step_reason(TaskState(state), note)
    assert reason == line
    whole = task_line(TaskState(state), BOTH, reason)
    assert whole == f'{state}: {BOTH} ({line})'
    said = read_task(whole, BOTH)
    assert said == (TaskState(state), reason) and read_step(*said) == note


@pytest.mark.parametrize(('state', 'reason'), [
    ('HELD', 'the confidence gate is closed'), ('DONE', ''), ('FAILED', 'not done after 30 s'),
    ('FAILED', 'step 1 of 2: low'), ('HELD', 'step 1 of 2, wave: low'),
    ('RETRYING', 'retry 1 of 3: step 1 of 2: low'), ('HELD', 'step one of 2: low')])
def test_a_reason_that_is_about_no_step_is_none_of_several(state: str, reason: str) -> None:
    assert read_step(TaskState(state), reason) is None


def test_nobody_else_takes_lines_of_state_topics_apart() -> None:
    """Regression: five files parsed these lines, each in a way of its own."""
    names = {s.value for s in (*SafetyState, *TaskState)}
    guilty = []
    for folder in ('vla_humanoid_control', 'benchmarks'):
        for path in sorted((ROOT / folder).rglob('*.py')):
            tree = ast.parse(path.read_text(encoding='utf-8'))
            for node in ast.walk(tree) if path.name not in ('state_text.py', 'types.py') else ():
                if isinstance(node, (ast.Compare, ast.Call, ast.JoinedStr, ast.Tuple)):
                    guilty += [f'{path.relative_to(ROOT)}:{node.lineno} {child.value!r}'
                               for child in ast.iter_child_nodes(node)
                               if isinstance(child, ast.Constant)
                               and isinstance(child.value, str)
                               and child.value.partition(':')[0] in names]
    assert not guilty
