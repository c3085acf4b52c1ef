"""How much of a motion was asked for and is done: two metres forward, ninety degrees left."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.language.plan import Quantity, Step, Unit
from vla_humanoid_control.tasks.vocabulary import MOVES, TURN_RAD

SHARE, LEAST_M, WITHIN_RAD = 0.15, 0.05, math.radians(10)
"""A way is right within this share of it or this many metres, a turn within this angle."""
AXES = {**{f'move:{name}': (x, y, 0.0) for name, (x, y) in MOVES.items()},
        **{f'turn:{name}': (0.0, 0.0, math.copysign(1.0, TURN_RAD[name]))
           for name in ('left', 'right')}}
"""Task key to the direction in which a way [x, y, yaw] counts; a turn around has none."""

_WORTH, _WORTH_A_STEP = 1 / 3, 1.0
# Of what is allowed: what is left beyond that is worth another beginning, of a base that slides
# and of one that takes steps, which makes no smaller way.
_PAST_M = 0.01  # a base aims so far past the value: who says half a metre means no less
_STAND_S = 0.3  # over which a base that stands does not move
_STILL = {Unit.METRES: 0.01, Unit.RADIANS: math.radians(1)}  # what is no move
_LONGEST_S = 2.0  # a base that sways stands this long after its last command


@dataclass(frozen=True)
class Way:
    """How far the base has come in a step, and how far it goes on where it is stopped now.

    Attributes:
        travelled: float64 [3], x, y [m], yaw [rad, unwrapped], in the frame of the base at the
            moment in which the step began.
        ahead: float64 [3], the same of the way to rest; 0 where the base is told to stand.
    """

    travelled: NDArray[np.float64]
    ahead: NDArray[np.float64]


def quantity_problem(step: Step) -> str:
    """Why the quantity of a step cannot be measured; '' where it can, or there is none."""
    if step.quantity is None:
        return ''
    unit = Unit.RADIANS if step.key.startswith('turn:') else Unit.METRES
    if step.key in AXES and step.quantity.unit is unit and 0 < step.quantity.value < math.inf:
        return ''
    return f'{step.quantity.value:g} {step.quantity.unit.value} of it cannot be measured'


def tolerance(quantity: Quantity) -> float:
    """By how much what is done may differ from what was asked [m; rad]."""
    allowed = max(SHARE * quantity.value, LEAST_M) if quantity.unit is Unit.METRES else WITHIN_RAD
    return min(allowed, quantity.value / 2)  # standing still is never right


class QuantityWatch:
    """Measures a step with a quantity, over as many beginnings as the policy needs for it.

    Args:
        step: One without a `quantity_problem`.
        walks: Whether the base takes steps.

    Raises:
        ValueError: The step has no quantity.

    Attributes:
        done: How much is done [m; rad].
    """

    def __init__(self, step: Step, walks: bool = False) -> None:
        if step.quantity is None:
            raise ValueError(f'{step.text!r} has no quantity')
        self._quantity, self._axis = step.quantity, np.array(AXES[step.key])
        self._worth = _WORTH_A_STEP if walks else _WORTH
        self.done = self._ahead = 0.0
        self._begun = 0.0  # what was done when the words were begun last
        self._recent: deque[tuple[float, float]] = deque()
        self._told_s: float | None = None  # when the base was first told to stand

    @property
    def left(self) -> float:
        """How much is left to do, below 0 where it is too much already [m; rad]."""
        return self._quantity.value - self.done

    @property
    def is_reached(self) -> bool:
        """Whether a base that is stopped now comes to rest where it should."""
        past = _PAST_M if self._quantity.unit is Unit.METRES else 0.0
        return self._ahead >= self.left + past

    @property
    def wants_more(self) -> bool:
        """Whether another beginning is worth it, and the last one got the base on."""
        moved, was_left = self.done - self._begun, self._quantity.value - self._begun
        return (self.left > self._worth * tolerance(self._quantity)
                and moved >= min(tolerance(self._quantity), was_left) / 2)

    @property
    def problem(self) -> str:
        """Why what is done is not what was asked, such as 'went 1.2 m of 2 m'; '' if it is."""
        return '' if abs(self.left) <= tolerance(self._quantity) else str(self)

    def __str__(self) -> str:
        value = self._quantity.value
        if self._quantity.unit is Unit.METRES:
            return f'went {round(self.done, 2) + 0:g} m of {round(value, 2):g} m'
        return f'turned {math.degrees(self.done):.0f} of {round(math.degrees(value), 1):g} degrees'

    def begin(self) -> None:
        """The words are begun anew: what is done stays."""
        self._begun = self.done
        self.brake()

    def brake(self) -> None:
        """The base is stopped: whether it stands is seen from here on."""
        self._recent.clear()
        self._told_s = None

    def take(self, way: Way, now_s: float) -> None:
        """The base has moved, or has not."""
        self.done = float(self._axis @ way.travelled)
        self._ahead = float(self._axis @ way.ahead)
        if way.ahead.any():
            self.brake()
            return
        self._told_s = now_s if self._told_s is None else self._told_s
        self._recent.append((now_s, self.done))
        while len(self._recent) > 1 and self._recent[1][0] <= now_s - _STAND_S:
            self._recent.popleft()

    @property
    def stands(self) -> bool:
        """Whether the base has come to rest."""
        if self._told_s is None:
            return False
        (first_s, _), (last_s, _) = self._recent[0], self._recent[-1]
        if last_s - self._told_s >= _LONGEST_S:
            return True
        ways = [done for _, done in self._recent]
        return last_s - first_s >= _STAND_S \
            and max(ways) - min(ways) <= _STILL[self._quantity.unit]
