"""Several steps in one utterance: where it can be parted, and into what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from vla_humanoid_control.language.clauses import REPEATABLE, Said, certain
from vla_humanoid_control.language.phrases import Degree, phrases
from vla_humanoid_control.language.plan import MOST_STEPS, Step
from vla_humanoid_control.language.qualifiers import why_unclear
from vla_humanoid_control.language.quantities import amounts
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

_JOINTS = frozenset((',', 'and', 'then', 'afterwards', 'next', 'finally', 'after', 'before',
                     'followed'))
"""Words at which an utterance can be parted."""
_GLUE = frozenset((',', 'and', 'then'))
_MOST_JOINTS = 16
_MOST_WITHIN = 2  # joints inside of one step: 'stand still, please, and look up'
_STOPPING = frozenset(('stop', 'halt', 'freeze', 'stand'))
AGAIN = (('again',), ('once', 'more'), ('one', 'more', 'time'), ('do', 'it', 'again'),
          ('do', 'that', 'again'), ('repeat', 'that'), ('repeat', 'it'), ('the', 'same', 'again'),
          ('another', 'time'), ('and', 'again'), ('do', 'the', 'same', 'again'), ('further',),
          ('a', 'bit', 'further'), ('a', 'little', 'further'), ('some', 'more'), ('more',),
          ('a', 'bit', 'more'), ('keep', 'going'), ('go', 'on'), ('continue',))
"""Asks for the step before once more."""
_RETURNING = frozenset(('back', 'come', 'go', 'walk', 'run', 'get', 'turn', 'step', 'move',
                        'again', 'and', 'then', 'there', 'here', 'return', 'way', 'all', 'the'))
"""Behind going somewhere: not a step backward, but the way back, which is no task."""
_COMING = frozenset(('come', 'get', 'return'))
_OPPOSITE = {'move:forward': ('move:backward', 'walk backward'),
             'move:backward': ('move:forward', 'walk forward'),
             'move:left': ('move:right', 'step to the right'),
             'move:right': ('move:left', 'step to the left'),
             'turn:left': ('turn:right', 'turn right'),
             'turn:right': ('turn:left', 'turn left')}
"""What undoes a way, and how it is said. 'Come back' undoes all that was said before, which is
known of one way alone; 'go back' may be a step backward, but behind a way that was measured."""
_DONE_FIRST = tuple(tuple(w.split()) for w in (
    'once you have', 'when you have', 'after you have', 'as soon as you have', 'after having',
    'having'))
"""Before a step that is to be done first: 'once you have turned left, wave'."""


def part(words: Sequence[str]) -> list[Said] | None:
    """The steps of words that can be parted so that each is certain, in the fewest parts."""
    words = _done_first(words) or words
    words = _shapes_told(words)
    joints = places(words)
    if not joints or len(joints) > _MOST_JOINTS:
        return None
    if (swapped := _out_of_order(words)) is not None:
        return swapped
    marks = [0, *joints, len(words)]
    best: dict[int, list[Said]] = {0: []}
    for i, end in enumerate(marks[1:], start=1):
        for begin in marks[max(0, i - _MOST_WITHIN - 1):i]:
            if begin not in best or len(best[begin]) > MOST_STEPS:
                continue
            if begin != marks[i - 1] and not is_phrase(words[begin:end]):
                continue
            steps = further_steps(stripped(words[begin:end]), best[begin])
            if steps is not None and (end not in best
                                      or len(best[begin]) + len(steps) < len(best[end])):
                best[end] = [*best[begin], *steps]
    return best.get(len(words)) or None


def further_steps(clause: Sequence[str], so_far: list[Said]) -> list[Said] | None:
    """The steps of a clause behind others; none where nothing is left of it."""
    last = so_far[-1] if so_far else None
    again = last is not None and tuple(clause) in AGAIN
    # 'again' is said around a request, too: 'look up again'.
    if not clause or (phrases().says_nothing(clause) and not (again and 'again' in clause)):
        return []
    if last is not None and again:
        return [last] if last.step.key.startswith(REPEATABLE) else None
    if last is not None and 'back' in clause and _RETURNING.issuperset(clause):
        if last.named or (not _COMING.isdisjoint(clause) and len(so_far) > 1):
            return None
        if (way := _OPPOSITE.get(last.step.key)) is not None and (
                not _COMING.isdisjoint(clause) or last.step.quantity is not None) \
                and ('turn' in clause) is last.step.key.startswith('turn:'):
            return [replace(last, step=Step(way[1], last.step.quantity, way[0]))]
        if not _COMING.isdisjoint(clause):
            return None
    steps = _clear(clause, last)
    if steps is None or all(s.step.key != 'stop' for s in steps):
        return steps
    said = clause[1:] if clause[0] == 'now' else clause
    return steps if said[:1] and said[0] in _STOPPING else None  # and not 'no', or 'enough'


def _clear(clause: Sequence[str], last: Said | None) -> list[Said] | None:
    """The steps of a clause that is no negation or condition: 'do not turn' is none."""
    steps = certain(clause, last)
    if steps is None or any(why_unclear(' '.join(s.core)) for s in steps):
        return None
    # 'and turn': which way?
    open_ = any(phrases().is_open(s.core) for s in steps if s.step.key != 'turn:around')
    return None if open_ else steps


def is_phrase(words: Sequence[str]) -> bool:
    """Whether words are one phrase of training, and not several one behind the other."""
    def known(clause: Sequence[str]) -> bool:
        seen = phrases().find_objects([w for w in clause if w != ','])
        return phrases().meaning(seen.words).degree is Degree.PHRASE

    if not known(words):
        return False
    marks = [0, *places(words), len(words)]
    pieces = [stripped(words[begin:end]) for begin, end in pairwise(marks)]
    return len(pieces) == 1 or not all(known(piece) or tuple(piece) in AGAIN
                                       for piece in pieces if piece)


def places(words: Sequence[str]) -> list[int]:
    """Where words can be parted."""
    within = {i for a in amounts(words) for i in range(a.begin, a.end)}  # 'a metre and a half'
    return [i for i, w in enumerate(words)
            if i > 0 and i not in within and w in _JOINTS and words[i - 1] not in _JOINTS
            and not (w == 'next' and words[i + 1:i + 2] == ('to',))]


def stripped(words: Sequence[str]) -> list[str]:
    """A clause without the words that join it to the one before."""
    begin, end = 0, len(words)
    while begin < end and words[begin] in _GLUE:
        begin += 1
    while end > begin and words[end - 1] in _GLUE:
        end -= 1
    clause = list(words[begin:end])
    if clause[:2] == ['followed', 'by']:
        clause = clause[2:]
    return clause


def _out_of_order(words: Sequence[str]) -> list[Said] | None:
    """'before you wave, go to the red box': as the steps shall happen."""
    for word in ('before', 'after'):
        if list(words).count(word) != 1:
            continue
        at = list(words).index(word)
        inner = at + 1
        if inner < len(words) and words[inner] in ('that', 'this', 'which'):
            continue
        inner += tuple(words[inner:inner + 1]) == ('you',)
        begin = at
        while begin > 0 and words[begin - 1] in (*_GLUE, 'but', 'right', 'immediately'):
            begin -= 1
        if begin == 0:  # before A, B
            commas = [i for i in range(inner, len(words)) if words[i] == ',']
            parts = [(words[inner:i], words[i:]) for i in commas]
        else:
            parts = [(words[inner:], words[:begin])]
        for one, other in parts:
            subordinate = _several(phrases().base_form(one), None)
            main = _several(stripped(other), subordinate[-1] if subordinate and begin == 0
                            else None)
            if main is not None and begin > 0:
                subordinate = _several(phrases().base_form(one), main[-1])
            if subordinate is None or main is None:
                continue
            return [*main, *subordinate] if word == 'before' else [*subordinate, *main]
    return None


_ARRIVED = frozenset(('got', 'done', 'arrived', 'finished', 'reached'))
"""These speak of the step before: 'once you have got there'."""


def _done_first(words: Sequence[str]) -> list[str] | None:
    """'once you have turned left, wave' as 'after turn left, wave'; None where it has no such."""
    for lead in sorted(_DONE_FIRST, key=len, reverse=True):
        for at in range(len(words) - len(lead)):
            if tuple(words[at:at + len(lead)]) == lead:
                did, *rest = words[at + len(lead):]
                if did not in _ARRIVED and (doing := phrases().present(did)) != did:
                    return [*words[:at], 'after', doing, *rest]
    return None


def _shapes_told(words: Sequence[str]) -> Sequence[str]:
    """'the red and the blue box' as 'the red box and the blue box'."""
    told = list(words)
    for at in range(len(told) - 1, 0, -1):
        name = phrases().name_of((told[at],))
        if name in COLOURS and told[at + 1:at + 2] in (['and'], [',']) and told[at - 1] == 'the':
            rest = told[at + 2:] if told[at + 2:at + 3] != ['and'] else told[at + 3:]
            if rest[:1] == ['the'] and phrases().name_of(tuple(rest[1:2])) in COLOURS \
                    and phrases().name_of(tuple(rest[2:3])) in SHAPES:
                told.insert(at + 1, rest[2])
    return told


def _several(words: Sequence[str], last: Said | None) -> list[Said] | None:
    if not words:
        return None
    one = _clear(words, last)
    return one if one is not None else part(words)
