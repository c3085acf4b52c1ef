"""Many sentences and their word features: what training draws instructions from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.language.encoder import SHA256, WIDTH, default_encoder, encode
from vla_humanoid_control.models.streams import Tokens
from vla_humanoid_control.support.resources import cache_dir
from vla_humanoid_control.tasks.phrasings import Split, out_of_scope, phrasings


class TextBank:
    """Features of a list of sentences, float16, without padding.

    Attributes:
        texts: The sentences, as they are read.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Encode every text once (about 500 a second), or take the features of an earlier run."""
        texts = self.texts = [default_encoder().correct(t) for t in texts]
        digest = hashlib.sha256('\n'.join([SHA256, *texts]).encode()).hexdigest()
        path = cache_dir() / f'texts-{digest[:32]}.npz'
        if not path.exists():
            tokens, lengths = _encode_all(texts)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f'.{os.getpid()}.npz')
            np.savez(temporary, tokens=tokens, lengths=lengths)
            temporary.replace(path)
        with np.load(path) as archive:
            self._tokens: NDArray[np.float16] = archive['tokens']
            self._starts = np.concatenate([[0], np.cumsum(archive['lengths'])])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def gather(self, rows: NDArray[np.int64]) -> Tokens:
        """Features of some texts, float32 [B, L, 384], L as needed."""
        starts, ends = self._starts[rows], self._starts[rows + 1]
        lengths = ends - starts
        place = np.arange(int(lengths.max()))
        mask = place < lengths[:, None]  # [B, L]
        index = np.where(mask, starts[:, None] + place, 0)
        features = self._tokens[index].astype(np.float32) * mask[..., None]
        return Tokens(torch.from_numpy(features), torch.from_numpy(mask))


class TaskTexts:
    """Phrasings of tasks, and requests outside the robot's abilities, of one split."""

    def __init__(self, task_keys: Sequence[str], split: Split, per_task: int) -> None:
        """Encode up to `per_task` phrasings for each task, ten times as many out of scope."""
        texts: list[str] = []
        self._first = np.zeros(len(task_keys) + 2, np.int64)
        for i, key in enumerate(task_keys):
            texts += phrasings(key, split)[:per_task]
            self._first[i + 1] = len(texts)
        texts += out_of_scope(split)[:10 * per_task]
        self._first[-1] = len(texts)
        self._bank = TextBank(texts)
        self._out_of_scope = len(task_keys)

    def draw(self, tasks: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """A random phrasing for each task (index into `task_keys`), by its number."""
        first, end = self._first[tasks], self._first[tasks + 1]
        return first + (rng.random(len(tasks)) * (end - first)).astype(np.int64)

    def features(self, rows: NDArray[np.int64]) -> Tokens:
        """Of the words of some phrasings, as `TextBank.gather`."""
        return self._bank.gather(rows)

    def spelled(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """Some phrasings themselves."""
        return tuple(self._bank.texts[i] for i in rows)

    def all_of(self, task: int) -> Tokens:
        """Of every phrasing of one task."""
        return self._bank.gather(np.arange(self._first[task], self._first[task + 1]))

    def draw_any(self, known: int, others: int, rng: np.random.Generator
                 ) -> tuple[Tokens, NDArray[np.int64]]:
        """Phrasings of `known` random tasks, and `others` that the robot cannot carry out.

        Returns:
            As `features`, and the task of each, int64; the one after the last task: out of scope.
        """
        tasks = np.r_[rng.integers(self._out_of_scope, size=known),
                      np.full(others, self._out_of_scope)]
        return self.features(self.draw(tasks, rng)), tasks


def _encode_all(texts: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Packed features [tokens, 384] in the order of the texts, and the length of each text."""
    packed = [np.zeros((0, WIDTH), np.float16)] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), 256):
        rows = order[start:start + 256]
        tokens, mask = encode([texts[i] for i in rows])
        for i, features, exists in zip(rows, tokens, mask, strict=True):
            packed[i] = features[exists].astype(np.float16)
    return np.concatenate(packed), np.array([len(p) for p in packed], np.int64)
