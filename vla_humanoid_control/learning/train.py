"""The loop of behaviour cloning: schedule, log, validate, save, and take up again.

`vla train` is the command; `python -m vla_humanoid_control.learning.train` is the same.
"""

from __future__ import annotations

import ctypes
import dataclasses
import io
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Threads that spin while they wait waste the cores as soon as anything else runs; read at import.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import numpy as np
import torch
from numpy.typing import NDArray

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.language.phrasings import TASK_KEYS
from vla_humanoid_control.learning.behaviour_cloning import (
    BcConfig,
    measure,
    prepare,
    train_step,
    validate,
)
from vla_humanoid_control.learning.checkpoint import (
    Checkpoint,
    build_model,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from vla_humanoid_control.learning.dataset import DataSpec, ShardSet, epoch_batches, find_shards
from vla_humanoid_control.learning.progress import JsonLog, ProgressLine
from vla_humanoid_control.learning.texts import TaskTexts
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.vla import VlaModel
from vla_humanoid_control.policy.protocol import PolicySpec
from vla_humanoid_control.types import BASE_CHANNELS


@dataclass(frozen=True)
class BcOptions:
    """What the command line says about behaviour cloning.

    Attributes:
        data: Directories with shards.
        output: Folder of the run; the checkpoint is `output/checkpoint`.
        model: Name or path of a model configuration.
        init_from: Checkpoint to go on from, with its normalisation.
        steps: Length; by default the epochs of the configuration.
        time_budget_min: End after this time [min], with the rate cooled down in time.
        seed: Source of all chance.
        threads: For PyTorch.
        bfloat16: Compute in bfloat16 where it does no harm.
    """

    data: tuple[Path, ...]
    output: Path
    model: str
    init_from: Path | None
    steps: int | None
    time_budget_min: float | None
    seed: int
    threads: int
    bfloat16: bool


class WeightAverage:
    """Exponential moving average of the weights (as in Polyak averaging)."""

    def __init__(self, model: VlaModel, decay: float) -> None:
        self.decay = decay
        self.values = {n: v.detach().clone() for n, v in model.state_dict().items()}

    def update(self, model: VlaModel, step: int) -> None:
        """Move towards the present weights, faster in the beginning."""
        decay = min(self.decay, (1 + step) / (10 + step))
        present = model.state_dict()
        torch._foreach_lerp_(list(self.values.values()), [present[n] for n in self.values],
                             1 - decay)


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
        found = find_shards(options.data)
        self.train = ShardSet(found['train'])
        self.validation = ShardSet(found['val']) if found['val'] else None
        assert self.train.spec is not None
        if self.validation is not None and self.validation.spec != self.train.spec:
            raise UserError('Training and validation shards differ in channels, joints, image '
                            'size or rate. Collect them again for one robot.')
        self.spec = policy_spec(self.train.spec)
        self.bases = sum(c in BASE_CHANNELS for c in self.spec.channels)
        torch.manual_seed(options.seed)
        if options.init_from is None:
            self.model_config = load_model_config(options.model)
            self.statistics = measure(self.train)
            self.model = build_model(self.model_config, self.spec)
        else:
            start = load_checkpoint(options.init_from)
            if start.spec != self.spec:
                raise UserError(f'Checkpoint {options.init_from} was trained for other channels, '
                                'joints, image size or rate than the data has.')
            self.model_config, self.model = start.model_config, start.model
            self.statistics = dataclasses.replace(start.statistics, calibration={}, threshold={})
        self.model = self.model.channels_last().train()
        trained = [p for n, p in self.model.named_parameters()
                   if not n.startswith('confidence_head.')]
        matrices = [p for p in trained if p.ndim > 1]
        vectors = [p for p in trained if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{'params': matrices, 'weight_decay': config.weight_decay},
             {'params': vectors, 'weight_decay': 0.0}],
            lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
        self.average = WeightAverage(self.model, config.average)
        self.step, self.spent_s = 0, 0.0
        self._state_path = options.output / 'training_state.pt'
        if self._state_path.exists():
            self._restore()
        self._epoch, self._epoch_start = 0, 0  # of the next epoch, and of `_batches`
        self._batches: list[NDArray[np.int64]] = []

    def rows(self, step: int) -> NDArray[np.int64]:
        """Samples of a step: a function of seed and step alone. Steps must not go back."""
        while step >= self._epoch_start + len(self._batches):
            self._epoch_start += len(self._batches)
            self._batches = epoch_batches(
                self.train.samples.frame, self.config.batch_size, self.config.samples_per_frame,
                self.options.seed, self._epoch)
            self._epoch += 1
        return self._batches[step - self._epoch_start]

    def total_steps(self) -> int:
        """Length of the run, if no time budget ends it before."""
        if self.options.steps is not None:
            return self.options.steps
        return self.config.epochs * math.ceil(len(self.train.samples) / self.config.batch_size)

    def averaged_model(self) -> VlaModel:
        """A copy with the averaged weights."""
        model = build_model(self.model_config, self.spec)
        model.load_state_dict(self.average.values)
        return model.channels_last().eval()

    def save(self) -> None:
        """Write the checkpoint, and what is needed to take the run up again."""
        save_checkpoint(self.options.output / 'checkpoint', Checkpoint(
            self.averaged_model(), self.model_config, self.spec, self.statistics))
        buffer = io.BytesIO()
        torch.save({'model': self.model.state_dict(), 'average': self.average.values,
                    'optimizer': self.optimizer.state_dict(), 'step': self.step,
                    'spent_s': self.spent_s, 'seed': self.options.seed,
                    'samples': len(self.train.samples)}, buffer)
        write_atomically(self._state_path, buffer.getvalue())

    def _restore(self) -> None:
        state = torch.load(self._state_path, weights_only=True)
        if state['seed'] != self.options.seed or state['samples'] != len(self.train.samples):
            raise UserError(f'{self._state_path} belongs to a run with another seed or other '
                            'data. Choose another --output, or delete that folder.')
        try:
            self.model.load_state_dict(state['model'])
            self.optimizer.load_state_dict(state['optimizer'])
        except (RuntimeError, ValueError) as error:
            raise UserError(f'{self._state_path} belongs to a model of another shape. Choose '
                            'another --output, or delete that folder.') from error
        self.average.values = state['average']
        self.step, self.spent_s = state['step'], state['spent_s']
        # The statistics are those of the run, also where the run began from a checkpoint.
        self.statistics = load_checkpoint(self.options.output / 'checkpoint').statistics


def policy_spec(data: DataSpec) -> PolicySpec:
    """What a policy trained on such data needs and gives; the camera is `head`."""
    return PolicySpec(('head',), data.image_size, data.joint_names, data.channels, data.horizon,
                      data.dt_s)


def keep_freed_memory() -> None:
    """Let glibc keep what large tensors free; else a quarter of the time goes to page faults."""
    library = ctypes.CDLL(None)
    if hasattr(library, 'mallopt'):
        library.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        library.mallopt(-1, 2 ** 31 - 1)  # M_TRIM_THRESHOLD


def run_bc(options: BcOptions, config: BcConfig) -> Path:
    """Behaviour cloning, from the start or from where it was interrupted.

    Returns:
        The checkpoint folder.
    """
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    run = BcRun(options, config)
    log = JsonLog(options.output / 'log.jsonl')
    keys = list(TASK_KEYS)
    print(f'{len(run.train.samples)} samples on {run.train.frame_count()} frames, '
          f'{sum(p.numel() for p in run.model.parameters()) / 1e6:.2f} M parameters, '
          f'{run.total_steps()} steps; encoding phrasings ...', file=sys.stderr, flush=True)
    texts = TaskTexts(keys, 'train', config.phrasings_per_task)
    test_texts = None if run.validation is None else TaskTexts(
        keys, 'test', min(60, config.phrasings_per_task))
    _loop(run, texts, test_texts, log)
    return options.output / 'checkpoint'


def _loop(run: BcRun, texts: TaskTexts, test_texts: TaskTexts | None, log: JsonLog) -> None:
    options, config, total = run.options, run.config, run.total_steps()
    budget_s = math.inf if options.time_budget_min is None else options.time_budget_min * 60
    line = ProgressLine('bc')
    began, saved, spent_before, first = time.monotonic(), time.monotonic(), run.spent_s, run.step
    smooth: dict[str, float] = {}
    seen = 0
    while run.step < total and run.spent_s < budget_s:
        share = max(run.step / total, run.spent_s / budget_s)
        for group in run.optimizer.param_groups:
            group['lr'] = config.learning_rate * rate_factor(share, run.step, config)
        rows = run.rows(run.step)
        torch.manual_seed(options.seed * 1_000_003 + run.step)
        batch = prepare(run.train, rows, texts, run.statistics, config,
                        (options.seed, 2, run.step), True)
        values = train_step(run.model, run.optimizer, batch, config, run.bases, options.bfloat16)
        if not all(math.isfinite(v) for v in values.values()):
            raise UserError(f'Training diverged at step {run.step}: {values}. Lower the learning '
                            f'rate; {options.output} holds the last good state.')
        run.average.update(run.model, run.step)
        run.step += 1
        seen += len(rows)
        now = time.monotonic()
        run.spent_s = spent_before + now - began
        for name, value in values.items():
            smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
        share = max(run.step / total, run.spent_s / budget_s)
        pace = (now - began) / max(1, run.step - first)
        left = min((total - run.step) * pace, budget_s - run.spent_s)
        note = ' '.join(f'{n} {v:.4f}' for n, v in smooth.items())
        line.show(share, seen / (now - began), 'samples', left, f'step {run.step} {note}')
        if run.step % 50 == 0:
            log.write({'step': run.step, 'spent_s': run.spent_s,
                       'rate': run.optimizer.param_groups[0]['lr'], **smooth})
        ended = run.step >= total or run.spent_s >= budget_s
        if test_texts is not None and (ended or run.step % config.validate_every == 0):
            assert run.validation is not None
            result = validate(run.averaged_model(), run.validation, test_texts, run.statistics,
                              config, run.bases)
            log.write({'step': run.step, 'spent_s': run.spent_s,
                       **{f'val/{n}': v for n, v in result.items()}})
            print(f'\nvalidation at step {run.step}: '
                  + ' '.join(f'{n} {v:.4f}' for n, v in result.items()), file=sys.stderr,
                  flush=True)
        if ended or time.monotonic() - saved > config.save_every_s:
            run.spent_s = spent_before + time.monotonic() - began
            run.save()
            saved = time.monotonic()
    line.close()


if __name__ == '__main__':
    from vla_humanoid_control.cli.main import main
    sys.exit(main(['train', *sys.argv[1:]]))
