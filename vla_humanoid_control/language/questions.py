"""What to ask where a request leaves open which one is meant, and what an answer means.

    'go to the box'     Which box: the red, the green, the blue or the yellow one?
    'touch the red one' Which red one: the box, the ball, the cup or the cone?
    'turn 90 degrees'   Which way: left or right?
    'raise your hand'   Which hand: left or right?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vla_humanoid_control.language.phrases import phrases
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.quantities import amounts
from vla_humanoid_control.language.words import words_of
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

_SIDES = ('left', 'right')
_FEW_WORDS = 4  # what says more than 'turn a bit please' means something else
_ANSWER_MAY_HOLD = frozenset((
    ',', 'the', 'a', 'an', 'one', 'to', 'at', 'that', 'is', 'i', 'mean', 'meant', 'please',
    'your', 'go', 'take', 'hand', 'arm', 'way', 'side', 'turn', 'it', 'on', 'robot', 'no', 'yes',
    'thanks', 'of', 'course', 'ok', 'okay', 'well', 'my', *SHAPES, *COLOURS))


@dataclass(frozen=True)
class Option:
    """One answer to a question.

    Attributes:
        word: What tells it from the others, such as 'red'.
        named: Colour and shape of the object that it is about; empty where it is about none.
        steps: What is to be done where it is chosen.
    """

    word: str
    named: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Question:
    """What a person is asked.

    Attributes:
        about: What it asks for, such as 'Which box'.
        options: At least one.
    """

    about: str
    options: tuple[Option, ...]

    @property
    def text(self) -> str:
        """The question in words."""
        words = [o.word for o in self.options]
        if set(words) <= set(COLOURS):
            words = [*(f'the {w}' for w in words[:-1]), f'the {words[-1]} one']
        elif set(words) <= set(SHAPES):
            words = [f'the {w}' for w in words]
        *first, last = words
        return f'{self.about}: {", ".join(first) + " or " if first else ""}{last}?'

    def answer(self, text: str) -> Option | None:
        """The option that an answer names; None where it names none, or says something else."""
        words = words_of(text)
        known = {o.word: o for o in self.options}
        names = [_plain_name(w) for w in words]
        chosen = {n for n in names if n in known}
        if len(chosen) != 1 or not all(n in known or w in _ANSWER_MAY_HOLD
                                       for w, n in zip(words, names, strict=True)):
            return None
        return known[chosen.pop()]


def _plain_name(word: str) -> str:
    """'crimson' is 'red', 'crate' is 'box'; other words are themselves."""
    return phrases().name_of((word,)) or word


Understood = Callable[[Sequence[str]], tuple[Step, ...]]
"""The steps of words that are understood for certain; none where they are not."""


def question_about(words: Sequence[str], understood: Understood) -> Question | None:
    """What to ask about words that are not understood as they are; None where asking is no help.

    Args:
        words: Of an utterance, from `words_of`.
        understood: Reads words that say more.
    """
    for about, ways in _completions(words):
        options = []
        for word, named, completed in ways:
            steps = understood(completed)
            if not steps:
                break
            options.append(Option(word, named, steps))
        else:
            return Question(about, tuple(options))
    return None


_Ways = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


def _completions(words: Sequence[str]) -> Iterator[tuple[str, _Ways]]:
    """Ways to say what words leave open: a word, what object it makes, and the words with it."""
    told = tuple(words)
    names = [(i, phrases().name_of((w,))) for i, w in enumerate(told)]
    shapes = [(i, n) for i, n in names if n in SHAPES]
    colours = [(i, n) for i, n in names if n in COLOURS]
    if len(shapes) == 1 and not colours:
        at, shape = shapes[0]
        yield f'Which {told[at]}', [(c, (c, shape), (*told[:at], c, *told[at:])) for c in COLOURS]
    if len(colours) == 1 and not shapes:
        at, colour = colours[0]
        rest = at + 1 + (told[at + 1:at + 2] in (('one',), ('thing',), ('object',)))
        yield f'Which {told[at]} one', [
            (s, (colour, s), (*told[:at + 1], s, *told[rest:])) for s in SHAPES]
    if not set(told) & {*_SIDES, 'around'}:
        spoken = [w for w in told if w != ',']
        if not shapes and not colours and (len(spoken) <= _FEW_WORDS or any(amounts(spoken))):
            yield 'Which way', [(s, (), (*told, 'to', 'the', s)) for s in _SIDES]
        for limb in ('hand', 'arm'):
            if told.count(limb) == 1:
                at = told.index(limb)
                article = at > 0 and told[at - 1] in ('a', 'an', 'one')
                yield f'Which {limb}', [
                    (s, (), (*told[:at - article], *(('your',) if article else ()), s, *told[at:]))
                    for s in _SIDES]
