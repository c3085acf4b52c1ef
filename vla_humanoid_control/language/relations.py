"""Which of the objects in view words mean: 'the ball left of the cup', 'the nearest box'.

A `Reference` says it, `resolve` finds it among what is seen. Left, right, nearer and behind are as
seen from the robot. Pure geometry on bearings and distances; `references.py` reads the words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from vla_humanoid_control.perception.seen import SeenObject

ASIDE_RAD = math.radians(3)
"""Left of something is what is seen so much further to the left."""
NEARER = 1.08
"""Nearer is what is so many times as near; less is no telling."""
BESIDE_M = 1.6
"""Next to something is nothing that is farther from it."""
BESIDE = 1.35
"""Next to something is what is so many times as near to it as any other of its kind."""
BEHIND_M = 0.1
"""Behind something is what is so much farther away, in a sector of 45° to each side."""


class Kind(Enum):
    """What a relation says of an object; those from `LEFT_OF` on say it with regard to others."""

    NEAREST = 'nearest'
    FARTHEST = 'farthest'
    LEFTMOST = 'left'
    RIGHTMOST = 'right'
    MIDDLE = 'middle'
    FROM_LEFT = 'from the left'
    FROM_RIGHT = 'from the right'
    ON_TABLE = 'on the table'
    ON_FLOOR = 'on the floor'
    NEAR_TABLE = 'near the table'
    LEFT_OF = 'left of'
    RIGHT_OF = 'right of'
    BEHIND = 'behind'
    IN_FRONT_OF = 'in front of'
    NEXT_TO = 'next to'
    BETWEEN = 'between'


@dataclass(frozen=True)
class Relation:
    """One thing that is said of where an object is.

    Attributes:
        kind: What is said.
        anchors: What it is said with regard to: two, or one in the plural, for `BETWEEN`.
        place: Of `FROM_LEFT` and `FROM_RIGHT`, counted from 1.
    """

    kind: Kind
    anchors: tuple[Reference, ...] = ()
    place: int = 0

    def __str__(self) -> str:
        named = ' and '.join(f'a {a}' if a.count < 2 else f'{a.count} {_plural(a.shape)}'
                             for a in self.anchors)
        return f'{self.kind.value} {named}'.strip()


@dataclass(frozen=True)
class Reference:
    """Words for one of the objects in view.

    Attributes:
        colour: One of `COLOURS`; '' for any.
        shape: One of `SHAPES`; '' for any.
        relations: What is said of where it is, each among those of which the ones before hold.
        words: As they were said, without the article.
        count: How many are meant; 2 or more for 'the two balls'.
    """

    colour: str = ''
    shape: str = ''
    relations: tuple[Relation, ...] = ()
    words: str = ''
    count: int = 1

    @property
    def name(self) -> str:
        """Colour and shape, such as 'red box', 'ball', or 'object'."""
        return ' '.join(filter(None, (self.colour, self.shape or 'object')))

    @property
    def is_plain(self) -> bool:
        """Whether a colour and a shape are all that is said."""
        return bool(self.colour and self.shape and not self.relations)

    def __str__(self) -> str:
        before = [r for r in self.relations if r.kind in _ADJECTIVES]
        behind = [r for r in self.relations if r.kind not in _ADJECTIVES]
        return ' '.join((*map(str, before), self.name, *map(str, behind)))


_ADJECTIVES = frozenset((Kind.NEAREST, Kind.FARTHEST, Kind.LEFTMOST, Kind.RIGHTMOST, Kind.MIDDLE))
Some = tuple[SeenObject, ...]


def resolve(reference: Reference, seen: Sequence[SeenObject]) -> Some:
    """The objects that a reference can mean: one, several where it is open, or none."""
    candidates = named_so(reference, seen)
    for relation in reference.relations:
        candidates = _holding(relation, candidates, seen)
    return candidates


def named_so(reference: Reference, seen: Sequence[SeenObject]) -> Some:
    """The objects of a reference's colour and shape, wherever they are."""
    return tuple(s for s in seen if reference.colour in ('', s.colour)
                 and reference.shape in ('', s.shape))


def why_none(reference: Reference, seen: Sequence[SeenObject]) -> str:
    """Why a reference that is resolved to nothing means nothing, for people."""
    if not named_so(reference, seen):
        return f'I see no {reference.name}'
    for anchor in (a for r in reference.relations for a in r.anchors):
        if len(resolve(anchor, seen)) < anchor.count:
            return f'I see no {anchor}' if anchor.count < 2 else \
                f'I do not see {anchor.count} {_plural(anchor.name)}'
    return f'I see no {reference}'


def position(seen: SeenObject) -> tuple[float, float]:
    """Ahead of and to the left of the base [m]."""
    return (seen.distance_m * math.cos(seen.bearing_rad),
            seen.distance_m * math.sin(seen.bearing_rad))


def apart_m(one: SeenObject, other: SeenObject) -> float:
    """Distance between two objects on the floor plan [m]."""
    return math.dist(position(one), position(other))


def in_order(some: Sequence[SeenObject]) -> Some | None:
    """Objects from left to right; None where two of them are seen in one direction."""
    ordered = sorted(some, key=lambda s: -s.bearing_rad)
    apart = all(one.bearing_rad - other.bearing_rad > ASIDE_RAD
                for one, other in pairwise(ordered))
    return tuple(ordered) if apart else None


# --- what holds of which ---------------------------------------------------------------------

def _holding(relation: Relation, candidates: Some, seen: Sequence[SeenObject]) -> Some:
    """Those of some candidates of which a relation holds, or may hold."""
    if not candidates:
        return ()
    kind = relation.kind
    if kind in _SUPERLATIVES:
        return _extreme(candidates, *_SUPERLATIVES[kind])
    if kind in (Kind.MIDDLE, Kind.FROM_LEFT, Kind.FROM_RIGHT):
        return _in_row(relation, candidates)
    if kind in (Kind.ON_TABLE, Kind.ON_FLOOR):
        return tuple(c for c in candidates if c.on_table is (kind is Kind.ON_TABLE))
    if kind is Kind.NEAR_TABLE:
        return _near_table(candidates, seen)
    if kind is Kind.BETWEEN:
        return _between(relation, candidates, seen)
    (anchor,) = relation.anchors
    anchors = resolve(anchor, seen)
    if kind is Kind.NEXT_TO:
        return _beside(candidates, anchors)
    holds = _HOLDS[kind]
    return tuple(c for c in candidates if any(c is not a and holds(c, a) for a in anchors))


def _extreme(candidates: Some, measure: Callable[[SeenObject], float], margin: float) -> Some:
    """Those with the least measure, and those that come too near to it."""
    least = min(map(measure, candidates))
    return tuple(c for c in candidates if measure(c) - least < margin or measure(c) == least)


_SUPERLATIVES: Mapping[Kind, tuple[Callable[[SeenObject], float], float]] = {
    Kind.NEAREST: (lambda s: math.log(s.distance_m), math.log(NEARER)),
    Kind.FARTHEST: (lambda s: -math.log(s.distance_m), math.log(NEARER)),
    Kind.LEFTMOST: (lambda s: -s.bearing_rad, ASIDE_RAD),
    Kind.RIGHTMOST: (lambda s: s.bearing_rad, ASIDE_RAD)}


def _in_row(relation: Relation, candidates: Some) -> Some:
    row = in_order(candidates)
    if row is None:
        return candidates  # there is no telling
    if relation.kind is Kind.MIDDLE:
        return row[len(row) // 2:len(row) // 2 + 1] if len(row) % 2 else \
            row[len(row) // 2 - 1:len(row) // 2 + 1]
    row = row if relation.kind is Kind.FROM_LEFT else row[::-1]
    return row[relation.place - 1:relation.place]


def _near_table(candidates: Some, seen: Sequence[SeenObject]) -> Some:
    """On a table, else on the floor next to what is on one: a table itself is no such object."""
    if on_it := tuple(c for c in candidates if c.on_table):
        return on_it
    return _beside(candidates, tuple(s for s in seen if s.on_table))


def _beside(candidates: Some, anchors: Some) -> Some:
    """The candidate next to one of the anchors, and those that are nearly as near."""
    away = [(min((apart_m(c, a) for a in anchors if a is not c), default=math.inf), c)
            for c in candidates]
    least = min(d for d, _ in away)
    return tuple(c for d, c in away if d <= BESIDE_M and d < max(least * BESIDE, least + 1e-6))


def _between(relation: Relation, candidates: Some, seen: Sequence[SeenObject]) -> Some:
    """Those seen between two others; where several are, those that also stand between them."""
    first, second = relation.anchors[0], relation.anchors[-1]
    pairs = [(a, b) for a in resolve(first, seen) for b in resolve(second, seen) if a is not b]
    found = {id(c): c for a, b in pairs for c in candidates if _seen_between(c, a, b)}
    if len(found) > 1:
        closer = {id(c): c for a, b in pairs for c in candidates
                  if _seen_between(c, a, b) and _stands_between(c, a, b)}
        found = closer or found
    return tuple(found.values())


def _seen_between(this: SeenObject, one: SeenObject, other: SeenObject) -> bool:
    low, high = sorted((one.bearing_rad, other.bearing_rad))
    return this is not one and this is not other \
        and low + ASIDE_RAD < this.bearing_rad < high - ASIDE_RAD


def _stands_between(this: SeenObject, one: SeenObject, other: SeenObject) -> bool:
    """Whether the way from one to the other over it is hardly longer than the straight one."""
    return apart_m(one, this) + apart_m(this, other) < 1.3 * apart_m(one, other)


def _is_behind(this: SeenObject, other: SeenObject) -> bool:
    """Whether it is farther away in about the same direction: a sector of 45° to each side."""
    (x, y), (ax, ay) = position(this), position(other)
    cos, sin = math.cos(other.bearing_rad), math.sin(other.bearing_rad)
    along, across = (x - ax) * cos + (y - ay) * sin, (y - ay) * cos - (x - ax) * sin
    return along > BEHIND_M and abs(across) <= along


_HOLDS: Mapping[Kind, Callable[[SeenObject, SeenObject], bool]] = {
    Kind.LEFT_OF: lambda c, a: c.bearing_rad - a.bearing_rad > ASIDE_RAD,
    Kind.RIGHT_OF: lambda c, a: a.bearing_rad - c.bearing_rad > ASIDE_RAD,
    Kind.BEHIND: _is_behind,
    Kind.IN_FRONT_OF: lambda c, a: _is_behind(a, c)}


def _plural(name: str) -> str:
    return f'{name}es' if name.endswith('x') else f'{name}s'


def narrowed(reference: Reference, further: Reference) -> Reference | None:
    """Both references in one, as after a question; None where they contradict each other."""
    if (reference.colour and further.colour not in ('', reference.colour)) \
            or (reference.shape and further.shape not in ('', reference.shape)):
        return None
    return replace(reference, colour=reference.colour or further.colour,
                   shape=reference.shape or further.shape,
                   relations=(*reference.relations, *further.relations))
