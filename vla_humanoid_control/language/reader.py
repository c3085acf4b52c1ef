"""Reads an utterance: what is to be done, step by step; or why nothing of it is done.

    'go to the red box, then touch it and wave twice'
        -> go to the red box | touch the red box | wave | wave

A step is taken only where every word that carries meaning has found its place (`clauses.py`,
`quantities.py`). Where an utterance has several (`parting.py`), each must be certain on its own:
what can be split in part is not split at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from vla_humanoid_control.language.clauses import (
    AS_IT_ENDED,
    Said,
    certain,
    elliptic,
    has_amount,
    pointing,
    said_of,
)
from vla_humanoid_control.language.frames import ARRIVING
from vla_humanoid_control.language.parting import (
    AGAIN,
    further_steps,
    is_phrase,
    part,
    places,
    stripped,
)
from vla_humanoid_control.language.phrases import MARK, Degree, phrases
from vla_humanoid_control.language.plan import MOST_STEPS, Quantity, Step, Unit
from vla_humanoid_control.language.qualifiers import why_unclear
from vla_humanoid_control.language.quantities import amounts, is_number
from vla_humanoid_control.language.questions import Question, question_about
from vla_humanoid_control.language.references import Marked, mark_references, placed
from vla_humanoid_control.language.trees import OBJECT
from vla_humanoid_control.language.words import speller, words_of

LEAST_M, MOST_M = 0.1, 5.0
"""Ways that are walked in one go [m]."""
LEAST_RAD, MOST_RAD = math.radians(5), math.radians(720)
"""Angles that are turned by in one go [rad]."""
MOST_WORDS = 80
_ALL_OR_NOTHING = 'I do all of what is said or nothing'
_FURTHER = frozenset(('further', 'more', 'going', 'on', 'continue'))
# What a correction of the command before begins and ends with.
_BUT = frozenset(('no', 'sorry', 'actually', 'and', 'now', 'please', 'wait', 'oh', 'i', 'mean',
                  'rather', 'instead', 'try', 'then', 'take'))
_BUT_LAST = frozenset(('please', 'instead', 'rather', 'now', 'then'))
_ASKING = frozenset(('what', 'where', 'who', 'whom', 'whose', 'which', 'why', 'how', 'when'))
_AUXILIARY = frozenset(('is', 'are', 'was', 'were', 'do', 'does', 'did', 'has', 'have', 'had',
                        'am'))
_SUBJECT = frozenset(('you', 'i', 'we', 'he', 'she', 'it', 'they', 'the', 'a', 'an', 'there',
                      'this', 'that', 'these', 'those', 'your', 'my', 'our', 'anybody', 'anyone',
                      'somebody', 'someone'))
_ARTICLES = frozenset(('a', 'an', 'the', 'your', 'this', 'that', 'my', 'our'))
_MODAL = frozenset(('can', 'could', 'will', 'would', 'shall', 'should', 'may', 'might', 'must'))
_TELLER = frozenset(('i', 'he', 'she', 'it', 'they', 'we', 'there', 'this', 'these', 'those',
                     'everybody', 'everyone', 'somebody', 'someone', 'nobody', 'people',
                     'yesterday'))
_DOING = frozenset(('are', 'were', 'is', 'was', 'have', 'has', 'had', 'went', 'did', 'do', 'does',
                    'got', 'saw', 'seem', 'seems', 'look', 'looks', 'looked', 'stood', 'will',
                    'like', 'likes', 'love', 'know', 'think'))
_VERB = frozenset(('is', 'are', 'was', 'were', 'am', 'has', 'have', 'had', 'will', 'would', 'can',
                   'could', 'did', 'do', 'does', 'should', 'shall', 'may', 'might', 'must', 'went',
                   'goes', 'said', 'says', 'say', 'told', 'tells', 'likes', 'like', 'want',
                   'wants', 'saw', 'think', 'thinks', 'know', 'knows'))


@dataclass(frozen=True)
class Reading:
    """What was understood of an utterance.

    Attributes:
        steps: What is to be done, one after the other; empty where there is a `problem`.
        problem: Why no policy is to act on it, for people; '' where one may.
        unplaced: Words that say something and have no place in any task that is known here: none
            where all is understood. A policy that learnt other tasks may know what they mean.
        question: What to ask before anything is done; None where there is nothing to ask.
    """

    steps: tuple[Step, ...] = ()
    problem: str = ''
    unplaced: tuple[str, ...] = ()
    question: Question | None = None


def read(text: str, before: Sequence[Step] = (), sees: bool = False) -> Reading:
    """Read an utterance that is no stop.

    Args:
        text: What a person said, as `intake.parse_command` lets it pass.
        before: The steps of the command before, to which 'again' and 'the blue one' refer.
        sees: Whether whoever acts on it can look which object is meant: 'the box left of the cup'
            is a `Step.reference` then, and nothing is asked before it was looked for.
    """
    return _read(text, tuple(before), sees)


def why_unplaced(text: str) -> str:
    """Why who knows no other tasks than ours must not act on an utterance; '' where it may."""
    reading = read(text)
    if reading.question is not None:
        return reading.question.text
    if reading.problem or not reading.unplaced:
        return reading.problem
    strange = ', '.join(map(repr, dict.fromkeys(reading.unplaced)))
    return f'I do not know what to do about {strange}: {_ALL_OR_NOTHING}'


def may_tell(words: Sequence[str]) -> bool:
    """Whether words that found no place may tell something: 'the red box is lovely'."""
    plain = [w for w in words if w != ',']
    return plain[:1] != [] and plain[0] in _TELLER | _ARTICLES and not _VERB.isdisjoint(plain)


def warm_up() -> None:
    """Make what reading needs, so that the first utterance is not read later than others."""
    phrases()
    speller()


@lru_cache(maxsize=256)
def _read(text: str, before: tuple[Step, ...], sees: bool) -> Reading:
    words = words_of(text)
    if len(words) > MOST_WORDS:
        return Reading(problem=f'that is more than {MOST_WORDS} words: say it shorter')
    if not sees:
        return _read_words(text, words, before)
    if (related := _read_marked(text, words, before, bare=False)) is not None:
        return related
    reading = _read_words(text, words, before)
    steps = placed(reading.steps, Marked(words, {}), before)
    if steps is not None and reading.question is None:
        return replace(reading, steps=steps)
    if (bare := _read_marked(text, words, before, bare=True)) is not None:
        return bare
    return reading if steps is not None else Reading((Step(text),), unplaced=words)


def _read_marked(text: str, words: tuple[str, ...], before: tuple[Step, ...], *, bare: bool
                 ) -> Reading | None:
    """The reading with references to objects in view; None where there are none, or any doubt."""
    marked = mark_references(words, bare)
    if not marked.references:
        return None
    reading = _read_words(text, marked.words, before)
    if reading.problem or reading.unplaced or reading.question is not None:
        return None
    steps = placed(reading.steps, marked, before)
    return None if steps is None else Reading(steps)


def _read_words(text: str, words: tuple[str, ...], before: tuple[Step, ...]) -> Reading:
    last = _recalled(before[-1]) if before else None
    if last is not None and (resumed := _refers(words, last, before)):
        return Reading(resumed)
    unclear = why_unclear(text)
    # 'see the red box' is a way to send it there; 'can you see the red box' is not.
    tells = _asks_sight(words) or (_tells(words) and not is_phrase(words))
    whole = None if unclear or tells else certain(words, None)
    # One phrase of training may join two verbs: 'stand still and look up'.
    if whole is not None and (not places(words) or is_phrase(words)):
        steps: list[Said] | None = whole
    else:
        steps = part(words) or whole
        if steps is not None and _asks_besides(words, steps):
            steps = None
    if steps is not None:
        if len(steps) == 1 and any(f' {a} ' in f' {" ".join(words)} ' for a in ARRIVING):
            return Reading(problem='this waits for something else to be done: say both at once')
        if len(steps) == 1 and steps[0].step.key != 'turn:around' \
                and phrases().is_open(steps[0].core) \
                and (question := question_about(words, _steps_of)):
            return Reading((Step(text),), question=question)
        return _done_in_one_go(steps, text, words)
    if unclear:
        return Reading(problem=unclear)
    return _not_certain(text, words)


def _tells(words: Sequence[str]) -> bool:
    """Whether words ask or tell something: 'where is the box', 'you are next to the box'."""
    plain = [w for w in words if w != ',']
    return bool(plain) and (plain[0] in _ASKING or (
        plain[0] in _TELLER | {'you'} and any(w in _DOING for w in plain[1:2])))


def _asks_sight(words: Sequence[str]) -> bool:
    """Whether words ask what it sees: 'can you see the red box'."""
    return _sight_asked(words) is not None


def _sight_asked(words: Sequence[str]) -> int | None:
    """Where words ask what it sees; None where they do not."""
    return next((i for i, pair in enumerate(pairwise(words)) if pair == ('you', 'see')), None)


def _asks_besides(words: Sequence[str], steps: Sequence[Said]) -> bool:
    """Whether seeing something is asked for its own sake, and taken for a step.

    Not so in 'can you see the red box? go there', which goes to what is asked about.
    """
    asked = _sight_asked(words)
    if asked is None:
        return False
    rest = words[asked:]
    rest = rest[rest.index(','):] if ',' in rest else ()
    seen = [s for s in steps if s.core[:1] == ('see',) and s.named]
    return bool(seen) and (len(steps) > 1
                           or phrases().says_nothing([w for w in rest if w != ',']))


def _steps_of(words: Sequence[str]) -> tuple[Step, ...]:
    """The steps of words that are certain and can be done in one go."""
    whole = certain(words, None)
    steps = whole if whole is not None and not places(words) else part(words) or whole
    if steps is None:
        return ()
    return _done_in_one_go(steps, ' '.join(w for w in words if w != ','), words).steps


def _done_in_one_go(steps: Sequence[Said], text: str, words: Sequence[str]) -> Reading:
    """The reading of an utterance that is understood."""
    moving = [s.step for s in steps if s.step.key != 'stop'] or [s.step for s in steps]
    if problem := _beyond(moving):
        return Reading(problem=problem)
    if len(moving) == len(steps) == 1 and moving[0].quantity is None and not has_amount(words) \
            and MARK not in moving[0].key:
        return Reading((replace(moving[0], text=text),))  # in the person's own words
    return Reading(tuple(moving))


# --- what refers to the command before ------------------------------------------------------

def _refers(words: Sequence[str], last: Said, before: tuple[Step, ...]) -> tuple[Step, ...]:
    """What words mean that only make sense after the command before; empty where they do not."""
    clause = [w for w in words if w != ',']
    while clause and clause[0] in _BUT:
        clause = clause[1:]
    while clause and clause[-1] in _BUT_LAST:
        clause = clause[:-1]
    if not clause:
        return ()
    if tuple(clause) in AGAIN:
        again = before if not _FURTHER & set(clause) else before[-1:]
        return again if all(s.key.startswith(AS_IT_ENDED) for s in again) else ()
    seen = phrases().find_objects(clause)
    own = phrases().meaning(seen.words)
    ways = [*elliptic(seen, last),
            *(pointing(seen, last) if own.degree < Degree.PLAIN else ())]
    for candidate in ways:
        meaning = phrases().meaning(candidate.words)
        if meaning.degree >= Degree.PLAIN and len(candidate.named) <= 1:
            return (said_of(meaning, candidate).step,)
    return ()


def _recalled(step: Step) -> Said | None:
    """A step of the command before, as one that later words can refer to."""
    words = tuple(w for w in words_of(step.text) if w != ',')
    if step.reference is not None:
        words = mark_references(words, bare=True, label='before').words
    seen = phrases().find_objects(words)
    meaning = phrases().meaning(seen.words)
    if meaning.degree is Degree.NONE:
        return None
    return replace(said_of(meaning, seen), step=step if step.key else said_of(meaning, seen).step)


# --- what is not certain --------------------------------------------------------------------

def _beyond(steps: Sequence[Step]) -> str:
    """Why steps that were understood are more than is done in one go; '' where they are not."""
    if len(steps) > MOST_STEPS:
        return f'that is more than {MOST_STEPS} things to do: say fewer at a time'
    for step in steps:
        if (quantity := step.quantity) is not None and (problem := _out_of_range(quantity)):
            return f'{step.text!r}: {problem}'
    return ''


def _out_of_range(quantity: Quantity) -> str:
    if quantity.unit is Unit.METRES:
        return '' if LEAST_M <= quantity.value <= MOST_M else \
            f'{quantity.value:g} m is not between {LEAST_M:g} and {MOST_M:g} m'
    return '' if LEAST_RAD <= quantity.value <= MOST_RAD + 1e-6 else \
        (f'{math.degrees(quantity.value):.0f} degrees is not between '
         f'{math.degrees(LEAST_RAD):.0f} and {math.degrees(MOST_RAD):.0f} degrees')


def _not_certain(text: str, words: Sequence[str]) -> Reading:
    """What to make of an utterance that is no request for certain."""
    plain = [w for w in words if w != ',']
    seen = phrases().find_objects(plain)
    meaning = phrases().meaning(seen.words)
    is_stop = meaning.degree is Degree.LOOSE and meaning.entry == 'stop'
    if not is_stop and (problem := _no_request(words)):
        return Reading(problem=problem)
    if not is_stop and (question := question_about(words, _steps_of)):
        return Reading((Step(text),), unplaced=meaning.unplaced, question=question)
    numbers = tuple(w for w in seen.words if is_number(w))
    if numbers or list(amounts(plain)):
        return Reading((Step(text),), unplaced=numbers or tuple(
            w for a in amounts(plain) for w in plain[a.begin:a.end]))
    if meaning.degree is Degree.LOOSE and len(seen.named) <= 1:
        return Reading((Step(text),))
    if places(words) and (strange := _strange_clauses(words)):
        return Reading((Step(text),), unplaced=strange)
    unplaced = tuple(seen.said[0] if w == OBJECT and seen.said else w
                     for w in meaning.unplaced) or tuple(seen.words)
    return Reading((Step(text),), unplaced=unplaced)


def _strange_clauses(words: Sequence[str]) -> tuple[str, ...]:
    """Of words that can be parted, the parts that are not understood where others are."""
    marks = [0, *places(words), len(words)]
    so_far: list[Said] = []
    strange: list[str] = []
    for begin, end in pairwise(marks):
        clause = stripped(words[begin:end])
        steps = further_steps(clause, so_far)
        if steps is None:
            strange.append(' '.join(clause))
        else:
            so_far.extend(steps)
    return tuple(strange) if so_far else ()


def _no_request(words: Sequence[str]) -> str:
    """Why words ask for nothing, whatever a robot can do; '' where they may ask for something."""
    for core in () if _asks_sight(words) else phrases().cores([w for w in words if w != ',']):
        if phrases().begins_one(core[0]) and core[0] not in _ASKING and not (
                core[0] in _AUXILIARY and core[1:2] and core[1] in _SUBJECT
                and not (core[0] == 'do' and core[1] in _ARTICLES)):
            return ''
    first = next((w for w in words if w != ','), '')
    second = next((w for w in words[1:] if w != ','), '')
    if first in _ASKING or _asks_sight(words) \
            or (first in _AUXILIARY and second in _SUBJECT) \
            or (first in _MODAL and second != 'you'):
        return 'this is a question, and no request: I only do what I am asked to do now'
    if first in _TELLER or any(v in _VERB for v in words[1:4]):
        return 'this tells something, and asks for nothing: I only do what I am asked to do now'
    return ''
