"""The lines on state topics, 'STATE: about (reason)': written and read here, for people to read.

    /safety/state      'RUN', 'STOP: joint_states missing'
    /vla/task_state    'IDLE', 'RUNNING: wave', 'FAILED: wave (not done after 30 s)'

Of an instruction with several steps, the reason begins with the one that it is about:

    'RUNNING: go to the red box and wave (step 1 of 2: go to the red box)'
    'HELD: go to the red box and wave (step 1 of 2: the confidence gate is closed)'
    'FAILED: go to the red box and wave (step 2 of 2, wave: not done after 30 s)'
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vla_humanoid_control.types import SafetyState, TaskState

_STEP = re.compile(r'step (\d+) of (\d+)(?:, (.+?))?: (.*)', re.DOTALL)


def safety_line(state: SafetyState, reason: str) -> str:
    """What `/safety/state` says."""
    return f'{state.value}: {reason}' if reason else state.value


def read_safety(line: str) -> tuple[SafetyState, str] | None:
    """State and reason of a line of `/safety/state`; None where it is none."""
    name, _, reason = line.partition(': ')
    return (SafetyState(name), reason) if name in SafetyState.__members__ else None


def state_of(line: str) -> str:
    """Name of the state in a line of either topic, such as 'RUN'; '' where nothing was said."""
    return line.partition(': ')[0]


def task_line(state: TaskState, instruction: str, reason: str) -> str:
    """What `/vla/task_state` says; an idle task has no instruction."""
    line = f'{state.value}: {instruction}' if instruction else state.value
    return f'{line} ({reason})' if reason else line


def read_task(line: str, instruction: str, ignore_case: bool = False
              ) -> tuple[TaskState, str] | None:
    """State and reason of a line of `/vla/task_state` about an instruction; None of another one.

    Only who knows the instruction can tell where it ends and the reason begins.

    Args:
        line: What the topic says.
        instruction: The words, as `Instruction.text` has them.
        ignore_case: Whether the line may have them in other letters.
    """
    name, _, about = line.partition(': ')
    words, reason = about[:len(instruction)], about[len(instruction):]
    is_it = words.casefold() == instruction.casefold() if ignore_case else words == instruction
    if name not in TaskState.__members__ or not is_it:
        return None
    if not reason:
        return TaskState(name), ''
    return (TaskState(name), reason[2:-1]) if reason.startswith(' (') and reason.endswith(')') \
        else None


@dataclass(frozen=True)
class StepNote:
    """What a line says of one of several steps.

    Attributes:
        number: Which step, from 1 on.
        count: How many there are.
        text: What the step asks for; empty where the line does not say so, as in HELD.
        reason: Why it is held, tried again or failed; empty while it runs.
    """

    number: int
    count: int
    text: str
    reason: str


def step_reason(state: TaskState, note: StepNote) -> str:
    """What stands in the place of the reason where there are several steps.

    A step that runs is named; of one that failed, reason and name are told.
    """
    place = f'step {note.number} of {note.count}'
    if state is TaskState.FAILED:
        return f'{place}, {note.text}: {note.reason}'
    return f'{place}: {note.reason or note.text}'


def read_step(state: TaskState, reason: str) -> StepNote | None:
    """The inverse of `step_reason`; None where the reason is not about one of several steps."""
    match = _STEP.fullmatch(reason)
    if match is None:
        return None
    number, count, text, rest = int(match[1]), int(match[2]), match[3] or '', match[4]
    if (state is TaskState.FAILED) != bool(text):
        return None
    return StepNote(number, count, rest, '') if state is TaskState.RUNNING \
        else StepNote(number, count, text, rest)
