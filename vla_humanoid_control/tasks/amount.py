"""How much of a task is asked for: metres of a move, degrees of a turn, times of a gesture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_humanoid_control.support.errors import UserError

METRES, DEGREES, TIMES = 'm', 'deg', 'times'
UNITS: Mapping[str, str] = {'move': METRES, 'turn': DEGREES, 'gesture': TIMES}
"""Family to the unit that it is measured in; no other family has amounts."""
LEAST = {METRES: 0.1, DEGREES: 5.0, TIMES: 1.0}
MOST = {METRES: 4.0, DEGREES: 720.0, TIMES: 10.0}
"""More has no room in the simulated room, or takes too long."""

_SHARE, _LEAST_M, _WITHIN_DEG = 0.15, 0.05, 10.0
_TEXT = re.compile(rf'(\d+(?:\.\d+)?)({METRES}|{DEGREES}|{TIMES})')


@dataclass(frozen=True)
class Amount:
    """A quantity with its unit.

    Attributes:
        value: In that unit; a whole number of times.
        unit: One of the values of `UNITS`.
    """

    value: float
    unit: str

    def __str__(self) -> str:
        """For example '2m', as in a task's key."""
        return f'{self.value:.10g}{self.unit}'

    @property
    def tolerance(self) -> float:
        """How far what was done may be off, in the unit; of a way, to each side as well."""
        if self.unit == TIMES:
            return 0.0
        allowed = _WITHIN_DEG if self.unit == DEGREES else max(_LEAST_M, _SHARE * self.value)
        return min(allowed, self.value / 2)  # doing nothing is never right

    @staticmethod
    def of(family: str, value: Any, unit: Any) -> Amount:
        """Check an amount of a task. Raises UserError where that family has none such."""
        if family not in UNITS:
            raise UserError(f'Task {family} has no value and unit: only '
                            f'{", ".join(UNITS)} can be measured.')
        if unit != UNITS[family]:
            raise UserError(f'Task {family} is measured in {UNITS[family]}; got unit {unit!r}.')
        low, high = LEAST[unit], MOST[unit]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or (unit == TIMES and value % 1):
            kind = 'a whole number, ' if unit == TIMES else ''
            raise UserError(f'Task {family}: value must be {kind}{low:g} to {high:g} {unit}, got '
                            f'{value!r}.')
        return Amount(float(value), unit)

    @staticmethod
    def from_text(family: str, text: str) -> Amount:
        """The inverse of `str`. Raises UserError for what is none, and as `of`."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UserError(f'{text!r} is no amount such as 2m, 90deg or 3times.')
        return Amount.of(family, float(match[1]), match[2])
