"""Slips of the finger: 'trun lfet' becomes 'turn left' before anything reads it.

The sentence encoder breaks a misspelled word into pieces that mean nothing. A word that neither
the encoder nor training knows, and that is one slip away from a word that tasks are made of, is
that word (P. Norvig, https://norvig.com/spell-correct.html). Words that exist stay as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from vla_humanoid_control.tasks.phrasings import vocabulary

_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")
_LETTERS = 'abcdefghijklmnopqrstuvwxyz'
_SHORTEST = 3


class Speller:
    """Puts words right. Holds no state but its words and a cache."""

    def __init__(self, known: Collection[str], task_words: Mapping[str, int],
                 begins_right: bool = False) -> None:
        """Learn the words.

        Args:
            known: Lower-case words that are right as they are.
            task_words: Words to correct towards, with how common each is.
            begins_right: A word with another first letter is another word.
        """
        self._known = known
        self._task_words = task_words
        self._begins_right = begins_right
        self._longest = max(map(len, task_words), default=0) + 1
        self._meant = lru_cache(maxsize=4096)(self._find)

    def correct(self, text: str) -> str:
        """The text with its slips put right; case and punctuation stay."""
        return _WORD.sub(self._replace, text)

    def meant(self, word: str) -> str:
        """The word that was meant by one in lower case: itself, or the one that is a slip away."""
        return self._meant(word)

    def _replace(self, match: re.Match[str]) -> str:
        word = match.group()
        meant = self._meant(word.lower())
        if meant == word.lower():
            return word
        return meant.upper() if word.isupper() else (
            meant.capitalize() if word[0].isupper() else meant)

    def _find(self, word: str) -> str:
        if not _SHORTEST <= len(word) <= self._longest or word in self._known \
                or word in self._task_words:
            return word

        def likelihood(meant: str) -> tuple[bool, bool, int, str]:
            # First letters are seldom wrong, and letters left out, doubled or swapped more often
            # than exchanged.
            exchanged = len(meant) == len(word) and sorted(meant) != sorted(word)
            return meant[0] == word[0], not exchanged, self._task_words[meant], meant

        return max((w for w in _one_slip_away(word) if w in self._task_words
                    and (w[0] == word[0] or not self._begins_right)), key=likelihood, default=word)


def task_words() -> Counter[str]:
    """Words of three letters or more in which training phrases tasks, and how often."""
    return Counter(w for w in vocabulary(of_tasks=True) if len(w) >= _SHORTEST)


def other_words() -> set[str]:
    """Words of requests outside the robot's abilities: 'kneel' must not become 'knees'."""
    return set(vocabulary(of_tasks=False))


def _one_slip_away(word: str) -> Iterator[str]:
    """Every string with one letter of the word missing, swapped, replaced or added."""
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        if tail:
            yield head + tail[1:]
            yield from (head + c + tail[1:] for c in _LETTERS)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        yield from (head + c + tail for c in _LETTERS)
