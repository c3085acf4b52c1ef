"""What a planner, such as a language model, may put plainly, and what of its answer is taken.

    'sashay over to the red box and then give us a howdy'
        -> sashay over to the red box | give us a howdy         clauses, which are asked about
        <- go to the red box          | wave                    plain words, one for each
        -> go to the red box | wave                             steps, as `reader.read` has them

It is asked about words that found no place, and about nothing else: what is a negation, a
condition, a question, or told about something, is held without it. Its words are read like a
person's. Objects, numbers and sides must be those of the clause, each clause must come to a step
of its own, and words that the plan does as well without were left out by it: then nothing is done.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.language.parting import places, stripped
from vla_humanoid_control.language.phrases import phrases
from vla_humanoid_control.language.plan import MOST_STEPS, Step
from vla_humanoid_control.language.quantities import amounts, is_number
from vla_humanoid_control.language.reader import may_tell
from vla_humanoid_control.language.trees import FUNCTION
from vla_humanoid_control.language.words import uncorrected_words_of
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

_QUOTES = frozenset('"\u201c\u201d\u201e\u201f\u00ab\u00bb')
_JOIN = ' and then '
_SIDES = frozenset(('left', 'right'))
_OPPOSITES = (('up', ('up', 'upward', 'upwards'), ('down', 'downward', 'downwards')),
              ('ahead', ('forward', 'forwards', 'ahead'), ('back', 'backward', 'backwards')))
_LEFT_OUT = 4  # words in a row
_SHOWN = 60  # characters of the planner's words in a reason

GUIDE = """\
You put requests to a humanoid robot into plain English. All that it can do is:
walk forward, walk backward, step to the left, step to the right (or so many metres),
turn left, turn right, turn around (or by so many degrees), stand still,
go to an object, touch an object, wave, raise your left hand, raise your right hand,
look up, look down, look to the left, look to the right.
Objects are red, green, blue or yellow boxes, balls, cups and cones.
You get the whole request, and the clauses that it consists of. Answer with JSON alone:
{"steps": [...]}, a list as long as that of the clauses. For each clause give one plain request in
the words above, or null where the robot cannot do all of what the clause says, where it is no
request to the robot, or where you are not sure. Keep colours, objects, numbers, left and right,
and words such as 'it', as they were said. Leave nothing out and add nothing.
"""
"""What a planner is told first."""


@dataclass(frozen=True)
class PlanQuestion:
    """What a planner is asked.

    Attributes:
        instruction: What the person said, as it was read.
        clauses: What it consists of, each in lower case.
        before: The steps of the command before.
        sees: Whether it can be looked which object is meant.
    """

    instruction: Instruction
    clauses: tuple[str, ...]
    before: tuple[Step, ...] = ()
    sees: bool = False

    @property
    def text(self) -> str:
        """The question, as JSON."""
        return json.dumps({'request': self.instruction.text, 'clauses': self.clauses},
                          ensure_ascii=False)


def plan_question(instruction: Instruction, before: Sequence[Step] = (), sees: bool = False
                  ) -> PlanQuestion | None:
    """What to ask a planner about an instruction that is held; None where it is not its business.

    Args:
        instruction: As `parse_command` gives it.
        before: The steps of the command before.
        sees: Whether it can be looked which object is meant.
    """
    if instruction.is_stop or instruction.unclear or instruction.question is not None \
            or not instruction.unplaced or _QUOTES.intersection(instruction.text):
        return None
    words = uncorrected_words_of(instruction.text)
    if 'before' in words or may_tell(words):  # what comes first is not what is said first
        return None
    marks = [0, *places(words), len(words)]
    parts = [[w for w in stripped(words[begin:end]) if w != ',']
             for begin, end in pairwise(marks)]
    clauses = tuple(_told(part) for part in parts if part and not phrases().says_nothing(part))
    if not 0 < len(clauses) <= MOST_STEPS:
        return None
    return PlanQuestion(instruction, clauses, tuple(before), sees)


def planned(question: PlanQuestion, answer: str) -> Instruction | str:
    """The instruction with the steps of a plan; or why nothing is done.

    Args:
        question: What the planner was asked.
        answer: What it said: JSON, with words around it or without.
    """
    plain = _steps_in(answer, len(question.clauses))
    if plain is None:
        return 'the planner gave no plan that can be read'
    said: list[str] = []
    steps: tuple[Step, ...] = ()
    own: list[Step] = []  # understood as they were said
    for clause, words in zip(question.clauses, plain, strict=True):
        more = _read(question, [*said, clause])
        if len(more) > len(steps):
            own += more[len(steps):]
            said, steps = [*said, clause], more
            continue
        if words is None:
            return f'the planner does not know what to do about {clause!r}, either'
        more = _read(question, [*said, words])
        if len(more) <= len(steps):
            return f'the planner says {words[:_SHOWN]!r}, which cannot be done'
        if problem := _changed(clause, words) or _left_out(question, said, clause, more):
            return f'the planner says {words[:_SHOWN]!r}, {problem}'
        said, steps = [*said, words], more
    if twice := _said_again(steps, own):
        return f'the planner says {twice!r} for something else, too'
    return replace(question.instruction, steps=steps, unplaced=(), is_planned=True)


def _said_again(steps: Sequence[Step], own: Sequence[Step]) -> str:
    """What a planner made of one clause though another one asks for it; '' where nothing is."""
    counts = Counter(s.key for s in steps)
    counts.subtract(Counter(s.key for s in own))  # what the planner's words came to is left
    keys = [s.key for s in steps]
    return next((s.text for s in steps if counts[s.key] and keys.count(s.key) > 1), '')


def _read(question: PlanQuestion, parts: Sequence[str]) -> tuple[Step, ...]:
    """The steps of clauses one after the other; empty where not all is understood."""
    read = parse_command(_JOIN.join(parts), question.before, question.sees)
    if not isinstance(read, Instruction) or read.is_stop or read.unclear or read.unplaced \
            or read.question is not None or any(not s.key for s in read.steps):
        return ()
    return read.steps


def _changed(clause: str, words: str) -> str:
    """What words say of an object, a number or a side that the clause does not; '' if nothing."""
    ours, theirs = uncorrected_words_of(clause), uncorrected_words_of(words)
    meant, given = _telling(ours), _telling(theirs)
    for what, problem in ((given - meant, 'though {} was not said'), (meant - given,
                                                                     'which leaves {} out')):
        if what:
            return problem.format(', '.join(map(repr, sorted(what))))
    for _, one, other in _OPPOSITES:
        for here, there in ((one, other), (other, one)):
            if set(here) & set(ours) and set(there) & set(theirs) - set(ours):
                return 'which is the opposite'
    return ''


def _telling(words: Sequence[str]) -> Counter[str]:
    """What words say of objects, sides and numbers, each under one name."""
    told: Counter[str] = Counter()
    counted = set()
    for amount in amounts(words):
        counted |= set(range(amount.begin, amount.end))
        told[f'{amount.times} times' if amount.quantity is None else
             f'{amount.quantity.value:.4g} {amount.quantity.unit.value}'] += 1
    for at, word in enumerate(words):
        name = phrases().name_of((word,))
        if word in _SIDES or name in (*COLOURS, *SHAPES):
            told[word if word in _SIDES else name] += 1
        elif at not in counted and is_number(word):
            told[word] += 1
    return told


def _left_out(question: PlanQuestion, said: Sequence[str], clause: str, steps: tuple[Step, ...]
              ) -> str:
    """Which words of a clause the plan does as well without; '' where there are none."""
    alone = parse_command(clause, question.before, question.sees)
    if not isinstance(alone, Instruction):
        return ''
    words = clause.split()
    strange = {w for unplaced in alone.unplaced for w in unplaced.split()} - FUNCTION
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + _LEFT_OUT, len(words)) + 1):
            rest, without = [*words[:begin], *words[end:]], words[begin:end]
            # 'to the red box' alone asks for nothing: the words before it say what.
            if rest and rest[0] not in FUNCTION and strange.intersection(without) \
                    and _keys(_read(question, [*said, ' '.join(rest)])) == _keys(steps):
                return f'which leaves {" ".join(without)!r} out'
    return ''


def _keys(steps: Sequence[Step]) -> list[Any]:
    return [(s.key, s.quantity, s.reference) for s in steps]


def _steps_in(answer: str, count: int) -> list[str | None] | None:
    """So many plain requests, None in the place of one that is missing; None of nonsense."""
    text = answer.rpartition('</think>')[2]  # models that reason say so first
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(text.find('{'), 0))
    except (ValueError, RecursionError):
        return None
    steps = found.get('steps') if isinstance(found, dict) else None
    if not isinstance(steps, list) or len(steps) != count \
            or any(s is not None and not isinstance(s, str) for s in steps):
        return None
    return [s.strip() or None if s is not None else None for s in steps]


def _told(words: Sequence[str]) -> str:
    """Words as a person writes them: figures with a point."""
    return re.sub(r'(?<=\d)d(?=\d)', '.', ' '.join(words))
