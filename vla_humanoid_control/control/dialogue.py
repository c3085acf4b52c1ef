"""What a person says to a running task: read, answered, put off while latched, or planned."""

from __future__ import annotations

from vla_humanoid_control.control.planning import PlanAnswer, Planning, PlanRequest
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction, Reader, Rejection, check_command
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.planned import PlanQuestion
from vla_humanoid_control.language.reader import warm_up

NEWS_S = 0.3
"""For how long what safety said before a command may still be under way [s]."""


class Dialogue:
    """Between a person's words and the task.

    Args:
        task: What instructions are given to.
        read: What becomes of words before the policy is told anything.
        planner_s: How long it is waited for a planner, which is asked about words that found no
            place; None where nobody plans [s].

    Attributes:
        latched: What safety says while an emergency stop is latched; '' while none is.
        problem: Why the newest command was refused; '' where it was not.
        counts: What happened how often, for diagnostics.
    """

    def __init__(self, task: TaskManager, read: Reader, planner_s: float | None) -> None:
        self.latched = self.problem = ''
        self.counts = dict.fromkeys(('commands', 'commands_rejected'), 0)
        self._task, self._read = task, read
        self._planning = Planning(planner_s)
        self._steps_before: tuple[Step, ...] = ()  # what 'again' and 'the blue one' refer to
        self._waiting: tuple[Instruction, float] | None = None  # command while latched, and when
        self._to_plan: PlanQuestion | None = None  # what a planner can be asked about the newest
        warm_up()  # the first command is to be read as fast as others

    def hear(self, text: str, now_s: float) -> tuple[Instruction | Rejection, bool]:
        """What a command in plain English means, and whether it is to begin now."""
        self.counts['commands'] += 1
        parsed = self._answer(text) or self._read(text, self._steps_before, self._task.sees)
        if isinstance(parsed, Rejection):
            self._count_refused(parsed.reason)
            return parsed, False
        self.problem = ''
        self._to_plan = self._planning.question_about(parsed, self._steps_before, self._task.sees)
        self._steps_before = parsed.steps or self._steps_before
        if self.latched and not parsed.is_stop:
            # Topics have no order among each other: who heard of a reset and speaks at once may be
            # heard here before safety is.
            self._waiting = parsed, now_s
            return parsed, False
        return parsed, True

    def begin(self, instruction: Instruction, now_s: float) -> None:
        """Give it to the task, or have a planner asked first."""
        self._waiting = None
        question, self._to_plan = self._to_plan, None
        if self._planning.ask(question, self._task.problem(instruction), now_s):
            self._task.await_plan(instruction, now_s)
        else:
            self._task.command(instruction, now_s)

    @property
    def put_off(self) -> Instruction | None:
        """What was asked for while latched, and is to begin now that nothing is."""
        return None if self.latched or self._waiting is None else self._waiting[0]

    def forget(self) -> None:
        """Nothing that was said waits any longer."""
        self._waiting = None
        self._planning.forget()

    def take_plan_request(self) -> PlanRequest | None:
        """What a planner is to be asked now; None where nothing new."""
        return self._planning.take_request()

    def on_plan(self, answer: PlanAnswer, now_s: float) -> Instruction | str | None:
        """A planner has answered; gives back what comes of it, as `Planning.take`."""
        asked, result = self._planning.question, self._planning.take(answer)
        if asked is None or not self._task.is_planning:
            return None
        if isinstance(result, Instruction):
            self._steps_before = result.steps
            self._task.command(result, now_s)
        elif result is not None:
            self._task.refuse(asked.instruction, result, now_s)
        return result

    def tick(self, now_s: float) -> None:
        """Refuse what has waited for too long."""
        question = self._planning.question
        if question is not None and (problem := self._planning.late(now_s)):
            self._planning.forget()
            if self._task.is_planning:
                self._task.refuse(question.instruction, problem, now_s)
        # What was asked for while latched, once safety had the time to say otherwise.
        if self._waiting is not None and now_s - self._waiting[1] >= NEWS_S:
            instruction, self._waiting = self._waiting[0], None
            self._count_refused(self.latched)
            self._task.refuse(instruction, f'refused in {self.latched}', now_s)

    def _answer(self, text: str) -> Instruction | None:
        """What was asked for, where a text answers the question that waits."""
        question, said = self._task.question, check_command(text)
        if question is None or isinstance(said, Rejection) or said.is_stop:
            return None
        option = question.answer(said.text)
        return None if option is None else self._task.answered(said, option)

    def _count_refused(self, why: str) -> None:
        self.counts['commands_rejected'] += 1
        self.problem = why
