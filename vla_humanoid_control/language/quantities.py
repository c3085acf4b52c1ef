"""How much, and how often: 'two metres', 'ninety degrees', 'three steps', 'twice'.

Vague amounts ('a bit', 'a step', 'some paces') are none: how far that is, a policy knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vla_humanoid_control.language.plan import Quantity, Unit

STEP_M = 0.35
"""How far a step goes that is counted [m]: 'two steps' are as far as `tasks.vocabulary.MOVE_M`."""

_ONES = {w: float(i) for i, w in enumerate(
    ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten',
     'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen',
     'nineteen'])}
_TENS = {w: 10.0 * i for i, w in enumerate(
    ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'], start=2)}
_NUMBERS = {**_ONES, **_TENS, 'fourty': 40.0, 'dozen': 12.0, 'couple': 2.0}
_SCALES = {'hundred': 100.0, 'thousand': 1000.0, 'million': 1e6}
_FRACTIONS = {'half': 0.5, 'quarter': 0.25, 'third': 1 / 3, 'quarters': 0.25, 'thirds': 1 / 3,
              'halves': 0.5, 'fifth': 0.2, 'sixth': 1 / 6, 'eighth': 0.125, 'tenth': 0.1}
_METRES = {**dict.fromkeys(('m', 'metre', 'metres', 'meter', 'meters', 'mtr'), 1.0),
           **dict.fromkeys(('cm', 'centimetre', 'centimetres', 'centimeter', 'centimeters'), 0.01),
           **dict.fromkeys(('dm', 'decimetre', 'decimetres', 'decimeter', 'decimeters'), 0.1),
           **dict.fromkeys(('mm', 'millimetre', 'millimetres', 'millimeter', 'millimeters'), 1e-3),
           **dict.fromkeys(('km', 'kilometre', 'kilometres', 'kilometer', 'kilometers'), 1e3),
           **dict.fromkeys(('foot', 'feet', 'ft'), 0.3048),
           **dict.fromkeys(('yard', 'yards', 'yd'), 0.9144),
           **dict.fromkeys(('inch', 'inches'), 0.0254), **dict.fromkeys(('mile', 'miles'), 1609.3)}
_STEPS = frozenset(('steps', 'paces', 'strides', 'sidesteps', 'step', 'pace', 'stride', 'sidestep',
                    'stepps'))
_STEP_ADJECTIVES = frozenset(('side', 'sideways', 'single', 'full'))
_DEGREES = {**dict.fromkeys(('degrees', 'degree', 'deg', 'degs'), math.pi / 180),
            **dict.fromkeys(('radians', 'radian', 'rad', 'rads'), 1.0)}
_TURNS = frozenset(('turn', 'turns', 'rotation', 'rotations', 'circle', 'circles', 'revolution',
                    'revolutions', 'spin', 'spins'))
_WHOLE = frozenset(('full', 'whole', 'complete', 'entire'))
_ABOUT = frozenset(('by', 'for', 'of', 'exactly', 'precisely', 'about', 'around', 'approximately',
                    'roughly', 'circa', 'some', 'just', 'another', 'a', 'an', 'further', 'only',
                    'distance', 'angle', 'total', 'nearly', 'almost'))
_TIMES = frozenset(('times', 'time', 'x'))
_OFTEN = {'twice': 2, 'thrice': 3}
_FIGURES = re.compile(r'\d+(?:d\d+)?')


@dataclass(frozen=True)
class Amount:
    """A quantity in words.

    Attributes:
        begin, end: Where it stands among the words.
        quantity: How much; None where it says how often.
        times: How often; 1 where it says how much.
        stands_for: Words that can take its place in a phrase that leaves the amount open.
    """

    begin: int
    end: int
    quantity: Quantity | None
    times: int = 1
    stands_for: tuple[str, ...] = ('',)


def spell_figures(text: str) -> str:
    """A text in which figures survive `spoken`: '1.5m' is '1d5 m', '90°' is '90 degrees'."""
    text = text.replace('½', ' half ').replace('¼', ' quarter ').replace('°', ' degrees ')
    text = re.sub(r'(?<=\d)[.,](?=\d)', 'd', text)
    text = re.sub(r'(?<=\d)["”](?!\w)', ' inches', text)
    text = re.sub(r'(?<![\w-])-(?=\d)', ' minus ', text)
    text = re.sub(r'(\d)\s*%', r'\1 percent ', text)
    return re.sub(r'(?<=\d)(?=[A-Za-z])(?!d\d)', ' ', text)


UNITS = frozenset((*_METRES, *_DEGREES)) - {'m', 'rad', 'foot', 'feet', 'yard'}
"""Words that say how much, and nothing else."""


def is_number(word: str) -> bool:
    """Whether a word says how many, on its own; 'one' and 'a' do not: 'the red one'."""
    return bool(_FIGURES.fullmatch(word)) or word in _OFTEN or word in _SCALES \
        or word in ('minus', 'percent', 'dozen', 'several', 'many', 'both', 'every', 'all') \
        or (word in _FRACTIONS and word not in ('half', 'quarter', 'third')) \
        or (word in _NUMBERS and word not in ('one', 'couple'))


def amounts(words: Sequence[str]) -> Iterator[Amount]:
    """Every quantity among words, from left to right."""
    at = 0
    while at < len(words):
        found = _amount(words, at)
        if found is not None:
            yield found
            at = found.end
        else:
            at += 1


def _amount(words: Sequence[str], begin: int) -> Amount | None:
    """The quantity that begins at a word; None where none does."""
    at = begin
    while at < len(words) and words[at] in _ABOUT:
        at += 1
    for start in range(begin, at + 1):
        if start < len(words) and (found := _counted(words, start)) is not None:
            if begin > 0 and words[begin - 1] == 'step' and (
                    found.quantity is None or found.quantity.unit is not Unit.METRES):
                return None  # 'step 1: turn left', but not 'step one metre to the left'
            if found.quantity is None and 'around' in words[begin:start]:
                return None  # 'turn around two times'
            # What leads up to it belongs to it, but not an article: 'make a 90 degree turn'.
            lead = begin
            while lead < start and words[lead] in ('a', 'an'):
                lead += 1
            return Amount(lead, found.end, found.quantity, found.times, found.stands_for)
    return None


def _counted(words: Sequence[str], at: int) -> Amount | None:
    if words[at] in _OFTEN:
        return Amount(at, at + 1, None, _OFTEN[words[at]])
    value, end, vague = _number(words, at)
    if value is None or end >= len(words):
        return None
    unit = words[end]
    if unit in _TIMES and not vague:
        return Amount(at, end + 1, None, round(value)) if value == round(value) > 0 else None
    if unit in _METRES:
        factor, end = _METRES[unit], end + 1
        more, end = _and_a_half(words, end)
        return _metres(at, end, (value + more) * factor)
    if unit in _DEGREES:
        return _radians(at, end + 1, value * _DEGREES[unit])
    steps = end
    while steps < len(words) - 1 and words[steps] in _STEP_ADJECTIVES:
        steps += 1
    if words[steps] in _STEPS and (value > 1 or not vague or words[at] == 'one'):
        return _metres(at, steps + 1, value * STEP_M, ('a step', 'some steps', 'steps', ''))
    turns = end
    while turns < len(words) - 1 and words[turns] in (*_WHOLE, 'of', 'a'):
        turns += 1
    if words[turns] in _TURNS and (not vague or turns > end):
        return _radians(at, turns + 1, value * 2 * math.pi)
    return None


def _metres(begin: int, end: int, value: float, ways: tuple[str, ...] = ()) -> Amount | None:
    return Amount(begin, end, Quantity(value, Unit.METRES), stands_for=ways or (
        '', 'a metre', 'one metre', 'a bit', 'by a metre', 'a step')) if value > 0 else None


def _radians(begin: int, end: int, value: float) -> Amount | None:
    return Amount(begin, end, Quantity(value, Unit.RADIANS), stands_for=(
        '', 'a turn', 'ninety degrees', 'by ninety degrees', '90 degrees', 'ninety degree',
        'a quarter turn', 'turn', 'quarter turn')) if value > 0 else None


def _number(words: Sequence[str], at: int) -> tuple[float | None, int, bool]:
    """A number's value, where it ends, and whether it is but 'a', 'one' or 'full'."""
    word = words[at]
    if _FIGURES.fullmatch(word):
        value, end = float(word.replace('d', '.')), at + 1
        more, end = _and_a_half(words, end)
        return value + more, end, False
    if word in _FRACTIONS or (word in ('a', 'an', 'one', 'three', 'two') and at + 1 < len(words)
                              and words[at + 1] in _FRACTIONS):
        count = 1.0 if word in _FRACTIONS else _NUMBERS.get(word, 1.0)
        end = at + (1 if word in _FRACTIONS else 2)
        value = count * _FRACTIONS[words[end - 1]]
        while end < len(words) and words[end] in ('of', 'a', 'an'):
            end += 1
        return value, end, False
    if word == 'one' and tuple(words[at + 1:at + 2]) == ('point',):
        return _large(words, at, 1.0)
    if word in ('a', 'an', 'one', 'another', *_WHOLE):
        if at + 1 < len(words) and words[at + 1] in _SCALES:
            return _large(words, at, 1.0)
        if at + 1 < len(words) and words[at + 1] == 'couple':
            return 2.0, at + (3 if at + 2 < len(words) and words[at + 2] == 'of' else 2), False
        if word == 'one' and at + 1 < len(words) and words[at + 1] in _TENS:
            return _large(words, at + 1, 100.0 + _TENS[words[at + 1]])  # 'one eighty'
        more, end = _and_a_half(words, at + 1)
        return 1.0 + more, end, not more
    if word in _NUMBERS and word != 'couple':
        value = _NUMBERS[word]
        if word in _TENS and at + 1 < len(words) and 0 < _ONES.get(words[at + 1], 0) < 10:
            return _large(words, at + 1, value + _ONES[words[at + 1]])
        return _large(words, at, value)
    return None, at, False


def _large(words: Sequence[str], at: int, value: float) -> tuple[float, int, bool]:
    """Go on behind the word at `at`, whose value is known: 'and eighty', 'and a half'."""
    end = at + 1
    while end < len(words) and words[end] in _SCALES:
        value, end = value * _SCALES[words[end]], end + 1
        rest = end + 1 if end < len(words) - 1 and words[end] == 'and' else end
        if rest < len(words) and (words[rest] in _NUMBERS) and words[rest] != 'couple':
            more, end, _ = _number(words, rest)
            value += more or 0.0
    if end < len(words) - 1 and words[end] == 'point' and words[end + 1] in _ONES:
        value, end = value + _ONES[words[end + 1]] / 10, end + 2
    more, end = _and_a_half(words, end)
    return value + more, end, False


def _and_a_half(words: Sequence[str], at: int) -> tuple[float, int]:
    for phrase, value in ((('and', 'a', 'half'), 0.5), (('and', 'a', 'quarter'), 0.25),
                          (('and', 'half'), 0.5)):
        if tuple(words[at:at + len(phrase)]) == phrase:
            return value, at + len(phrase)
    return 0.0, at
