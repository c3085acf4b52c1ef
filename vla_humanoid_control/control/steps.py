"""The steps of one instruction, of which one is worked on."""

from __future__ import annotations

from collections.abc import Callable

from vla_humanoid_control.control.quantity import QuantityWatch, quantity_problem
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.state_text import StepNote, step_reason
from vla_humanoid_control.types import TaskState


def steps_of(instruction: Instruction) -> tuple[Step, ...]:
    """What is to be done for an instruction, one after the other; one step at least."""
    return instruction.steps or (Step(instruction.text),)


def steps_problem(instruction: Instruction, unreadable: Callable[[str], str]) -> str:
    """Why an instruction must not begin: a step cannot be read, or measured; '' where it may."""
    steps = steps_of(instruction)
    for number, step in enumerate(steps, 1):
        if problem := unreadable(step.text) or quantity_problem(step):
            return problem if len(steps) == 1 else step_reason(
                TaskState.FAILED, StepNote(number, len(steps), step.text, problem))
    return ''


class StepSequence:
    """Where an instruction stands in its steps.

    Args:
        instruction: One without a `steps_problem`.

    Attributes:
        index: Of the step that is worked on, from 0 on.
        step: That step.
        quantity: How much of it is done; None where it has no quantity.
    """

    def __init__(self, instruction: Instruction) -> None:
        self._steps = steps_of(instruction)
        self.index = -1
        self.advance()

    def advance(self) -> bool:
        """Go on to the next step; False where there is none."""
        if self.index + 1 == len(self._steps):
            return False
        self.index += 1
        self.step = self._steps[self.index]
        self.quantity = None if self.step.quantity is None else QuantityWatch(self.step)
        return True

    def reason(self, state: TaskState, reason: str) -> str:
        """A reason as `/vla/task_state` tells it: with the step, where there are several."""
        if len(self._steps) == 1 or state in (TaskState.IDLE, TaskState.DONE):
            return reason
        return step_reason(state, StepNote(self.index + 1, len(self._steps), self.step.text,
                                           reason))

    def __str__(self) -> str:
        measured = '' if self.quantity is None else f', {self.quantity}'
        return f'{self.index + 1} of {len(self._steps)}: {self.step.text}{measured}'
