"""Texts to numbers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from vla_humanoid_control.support.errors import UserError

WORDPIECES = 'wordpiece'
"""The 30,522 word pieces of BERT, which come with the sentence encoder."""
_WORD = re.compile(r"[a-z0-9']+")
H = TypeVar('H', bound='HubTokenizer')


class Tokenizer(Protocol):
    """Texts to ids.

    Attributes:
        vocabulary: How many ids there are.
    """

    vocabulary: int

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, L] and which of them exist, bool [B, L]."""


class WordTokenizer:
    """Whole words, by a hash into a fixed vocabulary: 0 is no word, and all texts are as long.

    Args:
        vocabulary: How many ids there are.
        length: L; what is longer is cut off.
    """

    def __init__(self, vocabulary: int, length: int) -> None:
        self.vocabulary, self._length = vocabulary, length

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, L] and which of them exist, bool [B, L]."""
        rows = [[1 + zlib.crc32(word.encode()) % (self.vocabulary - 1)
                 for word in _WORD.findall(text.lower())[:self._length]] for text in texts]
        ids = torch.tensor([row + [0] * (self._length - len(row)) for row in rows])
        return ids.reshape(len(texts), self._length), ids > 0


class HubTokenizer:
    """The tokenizer of a pretrained model, through `transformers`.

    Args:
        name: `wordpiece`, a local folder, or a name on the hub.
        length: The longest text, L; what is longer is cut off.
    """

    def __init__(self, name: str, length: int) -> None:
        self._tokenizer, self._length = _load(name), length
        self.vocabulary = len(self._tokenizer)

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids int64 [B, L] and which of them exist, bool [B, L], L as long as the longest."""
        batch = self._tokenizer(list(texts), padding=True, truncation=True,
                                max_length=self._length, return_tensors='pt')
        return batch['input_ids'], batch['attention_mask'].bool()


def tokenizer_of(kind: type[H], name: str, length: int, weights: Tensor, vocabulary: int
                 ) -> H | None:
    """The tokenizer of a part that reads texts.

    Args:
        kind: Its class.
        name: `wordpiece`, a local folder, or a name on the hub.
        length: The longest text.
        weights: Any of the part. On the meta device, where sizes are counted and no text comes, no
            tokenizer need be there, and there is none.
        vocabulary: How many ids there are weights for.

    Raises:
        ValueError: There are more ids than weights.
    """
    if weights.is_meta:
        return None
    made = kind(name, length)
    if made.vocabulary > vocabulary:
        raise ValueError(f'tokenizer {name} has {made.vocabulary} pieces of words, and there are '
                         f'weights for {vocabulary}')
    return made


@cache
def _load(name: str) -> Any:
    from transformers import AutoTokenizer

    from vla_humanoid_control.language.encoder import model_folder
    folder = model_folder() if name == WORDPIECES else Path(name)
    try:
        found = AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else name)
    except (OSError, ValueError) as error:
        raise UserError(f'There is no tokenizer {name}: neither a folder nor, with the network '
                        f'that there is, a name on the hub. Give a folder, or {WORDPIECES}.'
                        ) from error
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found
