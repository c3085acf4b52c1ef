"""What the confidence learns from: all that the frozen network computes of recorded rollouts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.fitting import (
    PART_SHARES,
)
from vla_humanoid_control.data.parts import parts_of
from vla_humanoid_control.data.shards import ShardSet, iterate, make_batch
from vla_humanoid_control.learning.augment import AugmentConfig, augment_images, noisy_words
from vla_humanoid_control.learning.corruptions import corrupt
from vla_humanoid_control.learning.texts import TaskTexts, TextBank
from vla_humanoid_control.models.checkpoint import Checkpoint
from vla_humanoid_control.models.transforms import (
    normalise_images,
    normalise_joints,
    normalise_time,
)
from vla_humanoid_control.models.vla import ModelInput
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.phrasings import out_of_scope, rehearsed
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

PLAIN = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""No variation at all."""


@dataclass(frozen=True)
class Evidence:
    """What the head learns from.

    Attributes:
        values: float32 [M, E]. success: float32 [M]. episode: int64 [M], that each comes from.
            distances: float32 [M, 2], of image and instruction.
    """

    values: NDArray[np.float32]
    success: NDArray[np.float32]
    episode: NDArray[np.int64]
    distances: NDArray[np.float32]

    def select(self, mask: NDArray[np.bool_]) -> Evidence:
        """The samples where mask, bool [M], is true."""
        return Evidence(self.values[mask], self.success[mask], self.episode[mask],
                        self.distances[mask])


@dataclass(frozen=True)
class Rollouts:
    """Rollouts of one split, with the features of the instructions that were used.

    Attributes:
        shards: The rollouts.
        requests: Further instructions, outside the robot's abilities.
        bank: Features of `shards.texts`, then of `requests`.
    """

    shards: ShardSet
    requests: tuple[str, ...]
    bank: TextBank

    @staticmethod
    def open(paths: Sequence[Path], split: str, others: int) -> Rollouts:
        """Open shards with rollout columns; `others` requests out of scope join the texts."""
        shards = ShardSet(paths, rollouts=True)
        requests = rehearsed(None, 'val') if split == 'val' else out_of_scope('train')[:others]
        return Rollouts(shards, tuple(requests), TextBank([*shards.texts, *requests]))

    def part_of_episodes(self) -> NDArray[np.int64]:
        """`FIT`, `THRESHOLD` or `JUDGE` for each number of an episode.

        Episodes of one request outside the robot's abilities go together, and to the part of
        `part_of_requests`: a request that was fitted on judges nothing.
        """
        names, requests = list(self.shards.episodes), frozenset(self.requests)
        rollout = self.shards.samples.rollout
        numbers, first = np.unique(rollout['episode'], return_index=True)
        for number, text in zip(numbers.tolist(), rollout['text'][first].tolist()):
            if (words := self.shards.texts[text]) in requests:
                names[number] = words
        return parts_of(names, PART_SHARES, 'calibration')

    def part_of_requests(self) -> NDArray[np.int64]:
        """The same for each of `requests`."""
        return parts_of(self.requests, PART_SHARES, 'calibration')


class EvidenceMaker:
    """Runs the frozen network over rollouts."""

    def __init__(self, checkpoint: Checkpoint, seed: int) -> None:
        self._checkpoint = checkpoint
        self._model = checkpoint.model.channels_last().eval()
        self._seed = seed

    def make(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
             augment: AugmentConfig, title: str, turn: int = 0,
             requests: NDArray[np.int64] | None = None) -> Evidence:
        """Evidence of some samples.

        Args:
            rollouts: Where from.
            rows: int64 [M], sample numbers.
            kind: 'rollout' as they are; 'corrupted' with broken images; 'out_of_scope' with
                instructions outside the robot's abilities. The last two count as failures.
            augment: Strength of variation.
            title: For the progress line.
            turn: How often such evidence was made before: every turn is varied in its own way.
            requests: For 'out_of_scope', which of `rollouts.requests`; None takes any of them.
        """
        parts, distances = [], []
        for block in _blocks(len(rows), title):
            inputs = self._inputs(rollouts, rows[block], kind, augment, (turn, int(block[0])),
                                  requests)
            with torch.inference_mode():
                output = self._model(inputs)
                parts.append(output.evidence.numpy())
                distances.append(torch.stack(self._model.novelty(output.features), 1).numpy())
        columns = rollouts.shards.samples.rollout
        plain = kind == 'rollout'
        return Evidence(
            np.concatenate(parts),
            columns['success'][rows].astype(np.float32) if plain else np.zeros(len(rows),
                                                                               np.float32),
            columns['episode'][rows], np.concatenate(distances))

    def learn_known_images(self, rollouts: Rollouts, rows: NDArray[np.int64]) -> None:
        """Fit the distance of images, to those of some samples: `rows`, int64 [M]."""
        features = []
        for block in _blocks(len(rows), 'known images'):
            inputs = self._inputs(rollouts, rows[block], 'rollout', PLAIN, (0, int(block[0])))
            with torch.inference_mode():
                features.append(self._model(inputs).features)
        image = self._model.image_novelty
        image.fit(torch.cat(features)[:, :image.centres.shape[1]])

    def learn_known_instructions(self, count: int) -> None:
        """Fit the distance of instructions, to `count` of each task as training phrases them."""
        texts = TaskTexts(list(TASK_KEYS), 'train', count)
        vectors, kinds = [], []
        for task in range(len(TASK_KEYS)):
            words, mask = texts.all_of(task)
            with torch.inference_mode():
                vectors.append(self._model.language(torch.from_numpy(words),
                                                    torch.from_numpy(mask))[0])
            kinds += [task] * len(words)
        self._model.instruction_novelty.fit(torch.cat(vectors), torch.tensor(kinds))

    def _inputs(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
                augment: AugmentConfig, place: tuple[int, int],
                requests: NDArray[np.int64] | None = None) -> ModelInput:
        shards, samples = rollouts.shards, rollouts.shards.samples
        kinds = ('rollout', 'corrupted', 'out_of_scope')
        rng = np.random.default_rng((self._seed, kinds.index(kind), *place))
        batch = make_batch(samples, rows)
        frames = shards.gather_frames(batch.frames)
        frame_of_row = batch.frame_of_row
        if kind == 'corrupted':
            frames = np.stack([corrupt(frames[i], rng) for i in frame_of_row])
            frame_of_row = np.arange(len(rows))
        images = normalise_images(torch.from_numpy(frames))
        generator = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
        if augment != PLAIN and kind != 'corrupted':
            images, _ = augment_images(images, augment, generator)
        text = samples.rollout['text'][rows]
        if kind == 'out_of_scope':
            some = np.arange(len(rollouts.requests)) if requests is None else requests
            text = len(shards.texts) + rng.choice(some, len(rows))
        words, mask = rollouts.bank.gather(text)
        words = noisy_words(words, mask, augment.word_noise, rng)
        statistics = self._checkpoint.statistics
        return ModelInput(
            images.contiguous(memory_format=torch.channels_last), torch.from_numpy(frame_of_row),
            normalise_joints(torch.from_numpy(shards.joints[samples.frame[rows]]), statistics),
            normalise_time(torch.from_numpy(samples.elapsed_s[rows]),
                           torch.from_numpy(samples.travelled[rows])),
            torch.from_numpy(words), torch.from_numpy(mask))


def _blocks(count: int, title: str) -> Iterator[NDArray[np.int64]]:
    """Numbers of samples, block by block, with a progress line."""
    line, began = ProgressLine(title), time.monotonic()
    for block in iterate(count, 128):
        yield block
        done, spent = int(block[-1]) + 1, time.monotonic() - began
        line.show(done / count, done / spent, 'samples', spent / done * (count - done), '')
    line.close()
