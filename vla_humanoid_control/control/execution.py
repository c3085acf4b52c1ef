"""Whether what the policy answers is carried out, since when, or why it is not."""

from __future__ import annotations

import re

_FIGURES = re.compile(r'\d+(\.\d+)?')


class Execution:
    """Gate, safety and policy together: only where all of them agree an action reaches the robot.

    Attributes:
        blind: Why the policy cannot be asked now, such as a camera that is missing; empty where it
            can.
        blocked: Why safety lets no action through; empty where it does.
        away: Why the policy does not answer, though it may again; empty where it does.
        has_inferred: Whether this attempt has a result of its own yet.
    """

    def __init__(self) -> None:
        self.blind = self.blocked = self.away = ''
        self.has_inferred = False
        self._gate_open = False
        self._gate_reason = ''
        self._closed_s = 0.0  # since when this attempt waits
        self._elapsed_s = 0.0
        self._acting_s: float | None = None  # since when `_elapsed_s` grows

    @property
    def is_possible(self) -> bool:
        """Whether nothing speaks against acting."""
        # A gate still open from the instruction before says nothing about this one.
        return self._gate_open and self.has_inferred and not self.blocked and not self.away

    @property
    def is_on(self) -> bool:
        """Whether the policy acts."""
        return self._acting_s is not None

    @property
    def reason(self) -> str:
        """Why it does not."""
        if problem := self.blind or self.blocked or self.away:
            return problem
        if not self.has_inferred:
            return 'the policy gave no result'
        return self._gate_reason or 'the confidence gate is closed'

    def elapsed_s(self, now_s: float) -> float:
        """Time for which the policy has acted since the words last began [s]."""
        running = 0.0 if self._acting_s is None else max(0.0, now_s - self._acting_s)
        return self._elapsed_s + running

    def waited_s(self, now_s: float, longest_s: float) -> float:
        """How long the attempt waits; at most `longest_s` where no other wording helps [s]."""
        waited_s = 0.0 if self._acting_s is not None else now_s - self._closed_s
        return min(waited_s, longest_s) if self.blocked or self.away else waited_s

    # ---- what is heard

    def on_senses(self, problem: str) -> None:
        """Why the policy cannot be asked now, or ''; other figures in a reason are no news."""
        if _FIGURES.sub('', problem) != _FIGURES.sub('', self.blind):
            self.blind = problem

    def on_gate(self, is_open: bool, reason: str) -> None:
        """The confidence gate reports itself."""
        self._gate_open, self._gate_reason = is_open, reason

    def on_safety(self, blocked: str, now_s: float) -> None:
        """Safety reports why it lets no action through, or ''."""
        if self.blocked and not blocked:
            self._closed_s = now_s
        self.blocked = blocked

    def on_inference(self, now_s: float) -> None:
        """The policy answers."""
        self.has_inferred = True
        if self.away:
            self.away, self._closed_s = '', now_s

    # ---- what the task does

    def begin_words(self) -> None:
        """Words begin: nothing has been acted on yet."""
        self._acting_s, self._elapsed_s = None, 0.0

    def begin(self, now_s: float) -> None:
        """An attempt begins."""
        self._closed_s = now_s
        self.has_inferred, self.away = False, ''

    def start(self, now_s: float) -> None:
        """The policy acts from now on, if it does not already."""
        if self._acting_s is None:
            self._acting_s = now_s

    def pause(self, now_s: float) -> None:
        """The policy acts no longer."""
        self._elapsed_s = self.elapsed_s(now_s)
        self._acting_s = None
        self._closed_s = now_s
