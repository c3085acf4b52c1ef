"""What counts in an episode, told from the states that safety and task go through.

One way of counting for episodes in process, which see every control step, and for those through
the node graph, which see what the topics say.
"""

from __future__ import annotations

from vla_humanoid_control.state_text import read_step, read_task
from vla_humanoid_control.types import SafetyState, TaskState

INTERVENTIONS = frozenset({SafetyState.SLOW, SafetyState.STOP, SafetyState.ESTOP})
_OVER = frozenset({TaskState.DONE, TaskState.FAILED})


class InterventionCounter:
    """Counts how often safety goes over to SLOW, STOP or ESTOP, also from one to another of them.

    Args:
        state: The one in which the episode begins, which is nobody's intervention in it.

    Attributes:
        count: How often so far.
    """

    def __init__(self, state: SafetyState) -> None:
        self.count = 0
        self._state = state

    def take(self, state: SafetyState) -> None:
        """Look at the present state; the same one again counts nothing."""
        if state is not self._state and state in INTERVENTIONS:
            self.count += 1
        self._state = state


class TaskWatch:
    """What `/vla/task_state` says of one instruction, and of none that was given before it.

    Args:
        instruction: The words, as `Instruction.text` has them.
        before: The line that stood when they were said. It may end in DONE, and says nothing about
            this instruction, even if its words are the same.

    Attributes:
        line: The newest line about it; empty where the controller has not reacted.
        state: The state in it; IDLE before it.
        retries: How often the instruction was reworded.
        step: Index of the step that the robot is at, of an instruction with several.
        refused: Why it was refused before anything began; empty where it was not.
    """

    def __init__(self, instruction: str, before: str) -> None:
        self.line = ''
        self.state = TaskState.IDLE
        self.retries = 0
        self.step = 0
        self.refused = ''
        self._instruction = instruction
        self._newest = before

    def take(self, line: str) -> None:
        """Look at a line, such as 'RETRYING: wave (retry 1 of 3: ...)'."""
        if line == self._newest:
            return
        self._newest = line
        if (said := read_task(line, self._instruction)) is None:
            return
        if not self.line and said[0] is TaskState.FAILED:
            self.refused = said[1]
        self.line, self.state = line, said[0]
        self.retries += self.state is TaskState.RETRYING
        if (note := read_step(*said)) is not None:
            self.step = note.number - 1

    @property
    def is_at_work(self) -> bool:
        """Whether the policy is to work on it."""
        return self.state.is_active

    @property
    def is_asking(self) -> bool:
        """Whether a question waits for its answer."""
        return self.state is TaskState.ASKING

    @property
    def is_over(self) -> bool:
        """Whether it came to DONE or FAILED."""
        return self.state in _OVER

    @property
    def is_declared(self) -> bool:
        """Whether it was declared done."""
        return self.state is TaskState.DONE
