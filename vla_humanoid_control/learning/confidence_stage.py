"""The confidence learns success from rollouts, with the rest of the network frozen.

First what is known: mean and covariance of image and instruction features, and a network that
reads nothing but whether the robot can do what is asked. Then the confidence head: because the
rest is frozen, what it sees (`ModelOutput.evidence`) is computed once, and the head itself trains
in seconds. Then, on episodes that no stage ever saw, the four signals are combined and calibrated
(`confidence/score.py`): one half of those episodes fits, the other half sets the thresholds and
says how good it is.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vla_humanoid_control.confidence import metrics
from vla_humanoid_control.confidence.calibration import (
    Calibration,
    cross_entropy,
    fit_isotonic,
    fit_temperature,
)
from vla_humanoid_control.confidence.score import (
    ALPHA,
    EARLY_S,
    SIGNALS,
    Combination,
    Combinations,
    badness,
    columns,
    disagreement,
    smooth,
    subsets,
)
from vla_humanoid_control.data.shards import ShardSet, find_shards, iterate, make_batch
from vla_humanoid_control.learning.augment import AugmentConfig, augment_images, noisy_words
from vla_humanoid_control.learning.corruptions import corrupt
from vla_humanoid_control.learning.texts import TaskTexts, TextBank
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_humanoid_control.models.heads import INSTRUCTION_LABELS, ConfidenceHead
from vla_humanoid_control.models.transforms import (
    Statistics,
    normalise_images,
    normalise_joints,
    normalise_time,
)
from vla_humanoid_control.models.vla import ModelInput, VlaModel
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import JsonLog, ProgressLine
from vla_humanoid_control.tasks.phrasings import Split, out_of_scope, phrasings, rehearsed
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

_PLAIN = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_SCOPE_BATCH, _SCOPE_RATE = 512, 1e-3
_VETO = 4.0
"""Beyond its hinge a deviation of the instruction takes at least so much from the logit. What the
words ask for is known before anything moves; by likelihood alone, an image and a posture in which
all is well would outvote them."""


@dataclass(frozen=True)
class ConfidenceConfig:
    """See `config/train/confidence.yaml`, which has every value and its meaning."""

    passes: int
    max_samples: int
    corrupted_share: float
    out_of_scope_share: float
    out_of_scope_texts: int
    known_phrasings: int
    scope_phrasings: int
    scope_steps: int
    held_out_share: float
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    evidence_dropout: float
    evidence_noise: float
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class Evidence:
    """What the head learns from.

    Attributes:
        values: float32 [M, E]. success: float32 [M]. episode: int64 [M], -1 for samples that are
            no part of a rollout. distances: float32 [M, 2], of image and instruction.
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
    """Rollouts of one split, with the features of the instructions that were used."""

    shards: ShardSet
    bank: TextBank

    @staticmethod
    def open(paths: Sequence[Path], split: str, others: int) -> Rollouts:
        """Open shards with rollout columns; `others` requests out of scope join the texts."""
        shards = ShardSet(paths, rollouts=True)
        requests = rehearsed(None, 'val') if split == 'val' else out_of_scope('train')[:others]
        return Rollouts(shards, TextBank([*shards.texts, *requests]))


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
        parts, distances = [], []
        line, began = ProgressLine(title), time.monotonic()
        for block in iterate(len(rows), 128):
            inputs = self._inputs(rollouts, rows[block], kind, augment, int(block[0]))
            with torch.inference_mode():
                output = self._model(inputs)
                parts.append(output.evidence.numpy())
                distances.append(torch.stack(self._model.novelty(output.features), 1).numpy())
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
            columns['episode'][rows] if plain else np.full(len(rows), -1, np.int64),
            np.concatenate(distances))

    def learn_what_is_known(self, rollouts: Rollouts, rows: NDArray[np.int64],
                            config: ConfidenceConfig) -> None:
        """Fit the model's distances: images to those of rollouts, instructions to training's."""
        features = []
        for block in iterate(len(rows), 128):
            inputs = self._inputs(rollouts, rows[block], 'rollout', _PLAIN, int(block[0]))
            with torch.inference_mode():
                features.append(self._model(inputs).features)
        image = self._model.image_novelty
        image.fit(torch.cat(features)[:, :image.centres.shape[1]])
        texts = TaskTexts(list(TASK_KEYS), 'train', config.known_phrasings)
        vectors, kinds = [], []
        for task in range(len(TASK_KEYS)):
            words, mask = texts.all_of(task)
            with torch.inference_mode():
                vectors.append(self._model.language(torch.from_numpy(words),
                                                    torch.from_numpy(mask))[0])
            kinds += [task] * len(words)
        self._model.instruction_novelty.fit(torch.cat(vectors), torch.tensor(kinds))

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
        words = noisy_words(words, mask, augment.word_noise, rng)
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
    maker.learn_what_is_known(train, _spread(train_rows, config.max_samples // 2, 0), config)
    fit_scope(checkpoint.model, config, seed)
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
                          for n in ('values', 'success', 'episode', 'distances')))
    fit_head(checkpoint.model.confidence_head, evidence, config, seed)
    log = JsonLog(output / 'log.jsonl')
    _calibrate(maker, checkpoint, held_out, held_rows, config, seed, output, log)
    return output / 'checkpoint'


def run_calibrate(checkpoint_path: Path, data: Sequence[Path], output: Path,
                  config: ConfidenceConfig, seed: int, threads: int) -> Path:
    """Calibrate a trained confidence head anew, on all the given rollouts."""
    torch.set_num_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path)
    found = find_shards(data)
    rollouts = Rollouts.open([*found['train'], *found['val']], 'val', config.out_of_scope_texts)
    _check_fits(rollouts, checkpoint)
    maker = EvidenceMaker(checkpoint, seed)
    rows = np.arange(len(rollouts.shards.samples))
    _calibrate(maker, checkpoint, rollouts, rows, config, seed, output,
               JsonLog(output / 'log.jsonl'))
    return output / 'checkpoint'


def fit_scope(model: VlaModel, config: ConfidenceConfig, seed: int) -> None:
    """Train the network that tells what is beyond the robot, in place, on words alone.

    Two fifths of a batch are out of scope, which is harder to know than any task.
    """
    texts = TaskTexts(list(TASK_KEYS), 'train', config.scope_phrasings)
    parameters = [*model.scope.parameters(), *model.scope_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_SCOPE_RATE, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _SCOPE_RATE, config.scope_steps)
    rng = np.random.default_rng((seed, 11))
    torch.manual_seed(seed)
    others = _SCOPE_BATCH * 2 // 5
    line, began = ProgressLine('scope'), time.monotonic()
    model.scope.train()
    for step in range(1, config.scope_steps + 1):
        words, mask, tasks = texts.draw_any(_SCOPE_BATCH - others, others, rng)
        words = noisy_words(words, mask, config.augment.word_noise, rng)
        logits = model.scope_logits(torch.from_numpy(words), torch.from_numpy(mask))
        loss = model.scope_head.loss(logits, INSTRUCTION_LABELS[tasks]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == config.scope_steps:
            spent = time.monotonic() - began
            line.show(step / config.scope_steps, step * _SCOPE_BATCH / spent, 'sentences',
                      spent / step * (config.scope_steps - step), f'loss {loss.item():.3f}')
    line.close()
    model.scope.eval()


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


def signals_of(rollouts: Rollouts, rows: NDArray[np.int64], evidence: Evidence,
               head: ConfidenceHead, statistics: Statistics) -> NDArray[np.float64]:
    """The four signals of samples, [M, 4]; see `confidence/score.py`.

    Args:
        rollouts: Where the samples are from.
        rows: int64 [M], sample numbers; whole episodes in order.
        evidence: Theirs.
        head: The confidence head.
        statistics: For the channels' deviations.
    """
    samples = rollouts.shards.samples
    actions, time_s = samples.actions[rows], samples.rollout['time_s'][rows]
    assert rollouts.shards.spec is not None
    agreement = np.full(len(rows), np.nan)
    for i in range(1, len(rows)):
        if evidence.episode[i] == evidence.episode[i - 1] >= 0:
            agreement[i] = disagreement(actions[i - 1], actions[i],
                                        float(time_s[i] - time_s[i - 1]),
                                        rollouts.shards.spec.dt_s, statistics.action_std)
    return np.column_stack([logits_of(head, evidence.values), evidence.distances, agreement])


def fit_combination(signals: tuple[str, ...], values: NDArray[np.float64],
                    success: NDArray[np.float64], weight: NDArray[np.float64]) -> Combination:
    """Weights of some signals by logistic regression; none may speak for what looks bad.

    Args:
        signals: Which.
        values: [N, 4].
        success: [N], 0 or 1.
        weight: [N].
    """
    bad = badness(values)[:, [SIGNALS.index(s) for s in signals]]
    mean, std = np.nanmean(bad[success > 0.5], axis=0), np.nanstd(bad[success > 0.5], axis=0)
    std = np.maximum(std, 1e-3)
    hinge = (np.nanquantile(bad[success > 0.5], 1 - ALPHA / 2, axis=0) - mean) / std
    x = torch.from_numpy(columns(signals, values, mean, std, hinge))
    y, w = torch.from_numpy(success), torch.from_numpy(weight / weight.sum())
    least = torch.tensor([0.0] * len(signals) + [_VETO * (s == 'instruction') for s in signals])
    free = torch.zeros(x.shape[1] + 1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn='strong_wolfe')

    def weights() -> Tensor:
        return functional.softplus(free[:-1]) + least

    def loss() -> Tensor:
        optimizer.zero_grad()
        slopes = weights()
        logits = free[-1] - x @ slopes
        value = (w * functional.binary_cross_entropy_with_logits(logits, y, reduction='none')
                 ).sum() + 1e-4 * (slopes ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Combination(signals, tuple(mean.tolist()), tuple(std.tolist()), tuple(hinge.tolist()),
                       tuple(weights().tolist()), float(free[-1].detach()))


def _calibrate(maker: EvidenceMaker, checkpoint: Checkpoint, rollouts: Rollouts,
               rows: NDArray[np.int64], config: ConfidenceConfig, seed: int, output: Path,
               log: JsonLog) -> None:
    """Combine and calibrate every choice of signals, and write the checkpoint."""
    head, statistics = checkpoint.model.confidence_head, checkpoint.statistics
    evidence = maker.make(rollouts, rows, 'rollout', _PLAIN, 'held-out rollouts')
    values = signals_of(rollouts, rows, evidence, head, statistics)
    some = np.random.default_rng((seed, 9)).choice(rows, min(4000, len(rows)))
    broken: dict[str, NDArray[np.float64]] = {}
    for kind in ('corrupted', 'out_of_scope'):
        other = maker.make(rollouts, some, kind, _PLAIN, f'held-out, {kind}')
        broken[kind] = signals_of(rollouts, some, other, head, statistics)
    held_out = _HeldOut(evidence, values, rollouts.shards.samples.rollout['time_s'][rows],
                        _within_abilities(rollouts, rows), broken)
    combinations, report = {}, {}
    for signals in subsets():
        combinations[signals], report['+'.join(signals)] = held_out.combine(signals, config)
    for name, figures in report.items():
        log.write({'stage': 'calibrate', 'signals': name, **figures})
        print(f'{name:36s}' + ' '.join(f'{n} {v:.3f}' if isinstance(v, float) else f'{n} {v}'
                                       for n, v in figures.items()), file=sys.stderr)
    result = Combinations(combinations)
    # What is written must be readable: the same check as at loading.
    assert Combinations.from_list(result.to_list(), 'new') == result
    statistics = dataclasses.replace(statistics, confidence=tuple(result.to_list()))
    save_checkpoint(output / 'checkpoint', dataclasses.replace(checkpoint, statistics=statistics))


@dataclass(frozen=True)
class _HeldOut:
    """Held-out rollouts, and held-out samples that are broken.

    Attributes:
        evidence: Of M samples. values: [M, 4], their signals. time_s: [M]. able: bool [M], whether
            the robot was asked for what it can do; the others it should hold whatever they are.
        broken: Kind to signals [N, 4].
    """

    evidence: Evidence
    values: NDArray[np.float64]
    time_s: NDArray[np.float32]
    able: NDArray[np.bool_]
    broken: Mapping[str, NDArray[np.float64]]

    def combine(self, signals: tuple[str, ...], config: ConfidenceConfig
                ) -> tuple[Combination, dict[str, Any]]:
        """Fit and calibrate on one half of the episodes; threshold and figures from the other."""
        episode, labels = self.evidence.episode, self.evidence.success.astype(np.float64)
        fit = (episode * 2654435761 >> 7) % 2 == 0
        share = {'corrupted': config.corrupted_share, 'out_of_scope': config.out_of_scope_share}
        others = np.concatenate([self.broken[k] for k in share])
        weight = np.concatenate([np.ones(fit.sum()), *(
            np.full(len(self.broken[k]), share[k] * fit.sum() / len(self.broken[k]))
            for k in share)])
        combination = fit_combination(
            signals, np.concatenate([self.values[fit], others]),
            np.concatenate([labels[fit], np.zeros(len(others))]), weight)
        logits = smooth(combination.logits(self.values), episode,
                        self.time_s.astype(np.float64))
        # A probability of success is one among tasks that can succeed, and a prediction: failures
        # last longer than successes, so that over all time they would count for more.
        known = fit & self.able & (self.time_s <= EARLY_S)
        calibration = choose_calibration(logits[known], labels[known], episode[known])
        confidence, judged = calibration(logits), ~fit
        won = labels > 0.5
        early = judged & self.able & (self.time_s <= EARLY_S)
        successful = np.unique(episode[judged & won])
        lowest = np.array([confidence[episode == e].min() for e in successful])
        combination = dataclasses.replace(combination, calibration=calibration,
                                          lowest=tuple(np.sort(lowest).tolist()))
        threshold = combination.threshold(ALPHA)
        figures = {
            'kind': type(calibration).__name__, 'samples': int(judged.sum()),
            'episodes': len(np.unique(episode[judged])), 'successes': len(successful),
            'auroc': metrics.auroc(_sigmoid(logits[judged]), won[judged]),
            'ece': metrics.expected_calibration_error(confidence[early], won[early]),
            'threshold': threshold,
            **{f'held_{kind}': float((calibration(combination.logits(values)) < threshold).mean())
               for kind, values in self.broken.items()}}
        return combination, figures


def _within_abilities(rollouts: Rollouts, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the robot was asked for the task of its scene, bool [M].

    A text that is known as another task's, or as beyond the robot, was something else.
    """
    meant: dict[str, set[str]] = {}
    splits: tuple[Split, ...] = ('train', 'val')
    for split in splits:
        for key in TASK_KEYS:
            for text in phrasings(key, split):
                meant.setdefault(text, set()).add(key)
        meant.update((text, set()) for text in out_of_scope(split))
    samples = rollouts.shards.samples
    return np.array([TASK_KEYS[task] in meant.get(rollouts.shards.texts[text], TASK_KEYS)
                     for text, task in zip(samples.rollout['text'][rows].tolist(),
                                           samples.task[rows].tolist(), strict=True)])


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
        held = Rollouts.open(found['val'], 'val', config.out_of_scope_texts)
        _check_fits(held, checkpoint)
        return train, held, np.arange(len(held.shards.samples)), all_rows
    episodes = train.shards.samples.rollout['episode']
    aside = np.random.default_rng((seed, 5)).random(int(episodes.max()) + 1)
    mask = aside[episodes] < config.held_out_share
    held = Rollouts(train.shards, TextBank([*train.shards.texts, *rehearsed(None, 'val')]))
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
