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
