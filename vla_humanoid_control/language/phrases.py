"""What tasks sound like: the phrasings of training as a grammar that says which task words mean.

A core, what is left of an utterance without the words around it ('please', 'could you', 'thanks'),
means a task in one of four degrees:

    phrase    it is one of the phrases of training, with any object
    plain     it says in other words what one of them says (`plainer.py`)
    loose     it is about standing still: each word occurs in phrases of that
    none      something has no place in any task: `unplaced` says which words

That each word occurs in phrases is not enough for anything that moves: 'lift the red box', 'look
at it', 'sit down' and 'turn the light on' are made of words that phrases have, too.

Phrases are read from `config/phrasings/train.yaml` and `val.yaml`; `test.yaml` stays for
evaluation. Follow sets are those of V. M. Glushkov's construction, 1961.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from typing import Literal

from vla_humanoid_control.language.frames import frames
from vla_humanoid_control.language.plainer import plainer
from vla_humanoid_control.language.trees import (
    FUNCTION,
    OBJECT,
    Joints,
    Tree,
    ends,
    joints_of,
    pattern_of,
    tree_of,
    words_in,
)
from vla_humanoid_control.language.words import plain_words
from vla_humanoid_control.tasks.phrasings import templates
from vla_humanoid_control.tasks.vocabulary import COLOURS, OBJECT_FAMILIES

_SPLITS: tuple[Literal['train', 'val'], ...] = ('train', 'val')
_DETERMINERS = frozenset(['the', 'a', 'an', 'that', 'this', 'your', 'my', 'our'])
_NONE: frozenset[int] = frozenset()
_NO_VERB = FUNCTION - {'do', 'be', 'please'}
SIZES = frozenset((
    'big', 'bigger', 'biggest', 'large', 'larger', 'largest', 'huge', 'giant', 'tall', 'tallest',
    'tiny', 'smallest', 'old', 'new', 'other', 'second'))
"""Of objects: training's phrases have these words, and nothing that is done depends on them."""
_MANNERS = frozenset((
    'hop', 'hopping', 'skip', 'jump', 'leap', 'crawl', 'tiptoe', 'tiptoes', 'dance', 'gallop',
    'roll', 'swim', 'fly', 'skate', 'limp', 'somersault'))
"""Of going somewhere: likewise."""
_STILL = frozenset(('stop', 'halt', 'still', 'enough', 'freeze', 'stay', 'cease', 'quit', 'rest'))
"""What says that nothing shall move, somehow."""
_IRREGULAR = {'gone': 'go', 'taken': 'take', 'made': 'make', 'done': 'do', 'stood': 'stand',
              'been': 'go', 'put': 'put', 'had': 'have', 'given': 'give', 'spun': 'spin',
              'got': 'get', 'come': 'come', 'found': 'find', 'reached': 'reach', 'run': 'run'}
_BEGINNING = frozenset(('start', 'begin', 'keep', 'continue'))
MARK = '<r'
"""Of a word that stands for an object which other words tell: it begins so, and ends with '>'."""
_LONGEST_LEAD = 10
_FEW_PLACES = 5


class Degree(IntEnum):
    """How surely words mean a task; see this module."""

    NONE = 0
    LOOSE = 1
    PLAIN = 2
    PHRASE = 3


@dataclass(frozen=True)
class Objects:
    """Words with every object in them replaced by `OBJECT`.

    Attributes:
        words: Of the utterance, lower case; `OBJECT` with 'the' before it for each object.
        named: Colour and shape of each, in order; of a `MARK` itself and ''.
        said: The words of each, such as 'crimson crate'.
    """

    words: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    said: tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """What a core means.

    Attributes:
        degree: How surely.
        entry: The task key; of `OBJECT_FAMILIES` the family alone. '' where none.
        core: The words that it was read from, `Objects.words`.
        unplaced: Words that have no place in any task, where there is none.
    """

    degree: Degree
    entry: str = ''
    core: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()


class Phrases:
    """The grammar. Holds no state once it is made."""

    def __init__(self) -> None:
        self._names = _names()
        self._longest = max(map(len, self._names))
        self._objects = _object_patterns()
        self._leads, self._tails = frames()
        self._trees: dict[str, list[Tree]] = {}
        self._with_word: dict[str, defaultdict[str, set[int]]] = {}  # numbers of trees
        self.joints_of: dict[str, Joints] = {}
        for entry, phrases, sentences in _entries():
            both = list(dict.fromkeys((*phrases, *sentences)))
            self._trees[entry] = [tree_of(template) for template in both]
            self._with_word[entry] = defaultdict(set)
            for number, tree in enumerate(self._trees[entry]):
                for word in words_in(tree):
                    self._with_word[entry][word].add(number)
            self.joints_of[entry] = joints_of(phrases, sentences)
        self._meaning = lru_cache(maxsize=1024)(self._find_meaning)
        self._begin = {w for j in self.joints_of.values() for w in j.imperative}

    def find_objects(self, words: Sequence[str]) -> Objects:
        """Replace what names an object: 'go to the box that is crimson' has 'the <o>'."""
        tokens = self.tokens(words)
        line = ''.join(f'{kind} ' for kind, _, _ in tokens)
        found: list[str] = []
        named: list[tuple[str, str]] = []
        said: list[str] = []
        at = index = 0
        while at < len(line):
            ends = [m.end() for p in self._objects if (m := p.match(line, at))]
            if (mark := tokens[index][2]).startswith(MARK):
                named.append((mark, ''))
                said.append(mark)
                if found and found[-1] in _DETERMINERS:
                    found.pop()
                found.extend(('the', OBJECT))
                at, index = line.index(' ', at) + 1, index + 1
                continue
            if not ends:
                found.extend(tokens[index][2].split())
                at, index = line.index(' ', at) + 1, index + 1
                continue
            count = line.count(' ', at, max(ends))
            part = tokens[index:index + count]
            names = [name for _, name, _ in part if name]
            if undone := SIZES.intersection(' '.join(w for _, _, w in part).split()):
                found.extend(sorted(undone))  # 'the tall cone': there is no telling which
            named.append(next((c, s) for c in names for s in names
                              if c in COLOURS and s not in COLOURS))
            said.append(' '.join(word for _, _, word in part))
            if found and found[-1] in _DETERMINERS:
                found.pop()
            found.extend(('the', OBJECT))
            at, index = max(ends), index + count
        return Objects(tuple(found), tuple(named), tuple(said))

    def name_of(self, words: tuple[str, ...]) -> str:
        """The colour or shape that words mean; '' where they mean none."""
        return self._names.get(words, '')

    def shape_alone(self, words: Sequence[str]) -> str:
        """The one shape that is named without a colour, where words name one; else ''."""
        shapes = {name for kind, name, _ in self.tokens(words) if kind == '<s>'}
        return shapes.pop() if len(shapes) == 1 else ''

    def cores(self, words: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """What can be left of words without what is said around a request, the longest first."""
        count = len(words)
        begins, ends = {0}, {count}
        for at in range(count):
            if at in begins:
                begins |= {end for end in range(at + 1, min(count, at + _LONGEST_LEAD) + 1)
                           if tuple(words[at:end]) in self._leads}
        for at in range(count, 0, -1):
            if at in ends:
                ends |= {begin for begin in range(max(0, at - _LONGEST_LEAD), at)
                         if tuple(words[begin:at]) in self._tails}
        # Of many, as of 'please please please', those that leave much or little.
        few = _FEW_PLACES
        first, last = sorted(begins), sorted(ends, reverse=True)
        spans = sorted(((b, e) for b in {*first[:1], *first[-few:]}
                        for e in {*last[:1], *last[-few:]} if b < e), key=lambda s: s[0] - s[1])
        yield from (tuple(words[begin:end]) for begin, end in spans)

    def meaning(self, words: Sequence[str]) -> Meaning:
        """What words mean that have been through `find_objects`."""
        return self._meaning(tuple(words))

    def _find_meaning(self, words: tuple[str, ...]) -> Meaning:
        cores = [c for c in self.cores(words) if not FUNCTION.issuperset(c)]
        if undone := _MANNERS.intersection(words):
            return Meaning(Degree.NONE, '', words, tuple(sorted(undone)))
        cores += [base for c in cores if (base := self.base_form(c)) != c]
        for core in cores:
            for entry in self._trees:
                if self._is_phrase_of(entry, core):
                    return Meaning(Degree.PHRASE, entry, core)
        for core in cores:
            for plain in plainer(core):
                for entry in self._trees:
                    if self._is_phrase_of(entry, plain):
                        return Meaning(Degree.PLAIN, entry, core)
        return min((self._loose(core) for core in cores),
                   key=lambda m: (len(m.unplaced), len(m.core)),
                   default=Meaning(Degree.NONE, '', tuple(words), tuple(words)))

    def base_form(self, words: Sequence[str]) -> tuple[str, ...]:
        """'waving to us' and 'start waving to us' as 'wave to us': how a request begins."""
        if len(words) > 1 and words[0] in _BEGINNING and words[1].endswith('ing'):
            words = words[1:]
        if not words or not words[0].endswith('ing'):
            return tuple(words)
        stem = words[0][:-3]
        ways = (stem, stem + 'e', stem[:-1])
        return (next((w for w in ways if w in self._begin), words[0]), *words[1:])

    def present(self, word: str) -> str:
        """'turned' as 'turn', where a request begins with that; else the word itself."""
        ways = (_IRREGULAR.get(word, ''), word.removesuffix('ed'), word.removesuffix('d'),
                word.removesuffix('ed')[:-1])
        return next((w for w in ways if w != word and w in self._begin), word)

    def entries(self, words: Sequence[str]) -> set[str]:
        """Every task that words mean, other than loosely."""
        return {entry for core in self.cores(words) for entry, joints in self.joints_of.items()
                if joints.fits(core) or self._is_phrase_of(entry, core)}

    def is_open(self, core: Sequence[str]) -> bool:
        """Whether a core leaves open which way: 'turn' fits to the left and to the right."""
        found = self.entries(core)
        return len({e for e in found if e.startswith('turn:')}) > 1 or len(
            {e for e in found if e.startswith('gesture:')}) > 1

    def says_nothing(self, words: Sequence[str]) -> bool:
        """Whether words are but what is said around a request: 'robot', 'go ahead'."""
        told = tuple(words)
        return told in self._leads or told in self._tails or (*told, 'and') in self._leads

    def begins_one(self, word: str) -> bool:
        """Whether some request to do a task begins with a word."""
        return word in self._begin

    def _is_phrase_of(self, entry: str, core: tuple[str, ...]) -> bool:
        """Whether a core is a phrase of a task."""
        if (entry in OBJECT_FAMILIES) != (OBJECT in core):
            return False
        for variant in _variants(core):
            having = sorted((self._with_word[entry].get(w, _NONE) for w in set(variant)), key=len)
            if any(len(variant) in ends(self._trees[entry][number], variant, 0)
                   for number in having[0].intersection(*having[1:])):
                return True
        return False

    def _loose(self, core: tuple[str, ...]) -> Meaning:
        """The task in which the most words of a core have a place."""
        content = [w for w in core if w not in FUNCTION and w != OBJECT]
        best: Meaning | None = None
        likely = sorted(self.joints_of, key=lambda e: (e in OBJECT_FAMILIES) != (OBJECT in core))
        for entry in likely:
            joints = self.joints_of[entry]
            unplaced = [w for w in content if w not in joints.words]
            if (entry in OBJECT_FAMILIES) != (OBJECT in core):
                unplaced.extend(w for w in core if w == OBJECT)
                if not unplaced:
                    continue
            # A stop may be told in any form: it does no harm.
            about_rest = entry == 'stop' and not _STILL.isdisjoint(core)
            told_to_stop = about_rest and core[1:] and not joints.strange(core, 0)
            if (core[0] in _NO_VERB or core[0] not in joints.imperative) \
                    and core[0] not in unplaced and not told_to_stop:
                unplaced.insert(0, core[0])
            if not unplaced:
                unplaced = ['and'] if 'and' in core else joints.strange(core)
            if not unplaced and not about_rest:
                unplaced = joints.strange(core, 0) or content or list(core)
            if best is None or len(unplaced) < len(best.unplaced):
                best = Meaning(Degree.NONE if unplaced else Degree.LOOSE, entry, core,
                               tuple(unplaced))
            if not unplaced:
                break
        return best or Meaning(Degree.NONE, '', core, core)

    def tokens(self, words: Sequence[str]) -> list[tuple[str, str, str]]:
        """Kind, name and words of each token.

        The kind is '<c>' for a colour, '<s>' for a shape, else the word, which has no name.
        """
        tokens, at = [], 0
        while at < len(words):
            for count in range(min(self._longest, len(words) - at), 0, -1):
                if name := self._names.get(tuple(words[at:at + count]), ''):
                    kind = '<c>' if name in COLOURS else '<s>'
                    tokens.append((kind, name, ' '.join(words[at:at + count])))
                    at += count
                    break
            else:
                tokens.append((words[at], '', words[at]))
                at += 1
        return tokens


@cache
def phrases() -> Phrases:
    """The one grammar of this process; it takes a second or two to make."""
    return Phrases()


# --- reading templates ----------------------------------------------------------------------

def _entries() -> Iterator[tuple[str, list[str], list[str]]]:
    """Each task's templates: those that a frame can stand around, and those that stand alone."""
    sources = [templates(split) for split in _SPLITS]
    for entry in sources[0]['phrases']:
        yield entry, *([t for s in sources for t in s[part].get(entry, ())]
                       for part in ('phrases', 'sentences'))


def _names() -> dict[tuple[str, ...], str]:
    """Words for colours and shapes, and which they mean."""
    return {plain_words(words): name for split in _SPLITS
            for name, ways in templates(split)['words'].items() for words in ways}


def _object_patterns() -> list[re.Pattern[str]]:
    ways = dict.fromkeys(t for split in _SPLITS for t in templates(split)['object'])
    return [re.compile(pattern_of(way)) for way in ways]


def _variants(core: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A core as templates may have it: they name objects with 'the', with 'a', and without."""
    yield core
    if OBJECT in core[1:]:
        at = core.index(OBJECT)
        yield (*core[:at - 1], 'a', *core[at:])
        yield (*core[:at - 1], *core[at:])


