"""What an utterance asks for: steps, one after the other, each in words that a policy reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vla_humanoid_control.language.relations import Reference

MOST_STEPS = 8
"""More are not taken in one go."""


class Unit(Enum):
    """What a quantity is counted in."""

    METRES = 'm'
    RADIANS = 'rad'


@dataclass(frozen=True)
class Quantity:
    """How much of a motion, measured by the way that the base has come.

    Attributes:
        value: Greater than 0.
        unit: Metres for `move` tasks, radians for `turn` tasks.
    """

    value: float
    unit: Unit


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        text: What the policy is told, in plain English.
        quantity: How much of it; None where the policy knows when it is done.
        key: The task that it was understood as, such as 'move:forward'; '' where it is none of
            `TASK_KEYS`. A step with a quantity has one of the families move and turn; one with a
            reference has its family alone.
        reference: Which object it is about, where that depends on what is in view; None where the
            key says it.
    """

    text: str
    quantity: Quantity | None = None
    key: str = ''
    reference: Reference | None = None
