"""What the confidence learns from: all that the frozen network computes of recorded rollouts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.data.rollouts import RolloutsFolder
from vla_humanoid_control.data.shards import iterate
from vla_humanoid_control.learning.augment import AugmentConfig, augment_images, noisy_words
from vla_humanoid_control.learning.corruptions import corrupt
from vla_humanoid_control.learning.texts import TaskTexts, TextBank
from vla_humanoid_control.models.checkpoint import Checkpoint
from vla_humanoid_control.models.parts.trust.novelty import Novelty
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.streams import Inputs
from vla_humanoid_control.models.transforms import (
    as_frames,
    normalise_images,
    normalise_joints,
    normalise_time,
)
from vla_humanoid_control.perception.resizing import resize_image
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.phrasings import out_of_scope
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

PLAIN = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""No variation at all."""


@dataclass(frozen=True)
class Evidence:
    """What the head learns from.

    Attributes:
        values: float32 [M, E]. success: float32 [M]. episode: int64 [M], that each comes from.
    """

    values: NDArray[np.float32]
    success: NDArray[np.float32]
    episode: NDArray[np.int64]

    def select(self, mask: NDArray[np.bool_]) -> Evidence:
        """The samples where mask, bool [M], is true."""
        return Evidence(self.values[mask], self.success[mask], self.episode[mask])


@dataclass(frozen=True)
class Rollouts:
    """Answers of a checkpoint in rollouts, with the features of the instructions.

    Attributes:
        frames: uint8 [M, H, W, 3], as the checkpoint sees them. joints: float32 [M, J].
        elapsed_s: float32 [M]. travelled: float32 [M, 3]. success: bool [M].
        episode: int64 [M]. episodes: Their names.
        text: int64 [M], of each answer in `bank`.
        requests: int64 [R], those in `bank` that are outside the robot's abilities.
        bank: Features of the texts.
    """

    frames: NDArray[np.uint8]
    joints: NDArray[np.float32]
    elapsed_s: NDArray[np.float32]
    travelled: NDArray[np.float32]
    success: NDArray[np.bool_]
    episode: NDArray[np.int64]
    episodes: tuple[str, ...]
    text: NDArray[np.int64]
    requests: NDArray[np.int64]
    bank: TextBank

    def __len__(self) -> int:
        return len(self.frames)

    @staticmethod
    def read(folders: Sequence[RolloutsFolder], spec: ModelSpec, others: int) -> Rollouts:
        """Read folders of rollouts; `others` requests out of scope join their texts.

        Raises:
            UserError: They do not fit the model, are damaged, or hold no answer.
        """
        (camera,) = spec.cameras
        texts: list[str] = []
        names: list[str] = []
        parts: list[tuple[Any, ...]] = []
        for folder in folders:
            header = folder.header
            if (header.channels, header.joint_names) != (spec.channels, spec.joint_names) \
                    or camera not in header.cameras:
                raise UserError(f'The rollouts in {folder.path} have other channels, joints or '
                                'cameras than the checkpoint. Collect them with this checkpoint.')
            for episode in folder:
                for step in episode.steps:
                    seen = step.seen
                    parts.append((
                        resize_image(seen.images[camera], spec.image_size, 'stretch'),
                        seen.joint_positions, seen.elapsed_s, seen.travelled,
                        bool(episode.success), len(names), len(texts)))
                names.append(f'{folder.path.name}/{episode.id}')
                texts.append(episode.prompt)
        if not parts:
            raise UserError(f'{", ".join(str(f.path) for f in folders)}: no answers to learn '
                            'from. Collect rollouts: vla collect --rollouts 1400 --policy '
                            'CHECKPOINT --out DIR')
        frames, joints, elapsed, travelled, success, episode_of, text = zip(*parts, strict=True)
        requests = out_of_scope('train')[:others]
        return Rollouts(
            np.stack(frames), np.stack(joints).astype(np.float32), np.array(elapsed, np.float32),
            np.stack(travelled).astype(np.float32), np.array(success), np.array(episode_of),
            tuple(names), np.array(text), len(texts) + np.arange(len(requests)),
            TextBank([*texts, *requests]))


class EvidenceMaker:
    """Runs the frozen network over rollouts."""

    def __init__(self, checkpoint: Checkpoint, seed: int) -> None:
        self._checkpoint = checkpoint
        self._model = checkpoint.model.channels_last().eval()
        self._seed = seed

    def make(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
             augment: AugmentConfig, title: str, turn: int = 0) -> Evidence:
        """Evidence of some samples.

        Args:
            rollouts: Where from.
            rows: int64 [M], sample numbers.
            kind: 'rollout' as they are; 'corrupted' with broken images; 'out_of_scope' with
                instructions outside the robot's abilities. The last two count as failures.
            augment: Strength of variation.
            title: For the progress line.
            turn: How often such evidence was made before: every turn is varied in its own way.
        """
        parts = []
        for block in _blocks(len(rows), title):
            inputs = self._inputs(rollouts, rows[block], kind, augment, (turn, int(block[0])))
            with torch.inference_mode():
                parts.append(self._model(inputs)['evidence'].vector.numpy())
        success = rollouts.success[rows] if kind == 'rollout' else np.zeros(len(rows))
        return Evidence(np.concatenate(parts), success.astype(np.float32), rollouts.episode[rows])

    def learn_known_images(self, rollouts: Rollouts, rows: NDArray[np.int64]) -> None:
        """Fit the distance of images, to those of some samples: `rows`, int64 [M]."""
        features = []
        for block in _blocks(len(rows), 'known images'):
            inputs = self._inputs(rollouts, rows[block], 'rollout', PLAIN, (0, int(block[0])))
            with torch.inference_mode():
                features.append(self._model(inputs)['vision.pooled'].vector.float())
        self._model.part('image_novelty', Novelty).fit(torch.cat(features))

    def learn_known_instructions(self, count: int) -> None:
        """Fit the distance of instructions, to `count` of each task as training phrases them."""
        texts = TaskTexts(list(TASK_KEYS), 'train', count)
        vectors, kinds = [], []
        for task in range(len(TASK_KEYS)):
            words = texts.all_of(task)
            with torch.inference_mode():
                said = self._model(Inputs(words=words))['language.vector'].vector
            vectors.append(said)
            kinds += [task] * len(said)
        self._model.part('instruction_novelty', Novelty).fit(torch.cat(vectors),
                                                             torch.tensor(kinds))

    def _inputs(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
                augment: AugmentConfig, place: tuple[int, int]) -> Inputs:
        kinds = ('rollout', 'corrupted', 'out_of_scope')
        rng = np.random.default_rng((self._seed, kinds.index(kind), *place))
        frames = rollouts.frames[rows]
        if kind == 'corrupted':
            frames = np.stack([corrupt(frame, rng) for frame in frames])
        images = normalise_images(torch.from_numpy(frames))
        generator = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
        if augment != PLAIN and kind != 'corrupted':
            images, _ = augment_images(images, augment, generator)
        text = rollouts.text[rows]
        if kind == 'out_of_scope':
            text = rng.choice(rollouts.requests, len(rows))
        words = noisy_words(rollouts.bank.gather(text), augment.word_noise, generator)
        statistics = self._checkpoint.statistics
        return Inputs(
            {'head': as_frames(images, 1)}, torch.arange(len(rows)),
            normalise_joints(torch.from_numpy(rollouts.joints[rows]), statistics),
            normalise_time(torch.from_numpy(rollouts.elapsed_s[rows]),
                           torch.from_numpy(rollouts.travelled[rows])),
            words)


def _blocks(count: int, title: str) -> Iterator[NDArray[np.int64]]:
    """Numbers of samples, block by block, with a progress line."""
    line, began = ProgressLine(title), time.monotonic()
    for block in iterate(count, 128):
        yield block
        done, spent = int(block[-1]) + 1, time.monotonic() - began
        line.show(done / count, done / spent, 'samples', spent / done * (count - done), '')
    line.close()
