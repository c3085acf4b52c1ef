"""Free English for every task, and requests outside the robot's abilities.

The templates are data (`config/phrasings/<split>.yaml`); here they are expanded into sentences,
drawn with a fixed seed, with the case, punctuation and typing errors that people produce. The
splits were written apart, and share no sentence: training leaves out what the others say.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from vla_humanoid_control.support.resources import config_path, read_yaml
from vla_humanoid_control.tasks.vocabulary import (
    COLOURS,
    OBJECT_FAMILIES,
    SHAPES,
    TASK_KEYS,
    family_of,
)

Split = Literal['train', 'val', 'test']

_COUNT = {'train': 1500, 'val': 100, 'test': 60}
_OUT_OF_SCOPE_COUNT = {'train': 15000, 'val': 500, 'test': 400}
_LATER: Mapping[Split, tuple[Split, ...]] = {
    'train': ('val', 'test'), 'val': ('test',), 'test': ()}
_TYPO = {'train': 0.08, 'val': 0.05, 'test': 0.05}
_FIXED_WORDS = frozenset(('left', 'right', *COLOURS, *SHAPES))  # a typo here may change meaning
_CHOICE = re.compile(r'\(([^()]*)\)')


@cache
def phrasings(task_key: str, split: Split) -> list[str]:
    """Sentences that mean one task.

    Args:
        task_key: One of `TASK_KEYS`.
        split: 'train' to learn from, 'val' to validate and to calibrate with, 'test' to evaluate.

    Returns:
        Distinct sentences, always the same ones in the same order: up to 1500, 100 and 60. No
        sentence of one split is in another, whatever its case and punctuation.
    """
    family = family_of(task_key)
    data = templates(split)
    colour, _, shape = task_key.partition(':')[2].partition(':')
    by_object = family in OBJECT_FAMILIES
    entry = family if by_object else task_key
    plain = [(t, False) for t in data['sentences'].get(entry, ())]
    framed = [(t, True) for t in data['phrases'][entry]]
    rng = random.Random(f'{task_key}/{split}')

    def draw() -> str:
        template, framable = rng.choice(framed + plain)
        text = _expand(template, rng)
        if by_object:
            words = data['words']
            name = _expand(rng.choice(data['object']), rng)
            name = name.replace('{colour}', rng.choice(words[colour]))
            text = text.replace('{object}', name.replace('{shape}', rng.choice(words[shape])))
        return str(rng.choice(data['frames']).replace('{}', text)) if framable else text

    taken = {normalise(t) for other in _LATER[split] for t in phrasings(task_key, other)}
    return _collect(draw, rng, split, _COUNT[split], taken)


@cache
def out_of_scope(split: Split) -> list[str]:
    """Requests that the robot cannot carry out, and must not try to; splits as in `phrasings`."""
    data = templates(split)
    rng = random.Random(f'out_of_scope/{split}')

    def draw() -> str:
        text = _expand(rng.choice(data['out_of_scope']), rng)
        return str(rng.choice(data['frames']).replace('{}', text))

    taken = {normalise(t) for other in _LATER[split] for t in out_of_scope(other)}
    # What means a task is none, though a template may draw it by a slip of the finger.
    taken |= {normalise(t) for key in TASK_KEYS for t in phrasings(key, split)}
    return _collect(draw, rng, split, _OUT_OF_SCOPE_COUNT[split], taken)


def rehearsed(task_key: str | None, split: Literal['train', 'val']) -> list[str]:
    """What is said in rollouts, from which the confidence learns (train) and is calibrated (val).

    A policy misreads next to nothing that it was trained on. So that its confidence sees it
    misread, half of the validation phrasings are said in training rollouts as well, as often as
    those of training; calibration has the other half to itself.

    Args:
        task_key: One of `TASK_KEYS`; None for requests out of scope.
        split: Of the rollouts.
    """
    apart = out_of_scope('val') if task_key is None else phrasings(task_key, 'val')
    if split == 'val':
        return apart[1::2]
    known = out_of_scope('train') if task_key is None else phrasings(task_key, 'train')
    return known[:len(apart)] + apart[::2] * 2


def vocabulary(of_tasks: bool) -> list[str]:
    """Lower-case words of training's templates, with repeats: of tasks, or of other requests."""
    def texts(part: Any) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        else:
            for inner in part.values() if isinstance(part, dict) else part:
                yield from texts(inner)

    data = templates('train')
    ours = ('frames', 'words', 'object', 'phrases', 'sentences')
    parts = [data[name] for name in (ours if of_tasks else ('out_of_scope',))]
    return [word for text in texts(parts)
            for word in re.findall("[a-z]+(?:'[a-z]+)?", text.lower().replace('{', ' {'))]


def normalise(text: str) -> str:
    """Lower case, no punctuation, single blanks: two texts that differ only so are the same."""
    return ' '.join(re.sub(r"[^a-z0-9' -]", ' ', text.lower()).split())


def _collect(draw: Any, rng: random.Random, split: Split, count: int,
             taken: set[str]) -> list[str]:
    """Draw until `count` distinct texts are there, or no new ones turn up."""
    result: list[str] = []
    seen = set(taken)
    misses = 0
    while len(result) < count and misses < 2000:
        text = ' '.join(draw().split())
        key = normalise(text)
        if key in seen:
            misses += 1
            continue
        seen.add(key)
        surface = _surface(text, rng, _TYPO[split])
        if surface != text and normalise(surface) != key:
            if normalise(surface) in seen:
                surface = text
            seen.add(normalise(surface))
        result.append(surface)
    return result


def _expand(template: str, rng: random.Random) -> str:
    """Resolve every `(a|b)` from the inside out."""
    while True:
        match = _CHOICE.search(template)
        if match is None:
            return template
        choice = rng.choice(match.group(1).split('|'))
        template = template[:match.start()] + choice + template[match.end():]


def _surface(text: str, rng: random.Random, typo: float) -> str:
    """Case, punctuation and the odd typing error."""
    if rng.random() < typo:
        text = _mistype(text, rng)
    style = rng.random()
    if style < 0.08:
        text = text.upper()
    elif style < 0.45:
        text = text[0].upper() + text[1:]
    return text + rng.choice(('', '', '', '.', '!', '.'))


def _mistype(text: str, rng: random.Random) -> str:
    """Drop, double or swap one letter inside one longer word that is not a key word."""
    words = text.split(' ')
    places = [i for i, w in enumerate(words) if len(w) >= 4 and w.isalpha()
              and w not in _FIXED_WORDS]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randrange(1, len(words[i]) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        words[i] = word[:at] + word[at + 1:]
    elif kind == 1:
        words[i] = word[:at] + word[at] + word[at:]
    else:
        words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2:]
    return ' '.join(words)


@cache
def templates(split: Split) -> dict[str, Any]:
    """The templates of a split, as their file has them; see the head of `train.yaml`."""
    result: dict[str, Any] = read_yaml(config_path(f'phrasings/{split}.yaml'), 'Phrasings',
                                       'Install the package again.')
    return result
