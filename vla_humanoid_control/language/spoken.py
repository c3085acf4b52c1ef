"""The words of an utterance, whatever they are wrapped in.

Text from web pages, telephones and speech recognisers carries characters that nobody sees, other
apostrophes than the one on the keyboard, letters stretched for emphasis. What listens for a stop,
a negation or a condition hears through them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Categories of characters that are not seen: control, format (byte order mark, zero-width space,
# bidirectional marks), surrogate, separators of lines and paragraphs, private use, unassigned.
UNSEEN = frozenset({'Cc', 'Cf', 'Cs', 'Zl', 'Zp', 'Co', 'Cn'})
# Marks upon letters, variation selectors among them.
_MARKS = frozenset({'Mn', 'Me'})
# Letters and symbols that are drawn as nothing: Hangul fillers, the blank braille pattern; and
# what stands for an object that is not text, or for bytes that are no UTF-8.
_BLANK = frozenset('\u115f\u1160\u3164\uffa0\u2800\ufffc\N{REPLACEMENT CHARACTER}')
_APOSTROPHES = dict.fromkeys(map(ord, '’‘‛ʼʹ´`′＇ꞌ'), "'")

# Apostrophes get lost, misplaced, and turned into blanks or other marks on the way.
_CONTRACTIONS = tuple((re.compile(rf'\b(?:{pattern})\b'), plain) for pattern, plain in (
    (r'(do|does|did|is|are|was|were|has|have|had|ca|wo|sha|ai|could|should|would|must|might|may|'
     r'need|dare|ought)[\W_]?n[\W_]?t', r'\1 not'),
    (r"d'ont|donot|dont't", 'do not'), ('cannot', 'ca not'),
    (r"i'?m", 'i am'), (r"(i|you|he|she|we|they|it|that|there|who)'ll", r'\1 will'),
    (r"(i|you|we|they)'?ve", r'\1 have'), (r"(i|you|he|she|we|they|it|that)'d", r'\1 would'),
    (r"(you|we|they)'re", r'\1 are'), (r'(you|they)re', r'\1 are'), (r"let'?s", 'let us'),
    (r"(that|what|there|here|where|who|he|she|how)'?s", r'\1 is'), (r"(it|time)'s", r'\1 is'),
    ('thatll', 'that will')))
_STRETCHED = re.compile(r'([^\W\d_])\1{2,}')
_SPELT_OUT = re.compile(r'\b[a-z](?:[\W_]{1,3}[a-z]){2,}\b')
# How a terminal is told colours.
_ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')


def visible(text: str, gap: str = '') -> str:
    """The text without what nobody sees, in plain letters and with single spaces.

    Args:
        text: Any text.
        gap: What takes the place of an unseen character. Line breaks and tabs separate words in
            any case.
    """
    if text.isascii() and text.isprintable():
        return ' '.join(text.replace('`', "'").split())
    text = _ESCAPES.sub(gap, text.translate(_APOSTROPHES))
    text = unicodedata.normalize('NFKD', text)
    return ' '.join(''.join(_shown(c, gap) for c in text).split())


def spoken(text: str) -> str:
    """The words of a visible text: lower case, contractions written out, ',' for a pause.

    For instance: "DON'T  moooove!" is 'do not move ,'.
    """
    text = _STRETCHED.sub(r'\1', text.casefold())
    text = _SPELT_OUT.sub(lambda m: re.sub(r'[\W_]', '', m[0]), text)
    for pattern, plain in _CONTRACTIONS:
        text = pattern.sub(plain, text)
    text = re.sub(r'[,;:.!?()\u2013\u2014]+|(?<= )-+(?= )', ' , ', text).replace("'", '')
    return ' '.join(re.sub(r'[^\w, ]|_', ' ', text).split())


@lru_cache(maxsize=16)  # a stop is looked for first, then a negation
def readings(text: str) -> tuple[str, ...]:
    """What was said, by `spoken`; twice where it matters whether unseen characters part words."""
    joined, parted = visible(text), visible(text, ' ')
    return tuple(map(spoken, (joined,) if joined == parted else (joined, parted)))


def _shown(character: str, gap: str) -> str:
    if character.isspace():
        return ' '
    category = unicodedata.category(character)
    if category in _MARKS:
        return ''
    return gap if category in UNSEEN or character in _BLANK else character
