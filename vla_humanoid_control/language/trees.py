"""Templates as trees: what can be said, and which words begin, follow and end it.

A template is text with choices, '(walk|go) to the {object}'; see config/phrasings/train.yaml. The
sets of what follows what are those of V. M. Glushkov's construction, 1961.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from vla_humanoid_control.language.words import plain_words

OBJECT = '<o>'
"""In the place of the words for an object."""
_PIECE = re.compile(r'\(|\)|\||[^()|]+')
FUNCTION = frozenset(
    ['the', 'a', 'an', 'to', 'of', 'at', 'on', 'in', 'by', 'it', 'is', 'are', 'be', 'been', 'am',
     'your', 'my', 'you', 'i', 'me', 'us', 'we', 'that', 'this', 'there', 'here', 'and', 'with',
     'for', 'from', 'so', 'as', 'up', 'over', 'out', 'do', 'does', 'please'])
"""Words that hold a phrase together and say nothing of what is to be done."""
Tree = str | list[list['Tree']]
"""A word, or a choice of sequences."""


@dataclass
class Joints:
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

    def strange(self, core: Sequence[str], allowed: int = 1) -> list[str]:
        """Words that carry meaning and follow others than in any phrase, if more than some do."""
        content = [w for w in core if w not in FUNCTION]
        found = [after for before, after in pairwise(content)
                 if after not in self.leaps[before]]
        return found if len(found) > allowed else []


def tree_of(template: str) -> Tree:
    """A template as a tree."""
    pieces = iter(_PIECE.findall(template))

    def choice() -> Tree:
        ways: list[list[Tree]] = [[]]
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


def joints_of(phrases: Sequence[str], sentences: Sequence[str]) -> Joints:
    """Which words follow which in the templates of a task: in frames, and alone."""
    joints = Joints()
    for alone, texts in ((False, phrases), (True, sentences)):
        for template in texts:
            begin, end, _ = _follow(tree_of(template), joints.follow)
            joints.begin |= begin
            joints.end |= end
            joints.imperative |= set() if alone else begin
    for before in [w for w in joints.follow if w not in FUNCTION]:
        joints.leaps[before] = _leaps(before, joints.follow)
    joints.words = joints.begin | joints.end | set(joints.follow) | {
        word for after in joints.follow.values() for word in after}
    return joints


def words_in(tree: Tree) -> Iterator[str]:
    """Every word of a tree."""
    if isinstance(tree, str):
        yield tree
    else:
        for way in tree:
            for part in way:
                yield from words_in(part)


def ends(tree: Tree, words: Sequence[str], begin: int) -> set[int]:
    """Where what a tree means can end among words, if it begins at a place."""
    if isinstance(tree, str):
        return {begin + 1} if words[begin:begin + 1] == (tree,) else set()
    found: set[int] = set()
    for way in tree:
        places = {begin}
        for part in way:
            places = {end for place in places for end in ends(part, words, place)}
        found |= places
    return found


def _leaps(word: str, follow: Mapping[str, set[str]]) -> set[str]:
    """Words that carry meaning and can follow a word, with none or only others between them."""
    found: set[str] = set()
    passed: set[str] = set()
    ahead = list(follow[word])
    while ahead:
        after = ahead.pop()
        if after not in FUNCTION:
            found.add(after)
        elif after not in passed:
            passed.add(after)
            ahead.extend(follow.get(after, ()))
    return found


def _follow(tree: Tree, follow: defaultdict[str, set[str]]
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


def pattern_of(template: str) -> str:
    """A template as a pattern of words, each with a blank behind it."""
    return ''.join({'(': '(?:', ')': ')', '|': '|'}.get(piece) or ''.join(
        f'{re.escape(word)} ' for word in _literal(piece)) for piece in _PIECE.findall(template))


@lru_cache(maxsize=8192)
def _literal(piece: str) -> list[str]:
    """The words of a piece of a template without choices."""
    for name, mark in (('{object}', 'qobject'), ('{colour}', 'qcolour'), ('{shape}', 'qshape')):
        piece = piece.replace(name, f' {mark} ')
    marks = {'qobject': OBJECT, 'qcolour': '<c>', 'qshape': '<s>'}
    return [marks.get(word, word) for word in plain_words(piece)]
