"""Prompts of a causal language model: words, and places where streams are put in.

    'Given <image> <state>. Q: how to {text}? A:'  ─►  'Given', image, state, '. Q: how to ..? A:'
    the same with 'Q: is it red?'                  ─►  'Given', image, state, 'Q: is it red? A:'
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from vla_humanoid_control.models.parts.language.tokenizers import HubTokenizer

BEGIN = 'begin'
"""The place of the token that begins a text."""
QUESTION = 'Q:'
"""What begins a text that is no instruction: it takes the place of the words around it."""
_PLACE = re.compile(r'<(\w+)>')


class Prompt:
    """A template with the instruction as `{text}` and streams as `<name>`.

    Attributes:
        pieces: What it is made of, in order: words, or the name of a stream.
    """

    def __init__(self, template: str, names: Sequence[str]) -> None:
        """Take it apart. ValueError where `names` and its places differ, or it lacks the text."""
        self.pieces = _PLACE.split(template)  # words and names in turn
        places = [name for name in self.pieces[1::2] if name != BEGIN]
        if sorted(places) != sorted(names):
            raise ValueError(f'the prompt has places for {places}, and the streams are '
                             f'{list(names)}')
        if '{text}' not in ''.join(self.pieces[::2]):
            raise ValueError('the prompt has no {text}, where the instruction is put in')

    def filled(self, texts: Sequence[str]) -> list[str | list[str]]:
        """Its pieces for some instructions: a stream's name, or B texts; none that are empty."""
        filled: list[str | list[str]] = []
        for i, piece in enumerate(self.pieces):
            if i % 2:
                filled.append(piece)
            elif piece.strip():
                filled.append([f'{text} A:' if '{text}' in piece and text.startswith(QUESTION)
                               else piece.replace('{text}', text) for text in texts])
        return filled


class PromptTokenizer(HubTokenizer):
    """Words to ids and back, without the tokens that begin and end a text.

    Attributes:
        begin, end: The ids of those tokens.
    """

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, length)
        known = self._tokenizer
        self.begin = known.cls_token_id if known.bos_token_id is None else known.bos_token_id
        self.end = known.sep_token_id if known.eos_token_id is None else known.eos_token_id

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, L] and which of them exist, bool [B, L], L as long as the longest."""
        rows = [self._tokenizer(text, add_special_tokens=False)['input_ids'] for text in texts]
        length = max(len(row) for row in rows)
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows]).long()
        return ids.reshape(len(rows), length), \
            torch.arange(length) < torch.tensor([[len(row)] for row in rows])

    def shortened(self, text: str) -> str:
        """A text without what is longer than its length."""
        ids = self._tokenizer(text, add_special_tokens=False)['input_ids']
        return text if len(ids) <= self._length else self.words(ids[:self._length])

    def words(self, ids: Sequence[int]) -> str:
        """The text that ids are."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
