"""The loop of behaviour cloning: schedule, log, validate, save, and take up again.

`vla train` is the command.
"""

from __future__ import annotations

import io
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# Threads that spin while they wait waste the cores as soon as anything else runs; read at import.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.learning.behaviour_cloning import (
    LOSSES,
    BcConfig,
    measure,
    train_step,
    validate,
)
from vla_humanoid_control.learning.captions import Captions, heads_of
from vla_humanoid_control.learning.crops import learn_crops
from vla_humanoid_control.learning.hand_motions import in_terms_of
from vla_humanoid_control.learning.learner import (
    Learner,
    learns_beside,
    model_spec,
    own_parameters,
)
from vla_humanoid_control.learning.parallel import Team, lead
from vla_humanoid_control.learning.pieces import Piece
from vla_humanoid_control.learning.process_group import joined, own_device
from vla_humanoid_control.learning.record import TrainingRecord
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.checkpoint import (
    Checkpoint,
    build_model,
    for_robot,
    load_checkpoint,
    save_checkpoint,
)
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.deployment import ModelDeployment, device_named
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.weights.load import load_weights
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.memory import keep_freed_memory
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS
from vla_humanoid_control.types import BASE_CHANNELS


@dataclass(frozen=True)
class BcOptions:
    """What the command line says about behaviour cloning.

    Attributes:
        data: Directories with shards.
        output: Folder of the run; the checkpoint is `output/checkpoint`.
        model: Name or path of a model configuration, or the whole as plain data.
        init_from: Checkpoint to go on from, with its normalisation; of another robot, the weights
            alone that do not depend on it.
        steps: Length; by default the epochs of the configuration.
        time_budget_min: End after this time [min], with the rate cooled down in time.
        seed: Source of all chance.
        processes: Each with one core and its share of every batch; `torchrun` has its own.
        bfloat16: Compute in bfloat16 where it does no harm, and the device can.
        published: Train the model at its published size, not at that for two cores.
        deployment: How the checkpoint is to run on a robot.
        weights: Folder of a checkpoint of another house to start from; see `load_weights`.
        device: On which it computes, see `models.deployment.device_named`; one process computes on
            a GPU, or under `torchrun` one on each.
        beside: Directories with shards of another robot, of which every other step is; all weights
            but those whose shape depends on the robot learn from both.
        crops: Folder with pictures of objects, on which the contrastive head is trained first.
    """

    data: tuple[Path, ...]
    output: Path
    model: str | Mapping[str, Any]
    init_from: Path | None
    steps: int | None
    time_budget_min: float | None
    seed: int
    processes: int
    bfloat16: bool
    published: bool = False
    deployment: ModelDeployment = field(default_factory=ModelDeployment)
    weights: Path | None = None
    device: str = 'auto'
    beside: tuple[Path, ...] = ()
    crops: Path | None = None


class WeightAverage:
    """Exponential moving average of the weights (as in Polyak averaging)."""

    def __init__(self, model: System, decay: float) -> None:
        self.decay = decay
        self.values = {n: v.detach().clone() for n, v in model.state_dict().items()}

    def update(self, model: System, step: int) -> None:
        """Move towards the present weights, faster in the beginning."""
        decay = min(self.decay, (1 + step) / (10 + step))
        present = model.state_dict()
        smooth = [n for n, v in self.values.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in smooth], [present[n] for n in smooth],
                             1 - decay)
        for name in self.values.keys() - set(smooth):  # counts, as batch normalisation has them
            self.values[name].copy_(present[name])


def rate_factor(share: float, step: int, config: BcConfig) -> float:
    """Warm-up, then a cosine from 1 to `final_rate` over the done share of the run."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return warm * (config.final_rate + (1 - config.final_rate) * cosine)


class BcRun:
    """The state of one run of behaviour cloning, which can be saved and taken up again."""

    def __init__(self, options: BcOptions, config: BcConfig) -> None:
        """Open the data, build or load the model, and take up an interrupted run."""
        self.options, self.config = options, config
        self.device = own_device(device_named(options.device))
        found = find_shards(options.data)
        start = None if options.init_from is None else load_checkpoint(options.init_from)
        self.model_config = load_model_config(options.model, demo=not options.published) \
            if start is None else start.model_config
        self.train = in_terms_of(self.model_config.hand, ShardSet(found['train']))
        self.validation = in_terms_of(self.model_config.hand, ShardSet(found['val'])) \
            if found['val'] else None
        assert self.train.spec is not None
        if self.validation is not None and self.validation.spec != self.train.spec:
            raise UserError('Training and validation shards differ in channels, joints, image '
                            'size or rate. Collect them again for one robot.')
        torch.manual_seed(options.seed)
        if start is None:
            self.spec = model_spec(self.train.spec, self.model_config)
            self.statistics = measure(self.train, self.model_config.scale)
            self.model = build_model(self.model_config, self.spec)
            if options.weights is not None and (left := load_weights(self.model, options.weights)):
                print(f'{options.weights} is of another robot: {", ".join(left)} begin anew.',
                      file=sys.stderr)
        else:
            self.spec = model_spec(self.train.spec, start.model_config)
            if (self.spec.image_size, self.spec.dt_s) != (start.spec.image_size, start.spec.dt_s):
                raise UserError(f'Checkpoint {options.init_from} was trained for another image '
                                'size or rate than the data has.')
            self.model, self.statistics = start.model, start.statistics
            if start.spec != self.spec:
                self.model, left = for_robot(start, self.spec)
                self.statistics = measure(self.train, self.model_config.scale)
                print(f'{options.init_from} is of another robot: {", ".join(left)} begin anew.',
                      file=sys.stderr)
        self.bases = sum(c in BASE_CHANNELS for c in self.spec.channels)
        self.model = self.model.channels_last().to(self.device).train()
        other = learns_beside(self.model, self.model_config, self.spec, options.beside, config,
                              options.seed) if options.beside else None
        trained = [p for _, p in self.model.cloned()]
        if other is not None:
            trained += [p for _, p in own_parameters(self.model, other.model)]
        matrices = [p for p in trained if p.ndim > 1]
        vectors = [p for p in trained if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{'params': matrices, 'weight_decay': config.weight_decay},
             {'params': vectors, 'weight_decay': 0.0}],
            lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
        self.average = WeightAverage(self.model, config.average)
        self.step, self.spent_s = 0, 0.0
        self._state_path = options.output / 'training_state.pt'
        self.is_new = not self._state_path.exists()
        if not self.is_new:
            self._restore(other)
        own = Learner(self.train, self.statistics, self.model, config, options.seed)
        self.learners = (own,) if other is None else (own, other)

    def learn_crops(self, folder: Path) -> None:
        """Begin with what objects in view are called."""
        learn_crops(self.model, folder, self.config.pretraining, self.options.seed)
        self.average = WeightAverage(self.model.train(), self.config.average)

    def turn(self, step: int) -> tuple[Learner, NDArray[np.int64]]:
        """Who learns in a step, and from which samples."""
        count = len(self.learners)
        learner = self.learners[step % count]
        return learner, learner.rows(step // count)

    def total_steps(self) -> int:
        """Length of the run, if no time budget ends it before."""
        if self.options.steps is not None:
            return self.options.steps
        samples = max(len(one.shards.samples) for one in self.learners) * len(self.learners)
        return self.config.epochs * math.ceil(samples / self.config.batch_size)

    def averaged_model(self) -> System:
        """A copy with the averaged weights."""
        model = build_model(self.model_config, self.spec)
        model.load_state_dict(self.average.values)
        return model.channels_last().to(self.device).eval()

    def save(self) -> None:
        """Write the checkpoint, and what is needed to take the run up again."""
        save_checkpoint(self.options.output / 'checkpoint', Checkpoint(
            self.averaged_model(), self.model_config, self.spec, self.statistics,
            self.options.deployment))
        buffer = io.BytesIO()
        torch.save({'model': self.model.state_dict(), 'average': self.average.values,
                    'optimizer': self.optimizer.state_dict(), 'step': self.step,
                    'beside': [one.model.state_dict() for one in self.learners[1:]],
                    'spent_s': self.spent_s, 'seed': self.options.seed,
                    'samples': len(self.train.samples)}, buffer)
        write_atomically(self._state_path, buffer.getvalue())

    def _restore(self, other: Learner | None) -> None:
        state = torch.load(self._state_path, map_location=self.device, weights_only=True)
        if state['seed'] != self.options.seed or state['samples'] != len(self.train.samples):
            raise UserError(f'{self._state_path} belongs to a run with another seed or other '
                            'data. Choose another --output, or delete that folder.')
        try:
            self.model.load_state_dict(state['model'])
            if other is not None:
                other.model.load_state_dict(state['beside'][0])
            self.optimizer.load_state_dict(state['optimizer'])
        except (RuntimeError, ValueError, LookupError) as error:
            raise UserError(f'{self._state_path} belongs to a model of another shape. Choose '
                            'another --output, or delete that folder.') from error
        self.average.values = state['average']
        self.step, self.spent_s = state['step'], state['spent_s']
        # The statistics are those of the run, also where the run began from a checkpoint.
        self.statistics = load_checkpoint(self.options.output / 'checkpoint').statistics


def run_bc(options: BcOptions, config: BcConfig) -> Path:
    """Behaviour cloning, from the start or from where it was interrupted.

    Returns:
        The checkpoint folder.
    """
    with joined(device_named(options.device)) as group:
        if options.crops is not None and group is not None:
            raise UserError('Crops are learnt by one process. Train with them without torchrun '
                            'first, and go on from its checkpoint.')
        run = _open(options, config)
        if group is not None and group.rank:
            group.follow(0.0)  # until the leader has encoded the phrasings
            _loop(run, _texts(config), group, None)
        else:
            _lead(run, group)
    return options.output / 'checkpoint'


def _lead(run: BcRun, group: Team | None) -> None:
    """Train as the leader of the processes of `torchrun`, or else of one process a core."""
    options, config = run.options, run.config
    torch.set_num_threads(options.processes)
    if options.crops is not None and run.is_new:
        run.learn_crops(options.crops)
        run.save()  # for the processes that begin below
    record = TrainingRecord(options.output)
    parameters = sum(p.numel() for p in run.model.parameters())
    print(f'{len(run.train.samples)} samples on {run.train.frame_count()} frames, '
          f'{parameters / 1e6:.2f} M parameters, {run.total_steps()} steps; '
          f'encoding phrasings ...', file=sys.stderr, flush=True)
    texts = _texts(config)
    torch.set_num_threads(1)
    # The others read what was encoded above; they do not encode it again.
    if group is not None:
        group.follow(0.0)
        _loop(run, texts, group, record)
        return
    crew = options.processes if run.device.type == 'cpu' else 1
    most = max(sum(p.numel() for p in one.model.parameters()) for one in run.learners)
    with lead(_help, (options, config), crew, most + len(LOSSES)) as team:
        _loop(run, texts, team, record)


def _open(options: BcOptions, config: BcConfig) -> BcRun:
    torch.set_num_threads(1)
    keep_freed_memory()
    return BcRun(options, config)


def _texts(config: BcConfig) -> TaskTexts:
    return TaskTexts(list(TASK_KEYS), 'train', config.phrasings_per_task)


def _help(team: Team, options: BcOptions, config: BcConfig) -> None:
    _loop(_open(options, config), _texts(config), team, None)


def _loop(run: BcRun, texts: TaskTexts, team: Team, record: TrainingRecord | None) -> None:
    """Step until the end; the leader, who keeps the record, also reports, validates and saves."""
    options, config, total = run.options, run.config, run.total_steps()
    budget_s = math.inf if options.time_budget_min is None else options.time_budget_min * 60
    captions = Captions(run.train) if config.captions_per_batch and heads_of(run.model) else None
    report = None if record is None else _Report(run, total, budget_s, record)
    while True:
        share = team.follow(max(run.step / total, run.spent_s / budget_s))
        if share >= 1.0:
            break
        for group in run.optimizer.param_groups:
            group['lr'] = config.learning_rate * rate_factor(share, run.step, config)
        learner, rows = run.turn(run.step)
        batch = learner.batch(rows, texts, run.step, run.device)
        if captions is not None and learner is run.learners[0]:
            batch = replace(batch, captions=Piece.whole(*captions.draw(
                run.model, config.captions_per_batch, run.statistics,
                np.random.default_rng((options.seed, 5, run.step, 0))),
                torch.ones(config.captions_per_batch)).to(run.device))
        pieces = batch.pieces(team.size * config.accumulate)
        own = pieces[team.rank * config.accumulate:][:config.accumulate]
        torch.manual_seed(options.seed * 1_000_003 + run.step * team.size + team.rank)
        values = train_step(learner.model, run.optimizer, own, config, options.bfloat16, team)
        if not all(math.isfinite(v) for v in values.values()):
            raise UserError(f'Training diverged at step {run.step}: {values}. Lower the learning '
                            f'rate; {options.output} holds the last good state.')
        run.step += 1
        if report is not None:
            run.average.update(run.model, run.step)
            report.note(values, len(rows))
    if report is not None:
        report.finish()


class _Report:
    """Keeps the time, shows and logs progress, validates now and then, and saves."""

    def __init__(self, run: BcRun, total: int, budget_s: float, record: TrainingRecord) -> None:
        self._run, self._total, self._budget_s, self._record = run, total, budget_s, record
        self._texts = None if run.validation is None else TaskTexts(
            list(TASK_KEYS), 'val', min(60, run.config.phrasings_per_task))
        self._line = ProgressLine('bc')
        self._began = self._saved = time.monotonic()
        self._spent_before, self._first, self._seen = run.spent_s, run.step, 0
        self._smooth: dict[str, float] = {}

    def note(self, values: Mapping[str, float], samples: int) -> None:
        """One step is done, with these losses."""
        run = self._run
        self._seen += samples
        now = time.monotonic()
        run.spent_s = self._spent_before + now - self._began
        for name, value in values.items():
            self._smooth[name] = 0.98 * self._smooth.get(name, value) + 0.02 * value
        share = max(run.step / self._total, run.spent_s / self._budget_s)
        pace = (now - self._began) / max(1, run.step - self._first)
        left = min((self._total - run.step) * pace, self._budget_s - run.spent_s)
        note = ' '.join(f'{n} {v:.4f}' for n, v in self._smooth.items())
        self._line.show(share, self._seen / (now - self._began), 'samples', left,
                        f'step {run.step} {note}')
        if run.step % 50 == 0:
            self._record.write(run.step, {
                'spent_s': run.spent_s, 'rate': run.optimizer.param_groups[0]['lr'],
                **self._smooth})
        if run.step % run.config.validate_every == 0:
            self._validate()
        if time.monotonic() - self._saved > run.config.save_every_s:
            self._save()

    def finish(self) -> None:
        """The run is over."""
        if self._run.step % self._run.config.validate_every:
            self._validate()
        self._save()
        self._record.close()
        self._line.close()

    def _validate(self) -> None:
        run = self._run
        if self._texts is None or run.validation is None:
            return
        result = validate(run.averaged_model(), run.validation, self._texts, run.statistics,
                          run.config, run.bases, run.device)
        self._record.write(run.step, {'spent_s': run.spent_s,
                                      **{f'val/{n}': v for n, v in result.items()}})
        print(f'\nvalidation at step {run.step}: '
              + ' '.join(f'{n} {v:.4f}' for n, v in result.items()), file=sys.stderr,
              flush=True)

    def _save(self) -> None:
        self._run.spent_s = self._spent_before + time.monotonic() - self._began
        self._run.save()
        self._record.draw()
        self._saved = time.monotonic()
