"""Were several things done one after the other, in their order? Pure, told by whoever watches."""

from __future__ import annotations

from collections.abc import Sequence

from vla_humanoid_control.tasks.task import Task


class StepOrder:
    """Follows which of several tasks a robot is at.

    Args:
        parts: What is to be achieved one after the other; see `Task.parts`.

    Attributes:
        step: Index of the one that the robot is at.
        problem: What went wrong first; empty so far.
    """

    def __init__(self, parts: Sequence[Task]) -> None:
        self.step = 0
        self.problem = ''
        self._parts = tuple(parts)

    @property
    def present(self) -> Task:
        """What the robot is to achieve now."""
        return self._parts[self.step]

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        return self.step == len(self._parts) - 1

    @property
    def place(self) -> str:
        """For example 'step 2 of 3 (turn:left)'; empty where there is one thing to do."""
        count = len(self._parts)
        return f'step {self.step + 1} of {count} ({self.present.key})' if count > 1 else ''

    def go_on(self, step: int, achieved: bool, measured: str = '') -> bool:
        """The robot is at another step from now on.

        Args:
            step: Its index.
            achieved: Whether the one that it leaves is achieved.
            measured: How much of it was done, for the problem.

        Returns:
            Whether it is the next one, and all before it were achieved.
        """
        if self.problem:
            return False
        if not achieved:
            self.problem = f'{self.place} was not achieved when the robot went on' \
                           + _after_colon(measured)
        elif step != self.step + 1:
            self.problem = f'from {self.place} the robot went on to step {step + 1}'
        elif self.is_last:
            self.problem = f'the robot went on after {self.place}'
        else:
            self.step = step
        return not self.problem

    def end(self, achieved: bool, measured: str = '') -> str:
        """Why it does not count that the robot declares all of it done now; '' where it does.

        Args:
            achieved: Whether the present one is achieved.
            measured: How much of it was done, for the problem.
        """
        if self.problem:
            return self.problem
        if not self.is_last:
            return f'declared done at {self.place}'
        return '' if achieved else \
            'declared done, but it was not' + _after_colon(self.place) + _after_colon(measured)


def _after_colon(text: str) -> str:
    return f': {text}' if text else ''
