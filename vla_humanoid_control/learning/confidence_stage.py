"""The confidence learns success from rollouts, with the rest of the network frozen.

First what is known: mean and covariance of image and instruction features, and a network that
reads nothing but whether the robot can do what is asked. Then the confidence head: because the
rest is frozen, what it sees (`ModelOutput.evidence`) is computed once, and the head itself trains
in seconds. Then, on rollouts of the validation split, which no stage ever saw, the four signals
are combined and calibrated (`learning/held_out.py`).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.artifact import TrustArtifact
from vla_humanoid_control.confidence.calibration import cross_entropy
from vla_humanoid_control.confidence.fitting import (
    FIT,
    JUDGE,
    HeldOut,
    Signals,
    check_parts,
    sigmoid,
)
from vla_humanoid_control.confidence.signals import disagreement, log_distance
from vla_humanoid_control.data.parts import parts_of
from vla_humanoid_control.data.shards import find_shards
from vla_humanoid_control.learning.augment import AugmentConfig, noisy_words
from vla_humanoid_control.learning.evidence import PLAIN, Evidence, EvidenceMaker, Rollouts
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_humanoid_control.models.heads import INSTRUCTION_LABELS, ConfidenceHead
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.models.vla import VlaModel
from vla_humanoid_control.policy.registry import fingerprint
from vla_humanoid_control.support.bounds import check_bounds, required
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import JsonLog, ProgressLine
from vla_humanoid_control.tasks.phrasings import Split, out_of_scope, phrasings
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

_SCOPE_BATCH, _SCOPE_RATE = 512, 1e-3
_BROKEN_SAMPLES = 4000
"""Broken samples beside the rollouts of a part, of each kind, at most."""


@dataclass(frozen=True)
class ConfidenceConfig:
    """See `config/train/confidence.yaml`, which has every value and its meaning."""

    passes: int = required(1, 100)
    max_samples: int = required(1, 10**9)
    corrupted_share: float = required(0, 10)
    out_of_scope_share: float = required(0, 10)
    out_of_scope_texts: int = required(1, 10**7)
    known_phrasings: int = required(0, 10**6)
    scope_phrasings: int = required(1, 10**6)
    scope_steps: int = required(0, 10**7)
    epochs: int = required(1, 10**5)
    batch_size: int = required(1, 10**6)
    learning_rate: float = required(1e-9, 10)
    weight_decay: float = required(0, 10)
    evidence_dropout: float = required(0, 0.99)
    evidence_noise: float = required(0, 10)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        check_bounds(self)


def run_confidence(checkpoint_path: Path, data: Sequence[Path], output: Path,
                   config: ConfidenceConfig, seed: int, threads: int) -> Path:
    """Train the confidence head, calibrate it, and write the completed checkpoint to `output`.

    Returns:
        The checkpoint folder.

    Raises:
        UserError: The data are no rollouts, do not fit, lack one of both splits, or hold no
            success or no failure.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    checkpoint = load_checkpoint(checkpoint_path)
    train = _open(data, 'train', config, checkpoint)
    held_out = _open(data, 'val', config, checkpoint)
    train_rows = np.arange(len(train.shards.samples))
    maker = EvidenceMaker(checkpoint, seed)
    maker.learn_known_images(train, _spread(train_rows, config.max_samples // 2, 0))
    if config.known_phrasings:
        maker.learn_known_instructions(config.known_phrasings)
    if config.scope_steps:
        fit_scope_classifier(checkpoint.model, config, seed)
    parts = []
    for i in range(config.passes):
        rows = _spread(train_rows, config.max_samples, i)
        augment = PLAIN if i == 0 else config.augment
        parts.append(maker.make(train, rows, 'rollout', augment, f'rollouts, pass {i + 1}', i))
    total = sum(len(p.success) for p in parts)
    rng = np.random.default_rng(seed)
    for kind, share in (('corrupted', config.corrupted_share),
                        ('out_of_scope', config.out_of_scope_share)):
        rows = rng.choice(train_rows, int(share * total))
        if len(rows):
            parts.append(maker.make(train, rows, kind, config.augment, kind))
    evidence = Evidence(*(np.concatenate([getattr(p, n) for p in parts])
                          for n in ('values', 'success', 'episode', 'distances')))
    fit_head(checkpoint.model.confidence_head, evidence, train.shards.episodes, config, seed)
    _calibrate(maker, checkpoint, held_out, config, seed, output)
    return output / 'checkpoint'


def run_calibrate(checkpoint_path: Path, data: Sequence[Path], output: Path,
                  config: ConfidenceConfig, seed: int, threads: int) -> Path:
    """Calibrate a trained confidence head anew, on the validation rollouts among the data.

    Every weight stays as it is: only the trust artifact beside the checkpoint is new.

    Returns:
        The checkpoint folder.

    Raises:
        UserError: The data are no rollouts, do not fit, hold none of the validation split, or too
            few of them.
    """
    torch.set_num_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path)
    rollouts = _open(data, 'val', config, checkpoint)
    _calibrate(EvidenceMaker(checkpoint, seed), checkpoint, rollouts, config, seed, output)
    return output / 'checkpoint'


def fit_scope_classifier(model: VlaModel, config: ConfidenceConfig, seed: int) -> None:
    """Train the scope classifier in place, on words alone.

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


def fit_head(head: ConfidenceHead, evidence: Evidence, episodes: Sequence[str],
             config: ConfidenceConfig, seed: int) -> float:
    """Train the confidence head in place; it keeps the weights of its best epoch.

    An eighth of the episodes, with all that was made of them, decides which epoch was best.

    Args:
        head: The head.
        evidence: What it learns from.
        episodes: Names of the episodes, by number.
        config: How long and how fast.
        seed: Source of chance.

    Returns:
        Cross-entropy of that epoch on those episodes.
    """
    aside = parts_of(episodes, (7, 1), f'best epoch {seed}')[evidence.episode] == 1
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
        score = cross_entropy(sigmoid(logits_of(head, judge.values)),
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


def signals_of(rollouts: Rollouts, rows: NDArray[np.int64], evidence: Evidence,
               head: ConfidenceHead, statistics: Statistics,
               in_order: bool) -> dict[str, NDArray[np.float64]]:
    """The signals of samples, [M] each; see `confidence/signals.py` and `policy/native.py`.

    Args:
        rollouts: Where the samples are from.
        rows: int64 [M], sample numbers.
        evidence: Theirs.
        head: The confidence head.
        statistics: For the channels' deviations.
        in_order: Whether they are whole episodes in order; else no agreement is known.
    """
    samples = rollouts.shards.samples
    actions, time_s = samples.actions[rows], samples.rollout['time_s'][rows]
    assert rollouts.shards.spec is not None
    agreement = np.full(len(rows), np.nan)
    for i in range(1, len(rows) if in_order else 0):
        if evidence.episode[i] == evidence.episode[i - 1]:
            agreement[i] = log_distance(disagreement(
                actions[i - 1], actions[i], float(time_s[i] - time_s[i - 1]),
                rollouts.shards.spec.dt_s, statistics.action_std))
    image, instruction = (np.array([log_distance(float(d)) for d in column])
                          for column in evidence.distances.T)
    return {'head': -logits_of(head, evidence.values), 'image': image,
            'instruction': instruction, 'agreement': agreement}


def _calibrate(maker: EvidenceMaker, checkpoint: Checkpoint, rollouts: Rollouts,
               config: ConfidenceConfig, seed: int, output: Path) -> None:
    """Write the checkpoint, and its trust artifact beside it."""
    save_checkpoint(output / 'checkpoint', checkpoint)
    held_out = _held_out(maker, checkpoint, rollouts, config, seed)
    log, names = JsonLog(output / 'log.jsonl'), tuple(held_out.values)
    for signals in (*((name,) for name in names), names):
        combination, figures = held_out.combine(signals)
        name = '+'.join(signals)
        log.write({'stage': 'calibrate', 'signals': name, **figures})
        print(f'{name:36s}' + ' '.join(f'{n} {v:.3f}' if isinstance(v, float) else f'{n} {v}'
                                       for n, v in figures.items()), file=sys.stderr)
    scale = dict(zip(checkpoint.spec.channels, checkpoint.statistics.action_std.tolist()))
    own = fingerprint(str(output / 'checkpoint'))
    TrustArtifact(output / 'trust', own, scale, combination).save(held_out)


def _held_out(maker: EvidenceMaker, checkpoint: Checkpoint, rollouts: Rollouts,
              config: ConfidenceConfig, seed: int) -> HeldOut:
    """Signals of all validation rollouts, and of broken samples to fit with and to judge by."""
    head, statistics = checkpoint.model.confidence_head, checkpoint.statistics
    shards, rollout = rollouts.shards, rollouts.shards.samples.rollout
    rows = np.arange(len(shards.samples))
    part = rollouts.part_of_episodes()[rollout['episode']]
    check_parts(part, rollout['success'] > 0.5, rollout['episode'])
    evidence = maker.make(rollouts, rows, 'rollout', PLAIN, 'validation rollouts')
    broken: dict[str, tuple[Signals, Signals]] = {}
    rng = np.random.default_rng((seed, 9))
    for kind in ('corrupted', 'out_of_scope'):
        values = []
        for of in (FIT, JUDGE):
            own = np.flatnonzero(part == of)
            some = rng.choice(own, min(_BROKEN_SAMPLES, len(own)), replace=False)
            made = maker.make(rollouts, some, kind, PLAIN, f'validation, {kind}', 1 + of,
                              np.flatnonzero(rollouts.part_of_requests() == of))
            values.append(signals_of(rollouts, some, made, head, statistics, False))
        broken[kind] = (values[0], values[1])
    folds = parts_of(shards.episodes, (1,) * 5, 'choice of a calibration')[rollout['episode']]
    return HeldOut(
        signals_of(rollouts, rows, evidence, head, statistics, True),
        evidence.success.astype(np.float64), evidence.episode, rollout['time_s'],
        _within_abilities(rollouts, rows), part, folds, broken,
        {'corrupted': config.corrupted_share, 'out_of_scope': config.out_of_scope_share})


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


def _open(data: Sequence[Path], split: Split, config: ConfidenceConfig, checkpoint: Checkpoint
          ) -> Rollouts:
    """The rollouts of a split among the data; UserError where there are none that fit."""
    paths = find_shards(data)[split]
    if not paths:
        use = 'learn from' if split == 'train' else 'calibrate on'
        raise UserError(f'There are no rollouts of split {split} to {use}. Collect some and name '
                        f'their directory with --data, too: vla collect --rollouts 800 --split '
                        f'{split} --policy CHECKPOINT --out DIR')
    rollouts = Rollouts.open(paths, split, config.out_of_scope_texts)
    _check_fits(rollouts, checkpoint)
    return rollouts


def _check_fits(rollouts: Rollouts, checkpoint: Checkpoint) -> None:
    spec, own = rollouts.shards.spec, checkpoint.spec
    if spec is None or (spec.channels, spec.joint_names, spec.image_size) != (
            own.channels, own.joint_names, own.image_size):
        raise UserError('The rollouts have other channels, joints or image size than the '
                        'checkpoint. Collect them with this checkpoint.')


def _spread(rows: NDArray[np.int64], limit: int, turn: int) -> NDArray[np.int64]:
    step = max(1, math.ceil(len(rows) / limit))
    return rows[turn % step::step]
