"""The lines on state topics, 'STATE: about (reason)': written and read here, for people to read.

    /safety/state      'RUN', 'STOP: joint_states missing'
    /vla/task_state    'IDLE', 'RUNNING: wave', 'FAILED: wave (not done after 30 s)'
"""

from __future__ import annotations

from vla_humanoid_control.types import SafetyState, TaskState


def safety_line(state: SafetyState, reason: str) -> str:
    """What `/safety/state` says."""
    return f'{state.value}: {reason}' if reason else state.value


def read_safety(line: str) -> tuple[SafetyState, str] | None:
    """State and reason of a line of `/safety/state`; None where it is none."""
    name, _, reason = line.partition(': ')
    return (SafetyState(name), reason) if name in SafetyState.__members__ else None


def task_line(state: TaskState, instruction: str, reason: str) -> str:
    """What `/vla/task_state` says; an idle task has no instruction."""
    line = f'{state.value}: {instruction}' if instruction else state.value
    return f'{line} ({reason})' if reason else line


def read_task(line: str, instruction: str) -> tuple[TaskState, str] | None:
    """State and reason of a line of `/vla/task_state` about an instruction; None of another one.

    Only who knows the instruction can tell where it ends and the reason begins.
    """
    name, _, about = line.partition(': ')
    if name not in TaskState.__members__:
        return None
    if about == instruction:
        return TaskState(name), ''
    if about.startswith(f'{instruction} (') and about.endswith(')'):
        return TaskState(name), about[len(instruction) + 2:-1]
    return None
