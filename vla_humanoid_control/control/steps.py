"""The steps of one instruction, of which one is worked on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from vla_humanoid_control.control.gestures import RETURNING, GestureWatch
from vla_humanoid_control.control.quantity import QuantityWatch, quantity_problem
from vla_humanoid_control.language.intake import Instruction, reword
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.references import of_step
from vla_humanoid_control.language.relations import Reference
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.state_text import StepNote, step_reason
from vla_humanoid_control.types import TaskState


def steps_of(instruction: Instruction) -> tuple[Step, ...]:
    """What is to be done for an instruction, one after the other; one step at least."""
    return instruction.steps or (Step(instruction.text),)


def steps_problem(instruction: Instruction, unreadable: Callable[[str], str]) -> str:
    """Why an instruction must not begin: a step cannot be read, or measured; '' where it may."""
    steps = steps_of(instruction)
    for number, step in enumerate(steps, 1):
        # What is about an object in view is told otherwise once that is found.
        unread = '' if step.reference is not None else unreadable(step.text)
        if problem := unread or quantity_problem(step):
            return problem if len(steps) == 1 else step_reason(
                TaskState.FAILED, StepNote(number, len(steps), step.text, problem))
    return ''


def gesture_problem(instruction: Instruction, robot: RobotSpec | None) -> str:
    """Why a gesture cannot be done, or not several times in a row; '' where all can."""
    steps = steps_of(instruction)
    for step in steps:
        family, _, name = step.key.partition(':')
        if robot is not None and family == 'gesture' and not robot.knows(name):
            return f'{robot.name} cannot do this: {step.text!r}'
    for step, following in pairwise(steps):
        if step.key != following.key or not step.key.startswith(RETURNING):
            continue
        if robot is None:
            return f'{step.text!r} more than once cannot be counted'
        try:
            GestureWatch(step.key, robot)
        except ValueError as error:
            return f'{step.text!r} more than once: {error}'
    return ''


class StepSequence:
    """Where an instruction stands in its steps.

    Args:
        instruction: One without a `steps_problem`.
        walks: Whether the base takes steps.

    Attributes:
        steps: All of them.
        index: Of the step that is worked on, from 0 on.
        step: That step.
        quantity: How much of it is done; None where it has no quantity.
    """

    def __init__(self, instruction: Instruction, walks: bool = False) -> None:
        self._instruction, self._walks = instruction, walks
        self.steps = steps_of(instruction)
        self.index = instruction.begin - 1
        self._is_told = len(self.steps) > 1 or instruction.is_planned
        self._waits = False
        self.advance()

    def advance(self) -> bool:
        """Go on to the next step; False where there is none."""
        if self._waits:
            self._waits, self.step = False, self.steps[self.index]
            return True
        if self.index + 1 == len(self.steps):
            return False
        self.index += 1
        self.step = self.steps[self.index]
        self.quantity = None if self.step.quantity is None else \
            QuantityWatch(self.step, self._walks)
        return True

    @property
    def is_repeated(self) -> bool:
        """Whether the present step is a gesture that the step before or after it is, too."""
        around = self.steps[max(self.index - 1, 0):self.index + 2]
        return self.step.key.startswith(RETURNING) and not self._waits \
            and [s.key for s in around].count(self.step.key) > 1

    @property
    def begins_elsewhere(self) -> bool:
        """Whether the present step begins where the same gesture has just ended."""
        return self.is_repeated and self.index > 0 \
            and self.steps[self.index - 1].key == self.step.key

    def precede(self, step: Step) -> None:
        """Something else is to be done before the present step."""
        self._waits, self.step, self.quantity = True, step, None

    def settle(self, step: Step, further: Reference) -> None:
        """The present step's object was found; later steps about the same one know it, too.

        Args:
            step: What to do in its place.
            further: What the later ones are about.
        """
        meant, later = of_step(self.step), self.steps[self.index + 1:]
        self.steps = (*self.steps[:self.index], step,
                      *(_about(s, further) if of_step(s) == meant else s for s in later))
        self.step = step

    def answered(self, said: Instruction, steps: tuple[Step, ...]) -> Instruction:
        """What is left to do where an answer says what the present step is."""
        at = self.index
        return replace(said, steps=(*self.steps[:at], *steps, *self.steps[at + 1:]), begin=at)

    def reworded(self, attempt: int, unreadable: Callable[[str], str]) -> str:
        """The present step in the words of a retry, 1 for the first; see `reword`."""
        return reword(replace(self._instruction, text=self.step.text), attempt, unreadable)

    def reason(self, state: TaskState, reason: str) -> str:
        """A reason as `/vla/task_state` tells it: with the step, if it is not what was said."""
        if not self._is_told or state in (TaskState.IDLE, TaskState.DONE):
            return reason
        return step_reason(state, StepNote(self.index + 1, len(self.steps), self.step.text,
                                           reason))

    def __str__(self) -> str:
        measured = '' if self.quantity is None else f', {self.quantity}'
        return f'{self.index + 1} of {len(self.steps)}: {self.step.text}{measured}'


def _about(step: Step, reference: Reference) -> Step:
    """A step with another reference; where a colour and a shape are all of it, in these words."""
    if step.reference is None and reference.is_plain:
        return step
    said = '' if step.reference is None else step.reference.words
    text = step.text.replace(said, reference.name, 1) if said else step.text
    family = step.key.partition(':')[0]
    if reference.is_plain:
        return Step(text, step.quantity, f'{family}:{reference.colour}:{reference.shape}')
    return Step(text, step.quantity, family, replace(reference, words=''))
