"""One clause: the step that words mean for certain, by themselves or after the step before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vla_humanoid_control.language.phrases import Degree, Meaning, Objects, phrases
from vla_humanoid_control.language.plan import MOST_STEPS, Step, Unit
from vla_humanoid_control.language.quantities import UNITS, Amount, amounts, is_number
from vla_humanoid_control.language.trees import OBJECT
from vla_humanoid_control.tasks.vocabulary import COLOURS, OBJECT_FAMILIES, family_of

# What the policy is told where an amount is measured.
_PLAIN = {'move:forward': 'walk forward', 'move:backward': 'walk backward',
          'move:left': 'step to the left', 'move:right': 'step to the right',
          'turn:left': 'turn left', 'turn:right': 'turn right'}
AS_IT_ENDED = ('move', 'turn', 'gesture:wave')
"""What begins wherever it ends, so that it can be done once more from there."""
REPEATABLE = ('move', 'turn', 'gesture')
"""What can be done several times in a row: a hand that is raised is lowered in between."""
_PRONOUNS = (('it',), ('that', 'one'), ('this', 'one'), ('that',), ('this',), ('the', 'thing'),
             ('there',), ('over', 'there'), ('that', 'thing'), ('the', 'same', 'one'),
             ('the', 'object'), ('that', 'object'))
_BESIDE = (*((at, it) for at in ('at', 'to', 'towards', 'by', 'near', 'beside', 'from', 'for')
            for it in ('it', 'that')), ('there',), ('in', 'front', 'of', 'it'),
           ('next', 'to', 'it'))
"""Where something is done right behind going to an object, which changes nothing of it."""
_SIDES = ('left', 'right')
_SIDES_SAID = frozenset((*_SIDES, 'around', 'clockwise', 'anticlockwise', 'counterclockwise'))
_WAYS = ('forward', 'forwards', 'backward', 'backwards', 'back', 'ahead', *_SIDES)
_VERTICAL = ('up', 'down')
# Where a clause says how to begin, end or go on: 'start by waving'.
_STARTERS = (('start', 'by'), ('begin', 'by'), ('start', 'with'), ('begin', 'with'),
             ('finish', 'by'), ('end', 'by'), ('continue', 'by'), ('go', 'on', 'by'))


@dataclass(frozen=True)
class Said:
    """A step, and what later ones can refer to.

    Attributes:
        step: The step.
        core: The words that it was read from, with `OBJECT` for an object.
        objects: Words of the objects that it names.
    """

    step: Step
    core: tuple[str, ...]
    objects: tuple[str, ...]
    named: tuple[tuple[str, str], ...]


def certain(words: Sequence[str], last: Said | None) -> list[Said] | None:
    """The steps that words without joints mean for certain; None where they do not."""
    plain = [w for w in words if w != ',']
    if not plain:
        return None
    found = list(amounts(plain))
    if sum(a.end - a.begin for a in found) == len(plain):
        return None  # 'two metres' of what?
    if not found:
        return _with_amount(plain, last, None)
    if len(found) > 2 or len([a for a in found if a.quantity is None]) > 1 \
            or len([a for a in found if a.quantity is not None]) > 1:
        return None
    often = next((a for a in found if a.quantity is None), None)
    much = next((a for a in found if a.quantity is not None), None)
    ways = much.stands_for if much is not None else ('',)
    for way in ways:
        rest = plain
        for amount in sorted(found, key=lambda a: -a.begin):
            instead = way.split() if amount is much else []
            rest = [*rest[:amount.begin], *instead, *rest[amount.end:]]
        if rest and (steps := _with_amount(rest, last, much)) is not None:
            return _times(steps, often)
        if much is not None and (whole := _either_way(rest, last, much)) is not None:
            return _times([whole], often)
    return None


def _either_way(rest: Sequence[str], last: Said | None, much: Amount) -> Said | None:
    """Half a turn, or whole ones, of which nobody said which way: it does not matter."""
    assert much.quantity is not None
    turns = much.quantity.value / (2 * math.pi)
    if much.quantity.unit is not Unit.RADIANS or _SIDES_SAID.intersection(rest) \
            or abs(2 * turns - round(2 * turns)) > 1e-6 or (turns > 0.75 and turns % 1 > 0.25):
        return None
    steps = _with_amount([*rest, 'to', 'the', 'left'], last, much)
    if steps is None or len(steps) != 1 or steps[0].step.key != 'turn:left':
        return None
    return steps[0] if turns > 0.75 else replace(
        steps[0], step=Step('turn around', None, 'turn:around'))


def has_amount(words: Sequence[str]) -> bool:
    """Whether words say how much, or how often."""
    return next(amounts([w for w in words if w != ',']), None) is not None


def _with_amount(words: Sequence[str], last: Said | None, amount: Amount | None
             ) -> list[Said] | None:
    """The step that words mean without their amount, with it; None where they do not."""
    seen = phrases().find_objects(words)
    ways = [(phrases().meaning(way.words), way) for way in _resolved(seen, last)
            if len(way.named) <= 1]
    # The first of those that are as sure as any.
    meaning, way = max(ways, key=lambda w: w[0].degree, default=(Meaning(Degree.NONE), seen))
    if meaning.degree < Degree.PLAIN:
        return None
    said = said_of(meaning, way)
    if amount is not None:
        return _measured(said, amount)
    # Figures that no amount has taken up: 'the 3 red box'.
    if any(is_number(w) or w in UNITS for w in meaning.core) and meaning.entry != 'turn:around':
        return None
    return [said]


def said_of(meaning: Meaning, seen: Objects) -> Said:
    """A step that means something, without an amount."""
    key = meaning.entry
    if key in OBJECT_FAMILIES:
        key = ':'.join((key, *seen.named[0]))
    objects = iter(seen.said)
    text = ' '.join(next(objects) if word == OBJECT else word for word in meaning.core)
    return Said(Step(text, None, key), meaning.core, seen.said, seen.named)


def _measured(said: Said, amount: Amount) -> list[Said] | None:
    """A step of so much; None where it is nothing that can be measured."""
    quantity, key = amount.quantity, said.step.key
    assert quantity is not None
    if phrases().is_open(said.core):
        # No direction: half a turn is one in both.
        said, key = replace(said, step=replace(said.step, key='turn:around')), 'turn:around'
    if key == 'turn:around' and quantity.unit is Unit.RADIANS:
        return [replace(said, step=replace(said.step, text='turn around'))] \
            if abs(quantity.value - math.pi) < 1e-6 else None
    if key not in _PLAIN or quantity.unit is not (
            Unit.METRES if family_of(key) == 'move' else Unit.RADIANS):
        return None
    return [replace(said, step=Step(_PLAIN[key], quantity, key))]


def _times(steps: list[Said], often: Amount | None) -> list[Said] | None:
    """Steps so many times; None where they cannot be done more than once."""
    if often is None or often.times == 1:
        return steps
    if not all(s.step.key.startswith(REPEATABLE) for s in steps):
        return None
    return steps * min(often.times, MOST_STEPS + 1)


# --- what refers to something said before ---------------------------------------------------

def _resolved(seen: Objects, last: Said | None) -> Iterator[Objects]:
    """Words as they are, then with what they leave out or point at taken from the step before."""
    if last is not None:
        yield from elliptic(seen, last)
    yield seen
    for starter in _STARTERS:
        for at in range(min(3, len(seen.words))):
            if seen.words[at:at + len(starter)] == starter:
                yield replace(seen, words=phrases().base_form(seen.words[at + len(starter):]))
    if last is not None:
        yield from pointing(seen, last)


def pointing(seen: Objects, last: Said) -> Iterator[Objects]:
    """'touch it' and 'go there' with the object of the step before, 'wave at it' without."""
    if not seen.named and last.named:
        for beside in _BESIDE:
            if seen.words[1:][-len(beside):] == beside:
                yield replace(seen, words=seen.words[:-len(beside)])
    colours = [i for i, w in enumerate(seen.words[:-1])
               if w in COLOURS and seen.words[i + 1] == 'one']
    if not seen.named and last.named and len(colours) == 1:
        at = colours[0]
        named = (seen.words[at], last.named[-1][1])
        begin = at - (at > 0 and seen.words[at - 1] in ('the', 'a', 'that'))
        yield Objects((*seen.words[:begin], 'the', OBJECT, *seen.words[at + 2:]), (named,),
                      (' '.join(named),))
    if not seen.named and last.named:
        for pronoun in sorted(_PRONOUNS, key=len, reverse=True):
            for at in range(len(seen.words) - len(pronoun) + 1):
                if seen.words[at:at + len(pronoun)] == pronoun:
                    place = ('to',) if pronoun[-1] == 'there' else ()
                    yield Objects((*seen.words[:at], *place, 'the', OBJECT,
                                   *seen.words[at + len(pronoun):]),
                                  last.named[-1:], last.objects[-1:])
                    break


def elliptic(seen: Objects, last: Said) -> Iterator[Objects]:
    """A fragment put into the step before: 'then the blue ball', 'and then your left'."""
    if not seen.named:
        seen = _colour_alone(seen.words, last) or seen
    for core in phrases().cores(seen.words):
        rest = [w for w in core if w not in ('to', 'the', 'your', 'a', 'at', 'for', 'now', 'on',
                                             'also', 'towards')]
        if rest == [OBJECT] and OBJECT in last.core and len(seen.named) == 1:
            yield replace(seen, words=last.core)
            return
        bare = [w for w in rest if w not in ('one', 'hand', 'arm', 'other', 'side', 'again')]
        if len(bare) > 1 or seen.named:
            continue
        if not bare and 'other' in rest:
            bare = [_SIDES[1 - _SIDES.index(w)] for w in last.core if w in _SIDES]
        looks = (_SIDES + _VERTICAL,) if last.step.key.startswith('gesture:look') else ()
        for group in (_SIDES, _VERTICAL, _WAYS, *looks):
            if len(bare) == 1 and bare[0] in group and any(w in group for w in last.core):
                yield Objects(tuple(bare[0] if w in group else w for w in last.core),
                              last.named, last.objects)


def _colour_alone(words: Sequence[str], last: Said) -> Objects | None:
    """'the blue one' after 'go to the red box': the blue box."""
    rest = [w for w in words if w not in ('the', 'one', 'to', 'a', 'now', 'please', 'instead')]
    if len(rest) != 1 or not last.named:
        return None
    colour, shape = last.named[-1]
    if rest[0] in COLOURS:
        named = (rest[0], shape)
    elif alone := phrases().shape_alone(rest):
        named = (colour, alone)
    else:
        return None
    return Objects(('the', OBJECT), (named,), (' '.join(named),))
