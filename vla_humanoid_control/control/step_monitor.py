"""Whether the present step is done, by policy, odometry and joints, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.gestures import GestureWatch
from vla_humanoid_control.control.quantity import Way
from vla_humanoid_control.control.rest import DoneWatch, Stillness
from vla_humanoid_control.control.steps import StepSequence
from vla_humanoid_control.robot.spec import RobotSpec


class Phase(Enum):
    """What moves the robot in a step."""

    POLICY = auto()
    BRAKING = auto()
    """Nothing: the base is stopped, and the step is judged when it stands."""
    RETURNING = auto()
    """The controller: it brings the joints back, for the same gesture once more."""


class Transition(Enum):
    """What the task is to do next."""

    NONE = auto()
    RESTART = auto()
    """Begin the words of the present step anew."""
    BRAKE = auto()
    """Stop the base: `Phase.BRAKING`."""
    RETURN = auto()
    """Bring the joints back before the next step begins: `Phase.RETURNING`."""
    NEXT_STEP = auto()
    SUCCEED = auto()
    """No step is left."""
    FAIL = auto()
    """The step was not done; `StepMonitor.problem` says why."""


class StepMonitor:
    """Measures the present step and judges it when it ends.

    A base that would come to rest at the quantity of the step is stopped, and what it has done is
    judged when it stands. Where the policy means 'done' before, the same words begin anew, as long
    as each beginning gets the base on.

    Of a gesture that is to be done several times each one is seen by the joints; before the next
    one they are brought back to where it began.

    Args:
        steps: Of the instruction; advanced where one is done.
        robot: Whose joints show a gesture; without it none is watched.
        stillness: As of `RestWatch`.

    Attributes:
        phase: What moves the robot in the present attempt.
    """

    def __init__(self, steps: StepSequence, robot: RobotSpec | None,
                 stillness: Stillness | None) -> None:
        self.phase = Phase.POLICY
        self._steps, self._robot = steps, robot
        self._done = DoneWatch(stillness)
        self._gesture: GestureWatch | None = None  # of a step that is one of several of its kind

    def begin(self) -> None:
        """The present step begins."""
        self._gesture = GestureWatch(self._steps.step.key, self._robot) \
            if self._robot is not None and self._steps.is_repeated else None

    def begin_attempt(self, phase: Phase) -> None:
        """A start of the present step, a retry, or a phase without the policy begins."""
        self.phase = phase
        self._done.begin()

    def pause(self) -> None:
        """What the policy asks for is not done now."""
        self._done.pause()

    def end(self) -> None:
        """The task ends."""
        self.phase = Phase.POLICY
        self._done.pause()

    def on_inference(self, progress: float, action: NDArray[np.float32], is_acting: bool,
                     config: TaskConfig, now_s: float) -> Transition:
        """The policy gave a result; arguments as of `DoneWatch.take`."""
        is_done = self._done.take(progress, action, is_acting, config, now_s)
        return self._finish() if is_done else Transition.NONE

    def on_way(self, way: Way, now_s: float) -> Transition:
        """The base has come so far since the step began."""
        quantity = self._steps.quantity
        if quantity is None:
            return Transition.NONE
        quantity.take(way, now_s)
        if self.phase is Phase.BRAKING:
            return self._finish() if quantity.stands else Transition.NONE
        return Transition.BRAKE if quantity.is_reached else Transition.NONE

    def on_posture(self, positions: Mapping[str, float]) -> Transition:
        """Joints are there now, by name [rad]."""
        if self._gesture is None:
            return Transition.NONE
        self._gesture.take(positions)
        is_back = self.phase is Phase.RETURNING and self._gesture.is_back
        return Transition.NEXT_STEP if is_back else Transition.NONE

    @property
    def problem(self) -> str:
        """Why what was measured is not what was asked; '' if it is, or nothing is measured."""
        quantity = self._steps.quantity
        if quantity is not None and quantity.problem:
            return quantity.problem
        is_missing = self._gesture is not None and not self._gesture.is_shown
        return 'by the joints it was not done' if is_missing else ''

    @property
    def returns_to(self) -> Mapping[str, float]:
        """Name of each joint that is to be brought back to where it goes [rad]; empty for none."""
        is_returning = self.phase is Phase.RETURNING
        return self._gesture.home if self._gesture is not None and is_returning else {}

    def late_reason(self, limit_s: float, held: str) -> str:
        """Why the step fails at its time limit.

        Args:
            limit_s: The time limit [s].
            held: Why the policy does not act; '' where it does.
        """
        measured = '' if self._steps.quantity is None else f', {self._steps.quantity}'
        cause = {Phase.POLICY: held, Phase.BRAKING: '',
                 Phase.RETURNING: 'the joints did not come back for it'}[self.phase]
        because = f': {cause}' if cause else ''
        return f'not done after {round(limit_s, 1):g} s{measured}{because}'

    def _finish(self) -> Transition:
        """The policy means that the step is done, or the base that was stopped stands."""
        quantity = self._steps.quantity
        if quantity is not None and quantity.wants_more:
            quantity.begin()
            return Transition.RESTART
        if quantity is not None and self.phase is not Phase.BRAKING:
            return Transition.BRAKE
        if self.problem:
            return Transition.FAIL
        if not self._steps.advance():
            return Transition.SUCCEED
        return Transition.RETURN if self._steps.begins_elsewhere else Transition.NEXT_STEP
