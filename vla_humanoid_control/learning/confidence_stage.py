"""The confidence head learns success from rollouts, with the rest of the network frozen.

Because the rest is frozen, what the head sees (`ModelOutput.evidence`) is computed once, and the
head itself then trains in seconds. Calibration uses episodes that no stage ever saw.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.calibration import (
    Calibration,
    Isotonic,
    Temperature,
    calibration_from_dict,
    conformal_threshold,
    cross_entropy,
    expected_calibration_error,
    fit_isotonic,
    fit_temperature,
)
from vla_humanoid_control.errors import UserError
from vla_humanoid_control.language.phrasings import Split, out_of_scope
from vla_humanoid_control.learning.augment import AugmentConfig, augment_images
from vla_humanoid_control.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_humanoid_control.learning.corruptions import corrupt
from vla_humanoid_control.learning.dataset import ShardSet, find_shards, iterate, make_batch
from vla_humanoid_control.learning.progress import JsonLog, ProgressLine
from vla_humanoid_control.learning.texts import TextBank
from vla_humanoid_control.learning.transforms import (
    normalise_images,
    normalise_joints,
    normalise_time,
)
from vla_humanoid_control.models.heads import ConfidenceHead
from vla_humanoid_control.models.vla import ModelInput

_PLAIN = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class ConfidenceConfig:
    """See `config/train/confidence.yaml`, which has every value and its meaning."""

    passes: int
    max_samples: int
    corrupted_share: float
    out_of_scope_share: float
    out_of_scope_texts: int
    held_out_share: float
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    evidence_dropout: float
    evidence_noise: float
    alpha: float
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class Evidence:
    """What the head learns from.

    Attributes:
        values: float32 [M, E]. success: float32 [M]. episode: int64 [M], -1 for samples that are
            no part of a rollout.
    """

    values: NDArray[np.float32]
    success: NDArray[np.float32]
    episode: NDArray[np.int64]

    def select(self, mask: NDArray[np.bool_]) -> Evidence:
        """The samples where mask, bool [M], is true."""
        return Evidence(self.values[mask], self.success[mask], self.episode[mask])


@dataclass(frozen=True)
class Rollouts:
    """Rollouts of one split, with the features of the instructions that were used."""

    shards: ShardSet
    bank: TextBank

    @staticmethod
    def open(paths: Sequence[Path], split: Split, others: int) -> Rollouts:
        """Open shards with rollout columns; `others` requests out of scope join the texts."""
        shards = ShardSet(paths, rollouts=True)
        return Rollouts(shards, TextBank([*shards.texts, *out_of_scope(split)[:others]]))


class EvidenceMaker:
    """Runs the frozen network over rollouts."""

    def __init__(self, checkpoint: Checkpoint, seed: int) -> None:
        self._checkpoint = checkpoint
        self._model = checkpoint.model.channels_last().eval()
        self._seed = seed

    def make(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
             augment: AugmentConfig, title: str) -> Evidence:
        """Evidence of some samples.

        Args:
            rollouts: Where from.
            rows: int64 [M], sample numbers.
            kind: 'rollout' as they are; 'corrupted' with broken images; 'out_of_scope' with
                instructions outside the robot's abilities. The last two count as failures.
            augment: Strength of variation.
            title: For the progress line.
        """
        parts = []
        line, began = ProgressLine(title), time.monotonic()
        for block in iterate(len(rows), 128):
            inputs = self._inputs(rollouts, rows[block], kind, augment, int(block[0]))
            with torch.inference_mode():
                parts.append(self._model(inputs).evidence.numpy())
            done, spent = int(block[-1]) + 1, time.monotonic() - began
            line.show(done / len(rows), done / spent, 'samples',
                      spent / done * (len(rows) - done), '')
        line.close()
        columns = rollouts.shards.samples.rollout
        plain = kind == 'rollout'
        return Evidence(
            np.concatenate(parts),
            columns['success'][rows].astype(np.float32) if plain else np.zeros(len(rows),
                                                                               np.float32),
            columns['episode'][rows] if plain else np.full(len(rows), -1, np.int64))

    def _inputs(self, rollouts: Rollouts, rows: NDArray[np.int64], kind: str,
                augment: AugmentConfig, block: int) -> ModelInput:
        shards, samples = rollouts.shards, rollouts.shards.samples
        kinds = ('rollout', 'corrupted', 'out_of_scope')
        rng = np.random.default_rng((self._seed, kinds.index(kind), block))
        batch = make_batch(samples, rows)
        frames = shards.gather_frames(batch.frames)
        frame_of_row = batch.frame_of_row
        if kind == 'corrupted':
            frames = np.stack([corrupt(frames[i], rng) for i in frame_of_row])
            frame_of_row = np.arange(len(rows))
        images = normalise_images(torch.from_numpy(frames))
        generator = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
        if augment != _PLAIN and kind != 'corrupted':
            images, _ = augment_images(images, augment, generator)
        text = samples.rollout['text'][rows]
        if kind == 'out_of_scope':
            text = rng.integers(len(shards.texts), len(rollouts.bank), len(rows))
        words, mask = rollouts.bank.gather(text)
        words = words + augment.word_noise * rng.standard_normal(
            words.shape, np.float32) * mask[..., None]
        statistics = self._checkpoint.statistics
        return ModelInput(
            images.contiguous(memory_format=torch.channels_last), torch.from_numpy(frame_of_row),
            normalise_joints(torch.from_numpy(shards.joints[samples.frame[rows]]), statistics),
            normalise_time(torch.from_numpy(samples.elapsed_s[rows]),
                           torch.from_numpy(samples.travelled[rows])),
            torch.from_numpy(words), torch.from_numpy(mask))


def run_confidence(checkpoint_path: Path, data: Sequence[Path], output: Path,
                   config: ConfidenceConfig, seed: int, threads: int) -> Path:
    """Train the confidence head, calibrate it, and write the completed checkpoint to `output`.

    Returns:
        The checkpoint folder.

    Raises:
        UserError: The data are no rollouts, do not fit, or hold no success or no failure.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    checkpoint = load_checkpoint(checkpoint_path)
    train, held_out, held_rows, train_rows = _split(data, config, checkpoint, seed)
    maker = EvidenceMaker(checkpoint, seed)
    parts = []
    for i in range(config.passes):
        rows = _spread(train_rows, config.max_samples, i)
        augment = _PLAIN if i == 0 else config.augment
        parts.append(maker.make(train, rows, 'rollout', augment, f'rollouts, pass {i + 1}'))
    total = sum(len(p.success) for p in parts)
    rng = np.random.default_rng(seed)
    for kind, share in (('corrupted', config.corrupted_share),
                        ('out_of_scope', config.out_of_scope_share)):
        rows = rng.choice(train_rows, int(share * total))
        parts.append(maker.make(train, rows, kind, config.augment, kind))
    evidence = Evidence(*(np.concatenate([getattr(p, n) for p in parts])
                          for n in ('values', 'success', 'episode')))
    model = checkpoint.model
    fit_head(model.confidence_head, evidence, config, seed)
    log = JsonLog(output / 'log.jsonl')
    _calibrate(maker, checkpoint, held_out, held_rows, config, seed, output, log)
    return output / 'checkpoint'


def run_calibrate(checkpoint_path: Path, data: Sequence[Path], output: Path,
                  config: ConfidenceConfig, seed: int, threads: int) -> Path:
    """Calibrate a trained confidence head anew, on all the given rollouts."""
    torch.set_num_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path)
    found = find_shards(data)
    rollouts = Rollouts.open([*found['train'], *found['val']], 'test',
                             config.out_of_scope_texts)
    _check_fits(rollouts, checkpoint)
    maker = EvidenceMaker(checkpoint, seed)
    rows = np.arange(len(rollouts.shards.samples))
    _calibrate(maker, checkpoint, rollouts, rows, config, seed, output,
               JsonLog(output / 'log.jsonl'))
    return output / 'checkpoint'


def fit_head(head: ConfidenceHead, evidence: Evidence, config: ConfidenceConfig,
             seed: int) -> float:
    """Train the confidence head in place; it keeps the weights of its best epoch.

    An eighth of the episodes decides which epoch was best.

    Returns:
        Cross-entropy of that epoch on those episodes.
    """
    aside = (evidence.episode * 2654435761 + seed) % 8 == 0  # whole episodes
    aside = np.where(evidence.episode < 0, np.arange(len(aside)) % 8 == 0, aside)
    learn, judge = evidence.select(~aside), evidence.select(aside)
    if len(set(np.unique(learn.success).tolist())) < 2 or not len(judge.success):
        raise UserError('The rollouts hold no success, no failure, or too few episodes. '
                        'Collect more of them.')
    values, success = torch.from_numpy(learn.values), torch.from_numpy(learn.success)
    head.mean.copy_(values.mean(0))
    head.std.copy_(values.std(0).clamp(min=1e-2))
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate,
                                  weight_decay=config.weight_decay)
    steps = config.epochs * math.ceil(len(values) / config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate * 2, steps)
    best, best_state = math.inf, {n: v.clone() for n, v in head.state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    for _ in range(config.epochs):
        head.train()
        for rows in torch.randperm(len(values), generator=generator).split(config.batch_size):
            x = values[rows]
            x = x + config.evidence_noise * head.std * torch.randn(x.shape)
            dropped = torch.rand(x.shape) < config.evidence_dropout
            x = torch.where(dropped, head.mean, x)
            loss = head.loss(head(x), success[rows]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        head.eval()
        score = cross_entropy(_sigmoid(logits_of(head, judge.values)),
                              judge.success.astype(np.float64))
        if score < best:
            best, best_state = score, {n: v.clone() for n, v in head.state_dict().items()}
    head.load_state_dict(best_state)
    head.eval()
    return best


@torch.inference_mode()
def logits_of(head: ConfidenceHead, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits [M] of evidence [M, E]."""
    return np.concatenate([head(torch.from_numpy(part)).double().numpy()
                           for part in np.array_split(values, max(1, len(values) // 8192))])


def choose_calibration(logits: NDArray[np.float64], labels: NDArray[np.float64],
                       episode: NDArray[np.int64]) -> Calibration:
    """Temperature or isotonic, whichever has the lower cross-entropy on episodes left out."""
    folds = (episode * 2654435761) % 5
    scores: dict[str, list[float]] = {'temperature': [], 'isotonic': []}
    for k in range(5):
        fit, judge = folds != k, folds == k
        if len(np.unique(labels[fit] > 0.5)) < 2 or not judge.any():
            continue
        weight = judge.sum() / len(judge)
        for name, calibration in (('temperature', fit_temperature(logits[fit], labels[fit])),
                                  ('isotonic', fit_isotonic(logits[fit], labels[fit]))):
            scores[name].append(weight * cross_entropy(calibration(logits[judge]), labels[judge]))
    if sum(scores['isotonic']) < sum(scores['temperature']):
        return fit_isotonic(logits, labels)
    return fit_temperature(logits, labels)


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Area under the ROC curve of `scores` for `labels`, both [N]; NaN without both classes."""
    _, inverse, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]  # ties share their mean rank
    positive = labels > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        return math.nan
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n))


def _calibrate(maker: EvidenceMaker, checkpoint: Checkpoint, rollouts: Rollouts,
               rows: NDArray[np.int64], config: ConfidenceConfig, seed: int, output: Path,
               log: JsonLog) -> None:
    head = checkpoint.model.confidence_head
    evidence = maker.make(rollouts, rows, 'rollout', _PLAIN, 'held-out rollouts')
    logits, labels = logits_of(head, evidence.values), evidence.success.astype(np.float64)
    calibration = choose_calibration(logits, labels, evidence.episode)
    confidence = calibration(logits)
    successful = np.unique(evidence.episode[labels > 0.5])
    lowest = np.array([confidence[evidence.episode == e].min() for e in successful])
    value = conformal_threshold(lowest, config.alpha)
    rng = np.random.default_rng((seed, 9))
    some = rng.choice(rows, min(2000, len(rows)))
    held = {}
    for kind in ('corrupted', 'out_of_scope'):
        other = maker.make(rollouts, some, kind, _PLAIN, f'held-out, {kind}')
        held[kind] = float((calibration(logits_of(head, other.values)) < value).mean())
    report = {
        'kind': type(calibration).__name__, 'samples': len(labels),
        'episodes': len(np.unique(evidence.episode)), 'successes': len(successful),
        'auroc': area_under_curve(logits, labels),
        'ece_before': expected_calibration_error(_sigmoid(logits), labels),
        'ece_after': expected_calibration_error(confidence, labels),
        'threshold': value, 'held_corrupted': held['corrupted'],
        'held_out_of_scope': held['out_of_scope']}
    log.write({'stage': 'calibrate', **report})
    print(' '.join(f'{n} {v:.4f}' if isinstance(v, float) else f'{n} {v}'
                   for n, v in report.items()), file=sys.stderr)
    statistics = dataclasses.replace(
        checkpoint.statistics, calibration=calibration.to_dict(),
        threshold={'value': value, 'alpha': config.alpha, 'successful_episodes': len(successful)})
    # What is written must be readable: the same check as at loading.
    assert isinstance(calibration_from_dict(statistics.calibration, 'new'),
                      (Temperature, Isotonic))
    save_checkpoint(output / 'checkpoint', dataclasses.replace(checkpoint, statistics=statistics))


def _split(data: Sequence[Path], config: ConfidenceConfig, checkpoint: Checkpoint, seed: int
           ) -> tuple[Rollouts, Rollouts, NDArray[np.int64], NDArray[np.int64]]:
    """Rollouts to learn from, those to calibrate on, and the rows of both."""
    found = find_shards(data)
    if not found['train']:
        raise UserError('There are no rollout shards of split train. Collect rollouts first.')
    train = Rollouts.open(found['train'], 'train', config.out_of_scope_texts)
    _check_fits(train, checkpoint)
    all_rows = np.arange(len(train.shards.samples))
    if found['val']:
        held = Rollouts.open(found['val'], 'test', config.out_of_scope_texts)
        _check_fits(held, checkpoint)
        return train, held, np.arange(len(held.shards.samples)), all_rows
    episodes = train.shards.samples.rollout['episode']
    aside = np.random.default_rng((seed, 5)).random(int(episodes.max()) + 1)
    mask = aside[episodes] < config.held_out_share
    held = Rollouts(train.shards, TextBank(
        [*train.shards.texts, *out_of_scope('test')[:config.out_of_scope_texts]]))
    return train, held, all_rows[mask], all_rows[~mask]


def _check_fits(rollouts: Rollouts, checkpoint: Checkpoint) -> None:
    spec, own = rollouts.shards.spec, checkpoint.spec
    if spec is None or (spec.channels, spec.joint_names, spec.image_size) != (
            own.channels, own.joint_names, own.image_size):
        raise UserError('The rollouts have other channels, joints or image size than the '
                        'checkpoint. Collect them with this checkpoint.')


def _spread(rows: NDArray[np.int64], limit: int, turn: int) -> NDArray[np.int64]:
    step = max(1, math.ceil(len(rows) / limit))
    return rows[turn % step::step]


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
