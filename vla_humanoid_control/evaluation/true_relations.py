"""Which relations hold between objects as a robot sees them: a reckoning of its own.

The suites of words are made by it (`sight_scenes.py`), apart from `language/relations.py`, which
they measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vla_humanoid_control.support.geometry import rotate


@dataclass(frozen=True)
class Thing:
    """An object as the robot could see it: bearing to the left [rad] and distance [m]."""

    colour: str
    shape: str
    bearing: float
    distance: float
    on_table: bool

    @property
    def at(self) -> tuple[float, float]:
        """Ahead and to the left of the base [m]."""
        return self.distance * math.cos(self.bearing), self.distance * math.sin(self.bearing)


Holds = Callable[[Thing, Sequence[Thing]], bool | None]
"""Whether a relation to some anchors holds of a thing for sure; None where that is doubtful."""


def _clear(value: float, yes: float, no: float) -> bool | None:
    """True from `yes` on, False up to `no`, None between."""
    return True if value >= yes else False if value <= no else None


def _deg(this: Thing, other: Thing) -> float:
    return math.degrees(this.bearing - other.bearing)


def _behind(this: Thing, other: Thing) -> bool | None:
    turned = rotate(this.at[0] - other.at[0], this.at[1] - other.at[1], -other.bearing)
    along, across = float(turned[0]), abs(float(turned[1]))
    if along > 0.45 and across < 0.8 * along:
        return True
    return False if along < -0.1 or across > 1.25 * along else None


def _between(this: Thing, one: Thing, other: Thing) -> bool | None:
    low, high = sorted((one.bearing, other.bearing))
    inside = math.degrees(min(this.bearing - low, high - this.bearing))
    return _clear(inside, 5, -4)


BY_ANCHOR: Mapping[str, Holds] = {
    'left_of': lambda t, a: _clear(_deg(t, a[0]), 8, -6),
    'right_of': lambda t, a: _clear(-_deg(t, a[0]), 8, -6),
    'in_front': lambda t, a: _behind(a[0], t),
    'next_to': lambda t, a: _clear(-math.dist(t.at, a[0].at), -1.25, -2.0),
    'between': lambda t, a: _between(t, a[0], a[1])}
"""Kind to whether it holds; these name what it is said with regard to. What stands behind another
object is in no scene: the straight way to what the robot goes to is free."""
BY_SIDE: Mapping[str, Callable[[Thing], float]] = {
    'left': lambda t: -t.bearing, 'right': lambda t: t.bearing,
    'near': lambda t: t.distance, 'far': lambda t: -t.distance}


def extreme(things: Sequence[Thing], which: str) -> Thing | None:
    """The leftmost, rightmost, nearest or farthest; None where it is doubtful."""
    measure = BY_SIDE[which]
    first, second = sorted(things, key=measure)[:2]
    margin = math.radians(8) if which in ('left', 'right') else 0.45
    return first if measure(second) - measure(first) > margin else None
