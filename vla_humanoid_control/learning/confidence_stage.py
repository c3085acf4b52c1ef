"""A checkpoint's confidence head learns success from rollouts, with all else frozen.

First what is known: mean and covariance of image and instruction features, and a network that
reads nothing but whether the robot can do what is asked. Then the head: because the rest is
frozen, what it sees (`parts/trust/evidence.py`) is computed once, and the head itself trains in
seconds. What it says is one signal among several; what they are worth together is measured
afterwards, on other rollouts (`learning/trust.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.confidence.calibration import cross_entropy, sigmoid
from vla_humanoid_control.data.parts import parts_of
from vla_humanoid_control.data.rollouts import RolloutsFolder
from vla_humanoid_control.learning.augment import AugmentConfig, noisy_words
from vla_humanoid_control.learning.evidence import PLAIN, Evidence, EvidenceMaker, Rollouts
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.checkpoint import load_checkpoint, save_checkpoint
from vla_humanoid_control.models.parts.heads.confidence import ConfidenceHead
from vla_humanoid_control.models.parts.heads.intent import INSTRUCTION_LABELS, InstructionHead
from vla_humanoid_control.models.parts.part import Part
from vla_humanoid_control.models.streams import Inputs, Targets
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.bounds import check_bounds, required
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import JsonLog, ProgressLine
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

_SCOPE_BATCH, _SCOPE_RATE = 512, 1e-3


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
    """Train the confidence head, and write the completed checkpoint to `output`.

    Returns:
        The checkpoint folder.

    Raises:
        UserError: The data are no rollouts, do not fit, or hold no success or no failure.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    checkpoint = load_checkpoint(checkpoint_path)
    rollouts = Rollouts.read([RolloutsFolder.open(path) for path in data], checkpoint.spec,
                             config.out_of_scope_texts)
    rows = np.arange(len(rollouts))
    maker = EvidenceMaker(checkpoint, seed)
    maker.learn_known_images(rollouts, _spread(rows, config.max_samples // 2, 0))
    if config.known_phrasings:
        maker.learn_known_instructions(config.known_phrasings)
    if config.scope_steps:
        fit_scope_classifier(checkpoint.model, config, seed)
    parts = []
    for i in range(config.passes):
        augment = PLAIN if i == 0 else config.augment
        parts.append(maker.make(rollouts, _spread(rows, config.max_samples, i), 'rollout', augment,
                                f'rollouts, pass {i + 1}', i))
    total = sum(len(p.success) for p in parts)
    rng = np.random.default_rng(seed)
    for kind, share in (('corrupted', config.corrupted_share),
                        ('out_of_scope', config.out_of_scope_share)):
        some = rng.choice(rows, int(share * total))
        if len(some):
            parts.append(maker.make(rollouts, some, kind, config.augment, kind))
    evidence = Evidence(*(np.concatenate([getattr(p, n) for p in parts])
                          for n in ('values', 'success', 'episode')))
    head = checkpoint.model.part('confidence_head', ConfidenceHead)
    loss = fit_head(head, evidence, rollouts.episodes, config, seed)
    JsonLog(output / 'log.jsonl').write({'stage': 'confidence', 'samples': len(evidence.success),
                                         'cross_entropy': loss})
    save_checkpoint(output / 'checkpoint', checkpoint)
    return output / 'checkpoint'


def fit_scope_classifier(model: System, config: ConfidenceConfig, seed: int) -> None:
    """Train the scope classifier in place, on words alone.

    Two fifths of a batch are out of scope, which is harder to know than any task.
    """
    texts = TaskTexts(list(TASK_KEYS), 'train', config.scope_phrasings)
    scope, head = model.part('scope', Part), model.part('scope_head', InstructionHead)
    parameters = [*scope.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_SCOPE_RATE, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _SCOPE_RATE, config.scope_steps)
    rng = np.random.default_rng((seed, 11))
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(seed)
    others = _SCOPE_BATCH * 2 // 5
    line, began = ProgressLine('scope'), time.monotonic()
    scope.train()
    for step in range(1, config.scope_steps + 1):
        words, tasks = texts.draw_any(_SCOPE_BATCH - others, others, rng)
        said = Inputs(words=noisy_words(words, config.augment.word_noise, chance))
        loss = head.loss(model(said)['scope_head'],
                         Targets(labels=INSTRUCTION_LABELS[tasks])).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == config.scope_steps:
            spent = time.monotonic() - began
            line.show(step / config.scope_steps, step * _SCOPE_BATCH / spent, 'sentences',
                      spent / step * (config.scope_steps - step), f'loss {loss.item():.3f}')
    line.close()
    scope.eval()


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
            loss = head.loss(head.of_vector(x), Targets(success=success[rows])).mean()
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
    return np.concatenate([head.of_vector(torch.from_numpy(part)).double().numpy()
                           for part in np.array_split(values, max(1, len(values) // 8192))])


def _spread(rows: NDArray[np.int64], limit: int, turn: int) -> NDArray[np.int64]:
    step = max(1, math.ceil(len(rows) / limit))
    return rows[turn % step::step]
