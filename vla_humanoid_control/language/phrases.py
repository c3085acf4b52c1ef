"""What tasks sound like: the phrasings of training as a grammar that says which task words mean.

A core, what is left of an utterance without the words around it ('please', 'could you', 'thanks'),
means a task in one of four degrees:

    phrase    it is one of the phrases of training, with any object
    joints    each word follows the one before it in some phrase of that task
    loose     so do all words that carry meaning but at one place, and each occurs in its phrases
    none      something has no place in any task: `unplaced` says which words

Phrases are read from `config/phrasings/train.yaml` and `val.yaml`; `test.yaml` stays for
evaluation. Follow sets are those of V. M. Glushkov's construction, 1961.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, lru_cache
from itertools import pairwise
from typing import Literal

from vla_humanoid_control.language.spoken import spoken, visible
from vla_humanoid_control.tasks.phrasings import templates
from vla_humanoid_control.tasks.vocabulary import COLOURS, OBJECT_FAMILIES

OBJECT = '<o>'
"""In the place of the words for an object."""
_SPLITS: tuple[Literal['train', 'val'], ...] = ('train', 'val')
_PIECE = re.compile(r'\(|\)|\||[^()|]+')
_DETERMINERS = frozenset(['the', 'a', 'an', 'that', 'this', 'your', 'my', 'our'])
_FUNCTION = frozenset(
    ['the', 'a', 'an', 'to', 'of', 'at', 'on', 'in', 'by', 'it', 'is', 'are', 'be', 'been', 'am',
     'your', 'my', 'you', 'i', 'me', 'us', 'we', 'that', 'this', 'there', 'here', 'and', 'with',
     'for', 'from', 'so', 'as', 'up', 'over', 'out', 'do', 'does', 'please'])
"""Words that hold a phrase together and say nothing of what is to be done."""
_NONE: frozenset[int] = frozenset()
_NO_VERB = _FUNCTION - {'do', 'be', 'please'}
_LONGEST_LEAD = 10
_FEW_PLACES = 5

# Said around a request, beside the frames of training.
_MORE_LEADS = (
    'show us how you', 'let us see you', 'keep facing this way and', 'keep facing this way but',
    'stay facing this way and', 'stay facing this way but', 'keep your heading and',
    'be a sport and', 'be so good as to', 'if i may ask', 'may i ask you',
    'it would be great if you could', 'it would be nice if you could',
    'it would help if you could',
    'go on and', 'and finally', 'and lastly', 'and then', 'and after that', 'and afterwards',
    'then finally', 'afterwards', 'subsequently', 'and also', 'as a next step', 'as the next step',
    'in the end', 'last', 'at last', 'third', 'thirdly', 'secondly', 'firstly', 'first of all',
    'step one', 'step two', 'step three', 'once that is done', 'when that is done', 'that done',
    'once you have done that', 'when you have done that', 'when you are done', 'once done',
    'once you are done', 'when done', 'from there', 'there', 'thereafter', 'after this',
    'when you are there', 'once you are there', 'once there', 'when you get there',
    'once you get there', 'when you arrive', 'once you arrive', 'when you have arrived',
    'immediately after', 'right after', 'right after that', 'at the end', 'to finish',
    'to end with')
_MORE_TAILS = ('first', 'afterwards', 'after that', 'at the end', 'in the end', 'finally', 'too',
               'as well', 'next', 'then', 'and that is it', 'and that is all', 'and you are done',
               'for a start', 'to begin with', 'to start with', 'to finish', 'last')


class Degree(IntEnum):
    """How surely words mean a task; see this module."""

    NONE = 0
    LOOSE = 1
    JOINTS = 2
    PHRASE = 3


@dataclass(frozen=True)
class Objects:
    """Words with every object in them replaced by `OBJECT`.

    Attributes:
        words: Of the utterance, lower case; `OBJECT` with 'the' before it for each object.
        named: Colour and shape of each, in order.
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


@dataclass
class _Joints:
    """Which words begin, end, and follow each other in the phrases of one task."""

    begin: set[str] = field(default_factory=set)
    imperative: set[str] = field(default_factory=set)
    end: set[str] = field(default_factory=set)
    follow: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    words: set[str] = field(default_factory=set)
    leaps: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def fits(self, core: Sequence[str]) -> bool:
        """Whether each word follows the one before it in some phrase."""
        return core[0] in self.begin and core[-1] in self.end and all(
            after in self.follow[before] for before, after in pairwise(core))

    def strange(self, core: Sequence[str]) -> list[str]:
        """Words that carry meaning and follow others than in any phrase, if more than one do."""
        content = [w for w in core if w not in _FUNCTION]
        found = [after for before, after in pairwise(content)
                 if after not in self.leaps[before]]
        return found if len(found) > 1 else []


class Phrases:
    """The grammar. Holds no state once it is made."""

    def __init__(self) -> None:
        self._names = _names()
        self._longest = max(map(len, self._names))
        self._objects = _object_patterns()
        self._leads, self._tails = _frames()
        self._trees: dict[str, list[_Tree]] = {}
        self._with_word: dict[str, defaultdict[str, set[int]]] = {}  # numbers of trees
        self._joints: dict[str, _Joints] = {}
        for entry, phrases, sentences in _entries():
            both = list(dict.fromkeys((*phrases, *sentences)))
            self._trees[entry] = [_tree(template) for template in both]
            self._with_word[entry] = defaultdict(set)
            for number, tree in enumerate(self._trees[entry]):
                for word in _words_of(tree):
                    self._with_word[entry][word].add(number)
            self._joints[entry] = _joints(phrases, sentences)
        self._meaning = lru_cache(maxsize=1024)(self._find_meaning)
        self._begin = {w for j in self._joints.values() for w in j.imperative}

    def find_objects(self, words: Sequence[str]) -> Objects:
        """Replace what names an object: 'go to the box that is crimson' has 'the <o>'."""
        tokens = self._tokens(words)
        line = ''.join(f'{kind} ' for kind, _, _ in tokens)
        found: list[str] = []
        named: list[tuple[str, str]] = []
        said: list[str] = []
        at = index = 0
        while at < len(line):
            ends = [m.end() for p in self._objects if (m := p.match(line, at))]
            if not ends:
                found.extend(tokens[index][2].split())
                at, index = line.index(' ', at) + 1, index + 1
                continue
            count = line.count(' ', at, max(ends))
            part = tokens[index:index + count]
            names = [name for _, name, _ in part if name]
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
        shapes = {name for kind, name, _ in self._tokens(words) if kind == '<s>'}
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
        cores = [c for c in self.cores(words) if not _FUNCTION.issuperset(c)]
        for core in cores:
            for entry in self._trees:
                if self._is_phrase_of(entry, core):
                    return Meaning(Degree.PHRASE, entry, core)
        for core in cores:
            for entry, joints in self._joints.items():
                if (entry in OBJECT_FAMILIES) == (OBJECT in core) and joints.fits(core):
                    return Meaning(Degree.JOINTS, entry, core)
        return min((self._loose(core) for core in cores), key=lambda m: len(m.unplaced),
                   default=Meaning(Degree.NONE, '', tuple(words), tuple(words)))

    def entries(self, words: Sequence[str]) -> set[str]:
        """Every task that words mean, other than loosely."""
        return {entry for core in self.cores(words) for entry, joints in self._joints.items()
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
            if any(len(variant) in _ends(self._trees[entry][number], variant, 0)
                   for number in having[0].intersection(*having[1:])):
                return True
        return False

    def _loose(self, core: tuple[str, ...]) -> Meaning:
        """The task in which the most words of a core have a place."""
        content = [w for w in core if w not in _FUNCTION and w != OBJECT]
        best: Meaning | None = None
        for entry, joints in self._joints.items():
            unplaced = [w for w in content if w not in joints.words]
            if (entry in OBJECT_FAMILIES) != (OBJECT in core):
                unplaced.extend(w for w in core if w == OBJECT)
                if not unplaced:
                    continue
            # A stop may be told in any form: it does no harm.
            if (core[0] in _NO_VERB or core[0] not in joints.imperative) \
                    and core[0] not in unplaced and not (entry == 'stop' and core[1:]):
                unplaced.insert(0, core[0])
            if not unplaced:
                unplaced = ['and'] if 'and' in core else joints.strange(core)
            if best is None or len(unplaced) < len(best.unplaced):
                best = Meaning(Degree.NONE if unplaced else Degree.LOOSE, entry, core,
                               tuple(unplaced))
            if not unplaced:
                break
        return best or Meaning(Degree.NONE, '', core, core)

    def _tokens(self, words: Sequence[str]) -> list[tuple[str, str, str]]:
        """Kind, name and words: kind is '<c>' for a colour, '<s>' for a shape, else the word."""
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


@lru_cache(maxsize=8192)
def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text, by `spoken`, without pauses."""
    return tuple(spoken(visible(text)).replace(',', ' ').split())


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
    return [re.compile(_pattern(way)) for way in ways]


def _frames() -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """What is said before and after a request."""
    frames = [f.split('{}') for split in _SPLITS for f in templates(split)['frames']]
    before = [f[0] for f in frames] + list(_MORE_LEADS)
    after = [f[1] for f in frames] + list(_MORE_TAILS)
    return (frozenset(w for t in before if (w := plain_words(t))),
            frozenset(w for t in after if (w := plain_words(t))))


@lru_cache(maxsize=8192)
def _literal(piece: str) -> list[str]:
    """The words of a piece of a template without choices."""
    for name, mark in (('{object}', 'qobject'), ('{colour}', 'qcolour'), ('{shape}', 'qshape')):
        piece = piece.replace(name, f' {mark} ')
    marks = {'qobject': OBJECT, 'qcolour': '<c>', 'qshape': '<s>'}
    return [marks.get(word, word) for word in plain_words(piece)]


def _pattern(template: str) -> str:
    """A template as a pattern of words, each with a blank behind it."""
    return ''.join({'(': '(?:', ')': ')', '|': '|'}.get(piece) or ''.join(
        f'{re.escape(word)} ' for word in _literal(piece)) for piece in _PIECE.findall(template))


def _variants(core: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A core as templates may have it: they name objects with 'the', with 'a', and without."""
    yield core
    if OBJECT in core[1:]:
        at = core.index(OBJECT)
        yield (*core[:at - 1], 'a', *core[at:])
        yield (*core[:at - 1], *core[at:])


_Tree = str | list[list['_Tree']]
"""A word, or a choice of sequences."""


def _tree(template: str) -> _Tree:
    pieces = iter(_PIECE.findall(template))

    def choice() -> _Tree:
        ways: list[list[_Tree]] = [[]]
        for piece in pieces:
            if piece == ')':
                break
            if piece == '|':
                ways.append([])
            elif piece == '(':
                ways[-1].append(choice())
            else:
                ways[-1].extend(_literal(piece))
        return ways

    return choice()


def _words_of(tree: _Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    else:
        for way in tree:
            for part in way:
                yield from _words_of(part)


def _ends(tree: _Tree, words: Sequence[str], begin: int) -> set[int]:
    """Where what a tree means can end among words, if it begins at a place."""
    if isinstance(tree, str):
        return {begin + 1} if words[begin:begin + 1] == (tree,) else set()
    found: set[int] = set()
    for way in tree:
        places = {begin}
        for part in way:
            places = {end for place in places for end in _ends(part, words, place)}
        found |= places
    return found


def _joints(phrases: Sequence[str], sentences: Sequence[str]) -> _Joints:
    joints = _Joints()
    for alone, texts in ((False, phrases), (True, sentences)):
        for template in texts:
            begin, end, _ = _follow(_tree(template), joints.follow)
            joints.begin |= begin
            joints.end |= end
            joints.imperative |= set() if alone else begin
    for before in [w for w in joints.follow if w not in _FUNCTION]:
        joints.leaps[before] = _leaps(before, joints.follow)
    joints.words = joints.begin | joints.end | set(joints.follow) | {
        word for after in joints.follow.values() for word in after}
    return joints


def _leaps(word: str, follow: Mapping[str, set[str]]) -> set[str]:
    """Words that carry meaning and can follow a word, with none or only others between them."""
    found: set[str] = set()
    passed: set[str] = set()
    ahead = list(follow[word])
    while ahead:
        after = ahead.pop()
        if after not in _FUNCTION:
            found.add(after)
        elif after not in passed:
            passed.add(after)
            ahead.extend(follow.get(after, ()))
    return found


def _follow(tree: _Tree, follow: defaultdict[str, set[str]]
            ) -> tuple[set[str], set[str], bool]:
    """Words that begin and end a tree, and whether it may be empty; adds to what follows what."""
    if isinstance(tree, str):
        return {tree}, {tree}, False
    begins: set[str] = set()
    ends: set[str] = set()
    may_be_empty = False
    for way in tree:
        begin: set[str] = set()
        end: set[str] = set()
        empty = True
        for part in way:
            first, last, nothing = _follow(part, follow)
            for word in end:
                follow[word] |= first
            if empty:
                begin |= first
            end = end | last if nothing else last
            empty = empty and nothing
        begins |= begin
        ends |= end
        may_be_empty = may_be_empty or empty
    return begins, ends, may_be_empty
