"""A planner beside the control loop: it is asked about words that found no place, and waited for.

    Controller.on_command ─► Planning.ask ─► a request ─► PlanWorker ─► a planner
               ▲                                              │
               └──────────── Planning.take ◄── an answer ─────┘
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.planned import PlanQuestion, plan_question
from vla_humanoid_control.support.worker_thread import WorkerThread

Planner = Callable[[PlanQuestion], 'Instruction | str']
"""Gives what is to be done, checked by `planned`, or why nothing is. May take its time."""


@dataclass(frozen=True)
class PlanRequest:
    """A question, with the number that its answer comes back with."""

    number: int
    question: PlanQuestion


@dataclass(frozen=True)
class PlanAnswer:
    """What a planner made of a question: what is to be done, or why nothing is."""

    number: int
    result: Instruction | str


class Planning:
    """What a planner was asked, and whether it is still waited for.

    Args:
        timeout_s: How long; None where there is no planner [s].

    Attributes:
        question: What is waited for; None where nothing is.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.question: PlanQuestion | None = None
        self._timeout_s = timeout_s
        self._number = 0
        self._why = ''  # the instruction is held as it was said
        self._asked_s = 0.0
        self._request: PlanRequest | None = None

    def ask(self, question: PlanQuestion | None, why: str, now_s: float) -> bool:
        """Ask about an instruction, unless nobody plans, or it is none of a planner's business.

        Args:
            question: See `question_about`.
            why: Why the instruction is held as it was said; '' where it is not.
            now_s: Steady clock [s].
        """
        self.forget()
        if question is None or not why:
            return False
        self._number += 1
        self.question, self._why, self._asked_s = question, why, now_s
        self._request = PlanRequest(self._number, question)
        return True

    def question_about(self, instruction: Instruction, before: Sequence[Step], sees: bool
                       ) -> PlanQuestion | None:
        """What to ask about an instruction, see `plan_question`; None where nobody plans."""
        return None if self._timeout_s is None else plan_question(instruction, before, sees)

    def forget(self) -> None:
        """Wait no more: an answer that still comes is not heard."""
        self.question = self._request = None

    def take_request(self) -> PlanRequest | None:
        """What a planner is to be asked now; None where nothing new."""
        request, self._request = self._request, None
        return request

    def take(self, answer: PlanAnswer) -> Instruction | str | None:
        """What comes of an answer: what is to be done, or why nothing; None of an old one."""
        if self.question is None or answer.number != self._number:
            return None
        self.forget()
        return f'{self._why}; {answer.result}' if isinstance(answer.result, str) \
            else answer.result

    def late(self, now_s: float) -> str:
        """Why it is waited no longer; '' where it is."""
        if self.question is None or self._timeout_s is None \
                or now_s - self._asked_s <= self._timeout_s:
            return ''
        return f'{self._why}; the planner did not answer within {self._timeout_s:g} s'


class PlanWorker(WorkerThread[PlanRequest, PlanAnswer]):
    """Asks a planner in a thread of its own, one question at a time; a newer one goes before.

    Args:
        planner: Called by the worker's thread alone.
        on_answer: Called from that thread when `take` has something to give.
    """

    def __init__(self, planner: Planner, on_answer: Callable[[], None]) -> None:
        self._planner = planner
        super().__init__(self._ask, on_answer, 'planner')

    def close(self, timeout_s: float = 0.0) -> None:
        """Ask no more; a question that is under way is left behind."""
        super().close(timeout_s)

    def _ask(self, request: PlanRequest) -> PlanAnswer:
        try:
            result = self._planner(request.question)
        except Exception as error:
            result = f'the planner failed: {type(error).__name__}: {error}'[:200]
        return PlanAnswer(request.number, result)
