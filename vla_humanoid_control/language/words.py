"""The words of an utterance: slips put right, figures kept, some ways of speaking made plain."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache

from vla_humanoid_control.language.quantities import spell_figures
from vla_humanoid_control.language.spelling import Speller, other_words, task_words
from vla_humanoid_control.language.spoken import spoken, visible

_PLAINER = tuple((re.compile(rf'(?<!\w){pattern}(?!\w)'), plain) for pattern, plain in (
    ('(?:could|can|may|might|shall|should) (?:we|i) (?:have|get|see) you', 'i want you'),
    ('(?:a|one) (step|pace) or two', r'some \1s'),
    (r'^(?:(?:what|who) is (?:that|this)|there is some(?:thing|one)|some(?:thing|one) is) (.+?)'
     r' (?:, )?look(?: ,)?$', r'look \1'),
    ('(?:can|could|may) (?:we|i) (?:get|have)', 'give us'),
    ('a (?:couple|few|handful) of (?=steps|paces)', 'some '), ('as well as', 'and')))
_JOINED = ((re.compile(r'[-=]+>|\u2192'), ' then '), (re.compile(r'\s[&+]\s'), ' and '))
_ITEM = re.compile(r'(?:^|(?<=\s))(?<![Ss]tep )(\d)[.):](?=\s)')


def words_of(text: str) -> tuple[str, ...]:
    """The words of an utterance, slips put right, ',' for a pause."""
    return _words(speller().correct(spell_figures(_joined(text))))


def uncorrected_words_of(text: str) -> tuple[str, ...]:
    """The same with slips as they are: what is no word of tasks may be one all the same."""
    return _words(spell_figures(_joined(text)))


def _words(text: str) -> tuple[str, ...]:
    line = spoken(visible(text))
    for pattern, plain in _PLAINER:
        line = pattern.sub(plain, line)
    return tuple(line.split())


def _joined(text: str) -> str:
    """A text with signs that join things to do in words: 'wave & nod', '1. wave 2. nod'."""
    for pattern, plain in _JOINED:
        text = pattern.sub(plain, text)
    items = [int(m[1]) for m in _ITEM.finditer(text)]
    is_list = len(items) > 1 and items == list(range(1, len(items) + 1))
    return _ITEM.sub(';', text) if is_list else text


@cache
def speller() -> Speller:
    """Puts slips right towards words of tasks; words that exist stay."""
    # Imported when needed: a stop is heard without it.
    from vla_humanoid_control.language.encoder import model_folder
    pieces = json.loads((model_folder() / 'tokenizer.json').read_text(encoding='utf-8'))
    read_words = {w for w in pieces['model']['vocab'] if w.isalpha()}
    return Speller(read_words | other_words(), task_words())


@lru_cache(maxsize=8192)
def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text, by `spoken`, without pauses."""
    return tuple(spoken(visible(text)).replace(',', ' ').split())
