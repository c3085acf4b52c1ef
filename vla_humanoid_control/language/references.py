"""Reads words for one of the objects in view: 'the nearest box', 'the ball left of the cup'.

    reference   [the] {place} head {where}        the left red box on the table
                [the] place [one] of the heads    the nearer of the two cups
    head        [colour] shape | colour one | one | object
    where       on the left | in the middle | on the table | left of anchor | between anchors | ...
    anchor      [the] {place} head                which has no `where` of its own

A reference is read as a whole or not at all: every word of it has its place in the grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from vla_humanoid_control.language.phrases import MARK, SIZES, phrases
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.relations import Kind, Reference, Relation
from vla_humanoid_control.tasks.vocabulary import OBJECT_FAMILIES, SHAPES, TASK_KEYS

_ARTICLES = frozenset(('the', 'that', 'this', 'a', 'an'))
_HEADS = frozenset(('one', 'object', 'thing', 'item'))
_SIDES: Mapping[str, Kind] = {'left': Kind.LEFTMOST, 'right': Kind.RIGHTMOST}
_PLACES: Mapping[str, Kind] = {
    **dict.fromkeys(('nearest', 'nearer', 'closest', 'closer', 'near'), Kind.NEAREST),
    **dict.fromkeys(('farthest', 'furthest', 'farther', 'further', 'far'), Kind.FARTHEST),
    **dict.fromkeys(('left', 'leftmost', 'lefthand'), Kind.LEFTMOST),
    **dict.fromkeys(('right', 'rightmost', 'righthand'), Kind.RIGHTMOST),
    **dict.fromkeys(('middle', 'central', 'center', 'centre', 'middlemost'), Kind.MIDDLE)}
_LONGER_PLACES: Mapping[tuple[str, ...], Kind] = {
    **{(side, more): kind for side, kind in _SIDES.items() for more in ('hand', 'most')},
    **{(far, side): kind for far in ('far', 'farthest', 'furthest')
       for side, kind in _SIDES.items()},
    ('most', 'distant'): Kind.FARTHEST}
_ORDINALS: Mapping[str, int] = {'first': 1, 'second': 2, 'third': 3, 'fourth': 4, 'fifth': 5}
_COUNTS: Mapping[str, int] = {'two': 2, '2': 2, 'three': 3, '3': 3, 'four': 4, '4': 4}
_LINKS = tuple((*first, *second) for first in ((), ('that', 'is'), ('which', 'is'))
               for second in ((), ('standing',), ('lying',), ('sitting',), ('placed',), ('seen',),
                              ('just',), ('right',), ('directly',))) + tuple(
    (who, does) for who in ('that', 'which') for does in ('stands', 'lies', 'sits'))
_ALONE: Mapping[tuple[str, ...], Kind] = {
    **{(at, *the, side, *end): kind for at in ('on', 'to', 'at', 'from')
       for the in (('the',), ('your',), ('the', 'far')) for side, kind in _SIDES.items()
       for end in ((), ('side',), ('hand', 'side'))},
    **{(far, *to, side): kind for far in ('farthest', 'furthest')
       for to in ((), ('to', 'the'), ('on', 'the')) for side, kind in _SIDES.items()},
    **dict.fromkeys(((at, 'the', middle) for at in ('in', 'at')
                     for middle in ('middle', 'centre', 'center')), Kind.MIDDLE),
    **dict.fromkeys((('at', 'the', 'back'), ('in', 'the', 'back'), ('farthest', 'away'),
                     ('furthest', 'away'), ('farther', 'away'), ('further', 'away'),
                     ('farthest', 'from', 'you'), ('furthest', 'from', 'you'),
                     ('further', 'from', 'you'), ('farther', 'from', 'you')), Kind.FARTHEST),
    **dict.fromkeys((('nearest', 'you'), ('nearest', 'to', 'you'), ('closest', 'to', 'you'),
                     ('nearer', 'to', 'you'), ('closer', 'to', 'you')), Kind.NEAREST),
    **dict.fromkeys(((*on, the, table) for on in (('on',), ('upon',), ('on', 'top', 'of'))
                     for the in ('the', 'a') for table in ('table', 'desk')), Kind.ON_TABLE),
    **dict.fromkeys((('on', 'the', 'floor'), ('on', 'the', 'ground')), Kind.ON_FLOOR),
    **dict.fromkeys(((*near, the, table) for near in (
        ('near',), ('by',), ('at',), ('beside',), ('next', 'to'), ('close', 'to'))
        for the in ('the', 'a') for table in ('table', 'desk')), Kind.NEAR_TABLE)}
_TO_ANCHOR: Mapping[tuple[str, ...], Kind] = {
    **{(*at, side, *end, 'of'): kind
       for side, kind in (('left', Kind.LEFT_OF), ('right', Kind.RIGHT_OF))
       for at in ((), ('to', 'the'), ('on', 'the'), ('at', 'the'))
       for end in ((), ('side',), ('hand', 'side'))},
    ('behind',): Kind.BEHIND, ('beyond',): Kind.BEHIND, ('in', 'back', 'of'): Kind.BEHIND,
    ('in', 'front', 'of'): Kind.IN_FRONT_OF,
    **dict.fromkeys((('next', 'to'), ('beside',), ('by',), ('near',), ('close', 'to'),
                     ('alongside',), ('adjacent', 'to'), ('nearest',), ('nearest', 'to'),
                     ('closest', 'to')), Kind.NEXT_TO)}
_FROM: Mapping[tuple[str, ...], Kind] = {
    **{('from', the, side): kind for the in ('the', 'your')
       for side, kind in (('left', Kind.FROM_LEFT), ('right', Kind.FROM_RIGHT))}}
_TOWARDS = frozenset(('to', 'towards', 'toward', 'near', 'beside', 'at', 'approach'))
_FILLERS = frozenset((
    ',', 'no', 'yes', 'i', 'mean', 'meant', 'please', 'go', 'walk', 'to', 'take', 'touch', 'ok',
    'okay', 'well', 'it', 'is', 'robot', 'thanks', 'want'))


Token = tuple[str, str, str]  # kind, name and words; see `Phrases.tokens`


@dataclass(frozen=True)
class Marked:
    """Words in which each reference is replaced by 'the' and a mark.

    Attributes:
        words: The words.
        references: Mark to what stands behind it.
    """

    words: tuple[str, ...]
    references: Mapping[str, Reference]


@lru_cache(maxsize=256)
def mark_references(words: tuple[str, ...], bare: bool = False, label: str = '') -> Marked:
    """Replace what refers to an object by where it is, the longest words first.

    Args:
        words: Of an utterance, from `words_of`.
        bare: Whether 'the box' and 'the red one' are references, too, that say nothing of where.
        label: Tells these marks from those in other words.
    """
    tokens = phrases().tokens(words)
    found: list[str] = []
    references: dict[str, Reference] = {}
    at = 0
    while at < len(tokens):
        reading = _Reading(tokens)
        ends = [(end, ref) for end, ref in reading.references(at)
                if (ref.relations or (bare and bool(ref.colour) is not bool(ref.shape)))
                and not SIZES.intersection(' '.join(w for _, name, w in tokens[at:end]
                                                    if name).split())
                and not (_is_way(tokens[:end]) and tokens[at - 1:at]
                         and tokens[at - 1][2] not in _TOWARDS)]
        if not ends:
            found.extend(tokens[at][2].split())
            at += 1
            continue
        end, reference = max(ends, key=lambda e: e[0])
        mark = f'{MARK}{label}{len(references)}>'
        said = ' '.join(said for _, _, said in tokens[at + reading.is_the(at):end])
        references[mark] = replace(reference, words=said)
        found.extend(('the', mark))
        at = end
    return Marked(tuple(found), references)


def placed(steps: Sequence[Step], marked: Marked, before: Sequence[Step]
           ) -> tuple[Step, ...] | None:
    """Steps that were read from marked words, with their references; None where one is not known.

    Args:
        steps: Such as 'go to the <r0>', of the task 'go_to:<r0>:'.
        marked: The words that they were read from.
        before: The steps of the command before: 'the left one' is of the kind of the last object.
    """
    known = dict(marked.references)
    if before and before[-1].reference is not None:
        known[f'{MARK}before0>'] = before[-1].reference
    result: list[Step] = []
    for step in steps:
        family, _, named = step.key.partition(':')
        if MARK in named:
            mark, _, shape = named.partition(':')
            reference = known.get(mark)
            if reference is None or shape:
                return None
            if 'one' in reference.words.split():
                reference = _like(reference, (*before, *result))
            step = Step(step.text.replace(mark, reference.words), step.quantity, family,
                        reference)
        elif MARK in step.text or (family in OBJECT_FAMILIES and step.key not in TASK_KEYS):
            return None
        result.append(step)
    return tuple(result)


def of_step(step: Step) -> Reference | None:
    """Which object a step is about; None where it is about none."""
    if step.reference is not None:
        return step.reference
    family, *named = step.key.split(':')
    return Reference(named[0], named[1]) if family in OBJECT_FAMILIES and len(named) == 2 else None


def _like(reference: Reference, before: Sequence[Step]) -> Reference:
    """A reference to one of what the newest step with an object is about."""
    last = next((r for s in reversed(before) if (r := of_step(s)) is not None), None)
    if last is None:
        return reference
    colour = reference.colour or ('' if reference.shape else last.colour)
    return replace(reference, colour=colour, shape=reference.shape or last.shape)


def _is_way(tokens: Sequence[Token]) -> bool:
    """Whether words end with 'to the left', which may be where something is to be moved."""
    words = [said for _, _, said in tokens[-3:]]
    return words[:1] == ['to'] and words[-1] in _SIDES


@lru_cache(maxsize=256)
def read_answer(words: tuple[str, ...]) -> Reference | None:
    """What an answer such as 'the left one' or 'left' refers to; None where it is no such one."""
    tokens = phrases().tokens([w for w in words if w != ','])
    while tokens and tokens[0][2] in _FILLERS:
        tokens = tokens[1:]
    while tokens and tokens[-1][2] in ('please', 'thanks', 'robot', 'i', 'mean', 'meant'):
        tokens = tokens[:-1]
    reading = _Reading(tokens)
    whole = [ref for end, ref in reading.references(0) if end == len(tokens)]
    whole += [ref for end, ref in reading.fragments() if end == len(tokens)]
    return next((ref for ref in whole if ref.colour or ref.shape or ref.relations), None)


class _Reading:
    """The grammar, on the tokens of an utterance. Each method yields where what it reads ends."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._words = [said if not name else kind for kind, name, said in tokens]

    def is_the(self, at: int) -> bool:
        """Whether an article stands there."""
        return self._words[at:at + 1] != [] and self._words[at] in _ARTICLES

    def references(self, at: int) -> Iterator[tuple[int, Reference]]:
        """References that begin there, with or without an article."""
        at += self.is_the(at)
        for end, reference in (*self._heads(at), *self._of_several(at)):
            yield from self._wheres(end, reference)

    def fragments(self) -> Iterator[tuple[int, Reference]]:
        """What an answer may be that names no head: 'left', 'the nearest', 'on the table'."""
        start = int(self.is_the(0))
        for end, relations in self._places(start):
            yield end, Reference(relations=relations)
        yield from self._wheres(0, Reference())
        if len(self._words) == start + 1 and self._tokens[start][0] == '<c>':
            yield start + 1, Reference(colour=self._tokens[start][1])

    def _heads(self, at: int) -> Iterator[tuple[int, Reference]]:
        """Places and a head: 'nearest red box'; 'second box from the left'."""
        for begin, relations in self._places(at):
            for end, reference in self._head(begin):
                yield end, replace(reference, relations=relations)
        if place := _ORDINALS.get(self._word(at), 0):
            for middle, reference in self._head(at + 1):
                for end, kind in self._one_of(_FROM, middle):
                    yield end, replace(reference, relations=(Relation(kind, (), place),))

    def _of_several(self, at: int) -> Iterator[tuple[int, Reference]]:
        """'nearest of the two boxes', 'left one of the boxes'."""
        for begin, relations in self._places(at):
            begin += self._word(begin) == 'one'
            if relations and self._word(begin) == 'of':
                for end, reference in self._plural(begin + 1):
                    yield end, replace(reference, relations=relations, count=1)

    def _places(self, at: int) -> Iterator[tuple[int, tuple[Relation, ...]]]:
        """None, one or two adjectives of place."""
        yield at, ()
        ways = [(at + len(words), kind) for words, kind in _LONGER_PLACES.items()
                if tuple(self._words[at:at + len(words)]) == words]
        if kind := _PLACES.get(self._word(at)):
            ways.append((at + 1, kind))
        for end, kind in ways:
            yield end, (Relation(kind),)

    def _head(self, at: int) -> Iterator[tuple[int, Reference]]:
        """'red box', 'box', 'red one', 'object', 'box that is red'."""
        begin, colour = at, ''
        if self._word(at) == '<c>':
            begin, colour = at + 1, self._tokens[at][1]
        if self._word(begin) == '<s>':
            yield begin + 1, Reference(colour, self._tokens[begin][1])
        elif self._word(begin) in _HEADS:
            yield begin + 1, Reference(colour)

    def _plural(self, at: int) -> Iterator[tuple[int, Reference]]:
        """'the two red boxes', 'boxes'."""
        at += self.is_the(at)
        count = _COUNTS.get(self._word(at), 0)
        at += count > 0
        colour = self._tokens[at][1] if self._word(at) == '<c>' else ''
        at += bool(colour)
        word = self._word(at)
        shape = next((s for stem in (word[:-1], word[:-2]) if word.endswith('s')
                      and (s := phrases().name_of((stem,))) in SHAPES), '')
        if shape or word in ('ones', 'objects', 'things'):
            yield at + 1, Reference(colour, shape, count=max(2, count))

    def _wheres(self, at: int, reference: Reference) -> Iterator[tuple[int, Reference]]:
        """A reference with none, one or two words for where it is behind it."""
        yield at, reference
        for end, relation in self._where(at):
            more = replace(reference, relations=(*reference.relations, relation))
            yield end, more
            for last, further in self._where(end):
                yield last, replace(more, relations=(*more.relations, further))

    def _where(self, at: int) -> Iterator[tuple[int, Relation]]:
        for link in _LINKS:
            begin = at + len(link)
            if tuple(self._words[at:begin]) != link:
                continue
            for end, kind in self._one_of(_ALONE, begin):
                yield end, Relation(kind)
            for middle, kind in self._one_of(_TO_ANCHOR, begin):
                for end, anchor in self._anchor(middle):
                    yield end, Relation(kind, (anchor,))
            if self._word(begin) == 'between':
                yield from self._between(begin + 1)

    def _between(self, at: int) -> Iterator[tuple[int, Relation]]:
        for end, several in self._plural(at):
            if several.count == 2:
                yield end, Relation(Kind.BETWEEN, (several,))
        for middle, one in self._anchor(at):
            if self._word(middle) == 'and':
                for end, other in self._anchor(middle + 1):
                    yield end, Relation(Kind.BETWEEN, (one, other))

    def _anchor(self, at: int) -> Iterator[tuple[int, Reference]]:
        at += self.is_the(at)
        for end, reference in self._heads(at):
            if reference.colour or reference.shape:
                yield end, reference

    def _one_of(self, ways: Mapping[tuple[str, ...], Kind], at: int) -> Iterator[tuple[int, Kind]]:
        for words, kind in ways.items():
            if tuple(self._words[at:at + len(words)]) == words:
                yield at + len(words), kind

    def _word(self, at: int) -> str:
        return self._words[at] if 0 <= at < len(self._words) else ''
