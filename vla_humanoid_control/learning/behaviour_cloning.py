"""Behaviour cloning: what one step is. The loop around it is in `train.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.data.shards import ShardSet, iterate, make_batch
from vla_humanoid_control.learning.augment import AugmentConfig, augment_images, noisy_words
from vla_humanoid_control.learning.captions import heads_of
from vla_humanoid_control.learning.crops import CropConfig
from vla_humanoid_control.learning.hand_motions import MOTION
from vla_humanoid_control.learning.parallel import Team
from vla_humanoid_control.learning.pieces import Piece
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.deployment import computes_bfloat16
from vla_humanoid_control.models.parts.heads.intent import INSTRUCTION_LABELS
from vla_humanoid_control.models.parts.part import Head
from vla_humanoid_control.models.streams import Inputs, Space, Targets
from vla_humanoid_control.models.system import Streams, System
from vla_humanoid_control.models.transforms import (
    SCALES,
    Statistics,
    as_frames,
    normalise_actions,
    normalise_images,
    normalise_joints,
    normalise_time,
    restore_actions,
)
from vla_humanoid_control.support.bounds import check_bounds, required, required_each
from vla_humanoid_control.tasks.vocabulary import FAMILIES, OBJECT_FAMILIES, TASK_KEYS, family_of
from vla_humanoid_control.types import BASE_CHANNELS

_FAMILY_OF_TASK = np.array([FAMILIES.index(family_of(k)) for k in TASK_KEYS])
_FREE_OF_TIME = np.isin(_FAMILY_OF_TASK, [FAMILIES.index(f) for f in OBJECT_FAMILIES])
LOSSES = ('action', 'progress', 'target', 'instruction', 'alignment', 'answer')
"""What is learnt: a loss each, see `losses`."""
CPU = torch.device('cpu')
_DONE = 0.95
"""Labelled progress from which a sample shows a task that is done."""
_SMALLEST_STD = {'base': 0.05, 'gripper': 0.005, 'joint': 0.05, 'motion': 0.002}


@dataclass(frozen=True)
class BcConfig:
    """See `config/train/bc.yaml`, which has every value and its meaning."""

    epochs: int = required(1, 10**5)
    batch_size: int = required(1, 10**6)
    samples_per_frame: int = required(1, 10**6)
    learning_rate: float = required(1e-9, 10)
    weight_decay: float = required(0, 10)
    warmup_steps: int = required(0, 10**7)
    final_rate: float = required(0, 1)
    clip_norm: float = required(1e-6, 1e6)
    average: float = required(0, 0.999999)
    phrasings_per_task: int = required(1, 10**6)
    texts_per_batch: int = required(1, 10**6)
    out_of_scope_per_batch: int = required(0, 10**6)
    captions_per_batch: int = required(0, 10**6)
    accumulate: int = required(1, 10**6)
    losses: Mapping[str, float] = required_each(LOSSES, 0, 1e3)
    base_weight: float = required(0, 1e3)
    done_weight: float = required(0, 1e3)
    families: Mapping[str, float] = required_each(FAMILIES, 0, 1e3)
    tasks: Mapping[str, float] = required_each(TASK_KEYS, 0, 1e3, complete=False)
    validate_every: int = required(1, 10**7)
    validation_samples: int = required(1, 10**8)
    save_every_s: float = required(0, 1e6)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    pretraining: CropConfig = field(default_factory=CropConfig)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class BcBatch:
    """What one step learns from.

    Attributes:
        shown: Samples of the demonstrations.
        spoken: Instructions without an image, requests outside the abilities among them.
        captions: Image-text pairs, where some are learnt beside the actions (co-training, as in
            RT-2, https://arxiv.org/abs/2307.15818).
    """

    shown: Piece
    spoken: Piece
    captions: Piece | None = None

    def to(self, device: torch.device) -> BcBatch:
        """The same on a device."""
        return BcBatch(self.shown.to(device), self.spoken.to(device),
                       self.captions and self.captions.to(device))

    def pieces(self, count: int) -> list[BcBatch]:
        """In so many pieces, whose losses sum up to those of the whole."""
        told = [None] * count if self.captions is None else self.captions.pieces(count)
        return [BcBatch(*three) for three in zip(
            self.shown.pieces(count), self.spoken.pieces(count), told, strict=True)]


def measure(shards: ShardSet, scale: str = SCALES[0]) -> Statistics:
    """Mean and deviation of joints and actions, with a floor for channels that hardly move.

    Args:
        shards: The data.
        scale: Of actions, one of `SCALES`.
    """
    assert shards.spec is not None
    # A hundred thousand samples tell as much as all.
    step = max(1, len(shards.samples) // 100_000)
    actions = shards.samples.actions[::step].reshape(-1, len(shards.spec.channels))
    joints = shards.joints[::max(1, len(shards.joints) // 100_000)]

    def enough(deviation: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
        floor = [_SMALLEST_STD['base' if n in BASE_CHANNELS else 'motion' if n in MOTION else
                               'gripper' if 'gripper' in n else 'joint'] for n in names]
        return np.maximum(deviation, floor).astype(np.float32)

    middle, half = actions.mean(0), actions.std(0)
    if scale != SCALES[0]:
        low, high = np.percentile(actions, [1, 99], axis=0)
        middle, half = (low + high) / 2, (high - low) / 2
    return Statistics(
        joints.mean(0).astype(np.float32), enough(joints.std(0), shards.spec.joint_names),
        middle.astype(np.float32), enough(half, shards.spec.channels), scale)


def prepare(shards: ShardSet, rows: NDArray[np.int64], texts: TaskTexts, statistics: Statistics,
            config: BcConfig, space: Space, seed: tuple[int, ...], augment: bool,
            device: torch.device = CPU) -> BcBatch:
    """Samples to a batch; chance comes from `seed` alone.

    Args:
        shards: The data.
        rows: int64 [B], sample numbers.
        texts: Where instructions are drawn from.
        statistics: Normalisation.
        config: Strengths.
        space: What the model is made for: how many frames and rows of actions.
        seed: Source of chance.
        augment: Vary images, time and words, as in training.
        device: Where the batch is to be; images and words are varied there.
    """
    rng = np.random.default_rng(seed)
    batch = make_batch(shards.samples, rows)
    samples, task = shards.samples, shards.samples.task[rows]
    shown = shards.gather_histories(batch.frames, space.frames)
    images = normalise_images(torch.from_numpy(shown).to(device).flatten(0, 1))  # [F*T, 3, H, W]
    elapsed = torch.from_numpy(samples.elapsed_s[rows])
    travelled = torch.from_numpy(samples.travelled[rows])
    target = torch.from_numpy(samples.target[rows].copy())
    joints = torch.from_numpy(shards.joints[samples.frame[rows]])
    said = texts.draw(task, rng)
    words = texts.features(said).to(device)
    spoken, spoken_task = texts.draw_any(
        config.texts_per_batch, config.out_of_scope_per_batch, rng)
    spoken = spoken.to(device)
    known = torch.ones(len(rows))
    if augment:
        options = config.augment
        generator = torch.Generator(device).manual_seed(int(rng.integers(2 ** 62)))
        images, moved = augment_images(images, options, generator, space.frames)
        target[:, 1:3] += moved.cpu()[torch.from_numpy(batch.frame_of_row)]
        elapsed = elapsed * (1 + options.elapsed_jitter * torch.from_numpy(
            rng.uniform(-1, 1, len(rows)).astype(np.float32)))
        travelled = travelled + options.travelled_jitter * torch.from_numpy(
            rng.standard_normal((len(rows), 3)).astype(np.float32))
        withheld = (rng.random(len(rows)) < options.withhold_time) & _FREE_OF_TIME[task]
        known = torch.from_numpy((~withheld).astype(np.float32))
        words, spoken = (noisy_words(t, options.word_noise, generator) for t in (words, spoken))
    weights = np.array([config.families[family_of(k)] * config.tasks.get(k, 1.0)
                        for k in TASK_KEYS], np.float32)
    assert shards.spec is not None
    return BcBatch(Piece.whole(
        Inputs({'head': as_frames(images, space.frames)}, torch.from_numpy(batch.frame_of_row),
               normalise_joints(joints, statistics), normalise_time(elapsed, travelled, known),
               words, texts.spelled(said)),
        Targets(normalise_actions(torch.from_numpy(samples.actions[rows, :space.horizon]),
                                  statistics),
                torch.tensor([config.base_weight if c in BASE_CHANNELS else 1.0
                              for c in shards.spec.channels]),
                torch.from_numpy(samples.progress[rows]).clamp(0, 1), target,
                INSTRUCTION_LABELS[task]),
        torch.from_numpy(weights[task])), Piece.whole(
        Inputs(words=spoken), Targets(labels=INSTRUCTION_LABELS[spoken_task]),
        torch.ones(len(spoken_task)))).to(device)


def losses(model: System, streams: Streams, shown: Piece, config: BcConfig
           ) -> dict[str, Tensor]:
    """Mean loss of each head; of a piece, what it adds to the mean."""
    rows = model.loss(streams, shown.targets)
    if 'progress' in rows and shown.targets.progress is not None:
        rows['progress'] = rows['progress'] * torch.where(
            shown.targets.progress >= _DONE, config.done_weight, 1.0)
    return {name: shown.mean(values) for name, values in rows.items()}


def all_losses(model: System, batch: BcBatch, config: BcConfig, bfloat16: bool
               ) -> dict[str, Tensor]:
    """As `losses`, with what instructions without an image and image-text pairs teach."""
    device, intent = batch.shown.weight.device.type, model.head('instruction')
    with torch.autocast(device, torch.bfloat16,
                        enabled=bfloat16 and computes_bfloat16(device)):
        streams = model(batch.shown.inputs)
        streams.make(name for name, _ in model.taught())
        said = None if intent is None else model(batch.spoken.inputs)[intent[0]]
        told = None if batch.captions is None else model(batch.captions.inputs)
        if told is not None:
            told.make(heads_of(model))
    parts = losses(model, streams, batch.shown, config)
    if intent is not None:
        read = intent[1].loss(said, batch.spoken.targets)
        parts['instruction'] = parts['instruction'] + batch.spoken.mean(read)
    if told is not None and batch.captions is not None:
        for name in heads_of(model):
            head = model.part(name, Head)
            value = batch.captions.mean(head.loss(told[name], batch.captions.targets))
            parts[head.learns] = parts.get(head.learns, 0.0) + value
    return parts


def train_step(model: System, optimizer: torch.optim.Optimizer, pieces: Sequence[BcBatch],
               config: BcConfig, bfloat16: bool, team: Team) -> dict[str, float]:
    """One step of gradient descent, on this process's pieces of the batch.

    Returns:
        The loss of each head on the whole batch before the step, and the gradient norm.
    """
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for piece in pieces:
        parts = all_losses(model, piece, config, bfloat16)
        total = torch.stack([config.losses[name] * value for name, value in parts.items()]).sum()
        (total * team.size).backward()  # the team takes the mean
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value.detach()
    values = torch.stack(list(sums.values())) * team.size
    team.average(model.parameters(), values)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return {**dict(zip(sums, values.tolist())), 'norm': float(norm)}


@torch.no_grad()
def validate(model: System, shards: ShardSet, texts: TaskTexts, statistics: Statistics,
             config: BcConfig, bases: int,
             device: torch.device = CPU) -> dict[str, float]:
    """Losses and errors in plain units on a fixed part of the validation data.

    Returns:
        Mean losses; `base_error` [m/s, rad/s] and `joint_error` [rad] of the first half second;
        by family `error/<family>` (normalised); `said`: share of instructions read correctly
        in full; `target_px`: error of the target's place where visible [px of the width];
        `visible`: share of right answers; `done_hit` and `done_rejected`: share of right answers
        of 'progress >= done_threshold' (of `TaskConfig`) where the task is done and where not.
    """
    assert shards.spec is not None
    model.eval()
    scale = torch.tensor([side / 2 for side in shards.spec.image_size], device=device)
    threshold = TaskConfig().done_threshold
    count = min(config.validation_samples, len(shards.samples))
    rows = np.sort(np.random.default_rng(0).choice(len(shards.samples), count, replace=False))
    sums: dict[str, list[Tensor]] = {}

    def note(name: str, values: Tensor) -> None:
        sums.setdefault(name, []).append(values.float().reshape(-1).cpu())

    for block in iterate(count, 256):
        batch = prepare(shards, rows[block], texts, statistics, config, model.space,
                        (1, int(block[0])), False, device)
        streams, taught = model(batch.shown.inputs), batch.shown.targets
        assert taught.actions is not None and taught.target is not None
        assert taught.labels is not None and taught.progress is not None
        for name, value in losses(model, streams, batch.shown, config).items():
            note(name, value)
        predicted = model.predict(streams, 'action')
        error = (restore_actions(predicted, statistics)
                 - restore_actions(taught.actions, statistics)).abs()[:, :5]
        note('base_error', error[..., :bases])
        note('joint_error', error[..., bases:])
        normalised = (predicted - taught.actions).abs().mean((1, 2))
        families = _FAMILY_OF_TASK[shards.samples.task[rows[block]]]
        for i, family in enumerate(FAMILIES):
            note(f'error/{family}', normalised.cpu()[torch.from_numpy(families == i)])
        if (said := model.predict(streams, 'instruction')) is not None:
            note('said', ((said == taught.labels) | (taught.labels < 0)).all(1))
        if (place := model.predict(streams, 'target')) is not None:
            has = ~taught.target[:, 0].isnan()
            seen = has & (taught.target[:, 0] > 0.5)
            note('visible', (place.visible > 0.5)[has] == seen[has])
            note('target_px', ((place.position - taught.target[:, 1:3])[seen]
                               * scale).norm(dim=1))
        if (progress := model.predict(streams, 'progress')) is not None:
            done = taught.progress >= _DONE
            note('done_hit', (progress >= threshold)[done])
            note('done_rejected', (progress < threshold)[~done])
    model.train()
    return {name: float(torch.cat(values).mean()) for name, values in sums.items()
            if sum(len(v) for v in values)}
