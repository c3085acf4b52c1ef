"""Training of the network that finds objects (`perception/objects.py`).

    python -m vla_humanoid_control.learning.objects --data data/objects/train --output runs/objects

leaves `runs/objects/network.safetensors`; the one that is used is `resource/objects/`. Once
interrupted, the same command goes on where it was saved, and comes to the same result: what a step
sees depends on the seed and the number of the step alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vla_humanoid_control.data.object_views import COLUMNS, ObjectViews, read_object_views
from vla_humanoid_control.learning.object_targets import (
    Part,
    losses,
    take_part,
    targets_of,
    to_pictures,
)
from vla_humanoid_control.perception.object_network import ObjectNetwork
from vla_humanoid_control.simulation.scene import FLOOR_SIZE, TABLE_HEIGHT_M, TABLE_SIZE
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import make_folder, write_atomically
from vla_humanoid_control.support.progress import JsonLog, ProgressLine

_SAVE_S = 60.0
_AVERAGE = 0.998
"""The weights that are kept are an average over about the last 500 steps."""


@dataclass(frozen=True)
class Options:
    """A run.

    Attributes:
        data: Folders with pictures, of one robot each.
        output: Folder of the run.
        steps: Batches to learn from.
        batch_size: Parts of pictures in each.
        learning_rate: The highest one; it rises for a twentieth of the steps, then falls to 0.
        seed: Decides everything by chance.
        init_from: File with weights to begin with, that of another run.
    """

    data: tuple[Path, ...]
    output: Path
    steps: int = 5600
    batch_size: int = 16
    learning_rate: float = 3e-3
    seed: int = 0
    init_from: Path | None = None


class Trainer:
    """One run, from its beginning or from where it was saved.

    Raises:
        UserError: No data, or the output cannot be written, or holds another run.
    """

    def __init__(self, options: Options) -> None:
        make_folder(options.output, '--output')
        self.options, self.step = options, 0
        torch.set_num_threads(1)
        torch.manual_seed(options.seed)
        self._views = [_Pictures(read_object_views(folder)) for folder in options.data]
        self._ends = np.cumsum([len(views) for views in self._views])
        self.network = ObjectNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if options.init_from is not None:
            self.network.load_state_dict(_weights(options.init_from))
        self._optimizer = torch.optim.AdamW(self.network.parameters(), options.learning_rate,
                                            weight_decay=1e-3)
        self._average = {n: v.clone() for n, v in self.network.state_dict().items()}
        self._log = JsonLog(options.output / 'log.jsonl')
        self._take_up()

    def run(self) -> Path:
        """Train to the end; the file with the weights."""
        line = ProgressLine('learning')
        began, first, saved = time.monotonic(), self.step, time.monotonic()
        while self.step < self.options.steps:
            values = self._learn()
            done, now = self.step - first, time.monotonic()
            rate = done / (now - began)
            line.show(self.step / self.options.steps, rate * self.options.batch_size, 'parts',
                      (self.options.steps - self.step) / rate,
                      ' '.join(f'{n} {v:.3f}' for n, v in values.items()))
            if self.step % 20 == 0:
                self._log.write({'step': self.step, **values})
            if now - saved > _SAVE_S:
                self._save()
                saved = now
        self._save()
        line.close()
        return self._write_weights()

    def _learn(self) -> dict[str, float]:
        """One step."""
        rate = self._rate()
        for group in self._optimizer.param_groups:
            group['lr'] = rate
        rng = np.random.default_rng([self.options.seed, 43, self.step])
        parts = [self._part(int(index), rng) for index in
                 rng.integers(self._ends[-1], size=self.options.batch_size)]
        self.network.train()
        answers = self.network(to_pictures(np.stack([p.image for p in parts])))
        wrong = losses(answers, targets_of(parts))
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(wrong.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        share = min(_AVERAGE, self.step / (self.step + 10))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self._average[name].lerp_(value, 1 - share)
            else:
                self._average[name].copy_(value)
        return {name: float(value.detach()) for name, value in wrong.items()}

    def _rate(self) -> float:
        share = self.step / self.options.steps
        return self.options.learning_rate * min(share * 20 + 0.01,
                                                0.5 + 0.5 * math.cos(math.pi * share))

    def _part(self, index: int, rng: np.random.Generator) -> Part:
        folder = int(np.searchsorted(self._ends, index, side='right'))
        views = self._views[folder]
        return views.part(index - int(self._ends[folder]) + len(views), rng)

    def _identity(self) -> dict[str, Any]:
        options = self.options
        begun = {} if options.init_from is None else {
            'init_from': hashlib.sha256(options.init_from.read_bytes()).hexdigest()}
        return begun | {'steps': options.steps, 'batch_size': options.batch_size,
                        'learning_rate': options.learning_rate, 'seed': options.seed,
                        'pictures': int(self._ends[-1])}

    def _save(self) -> None:
        path = self.options.output / 'state.pt'
        temporary = path.with_suffix('.new')
        torch.save({'step': self.step, 'network': self.network.state_dict(),
                    'average': self._average, 'optimizer': self._optimizer.state_dict(),
                    'run': self._identity()}, temporary)
        temporary.replace(path)

    def _take_up(self) -> None:
        path = self.options.output / 'state.pt'
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state['run'] != self._identity():
            raise UserError(f'{self.options.output} holds another run, of {state["run"]}. Give '
                            'its settings again, or another --output.')
        self.step = state['step']
        self.network.load_state_dict(state['network'])
        self._average = state['average']
        self._optimizer.load_state_dict(state['optimizer'])

    def _write_weights(self) -> Path:
        path = self.options.output / 'network.safetensors'
        write_weights(path, self._average, self._identity(),
                      list(dict.fromkeys(views.robot for views in self._views)))
        return path


class _Pictures:
    """Pictures of one robot, to take parts of."""

    def __init__(self, views: ObjectViews) -> None:
        self.robot, self._views = views.robot, views
        self._starts = np.searchsorted(views.objects[:, COLUMNS.index('frame')],
                                       np.arange(len(views) + 1))

    def __len__(self) -> int:
        return len(self._views)

    def part(self, index: int, rng: np.random.Generator) -> Part:
        """A part of one of them, as chance has it."""
        rows = self._views.objects[self._starts[index]:self._starts[index + 1]]
        return take_part(self._views.image(index), rows, rng)


def _weights(path: Path) -> dict[str, Tensor]:
    """Those of another run. Raises UserError where there are none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f'--init-from {path} holds no weights: {error}') from error


def write_weights(path: Path, weights: dict[str, Tensor], run: dict[str, Any],
                  robots: Sequence[str]) -> None:
    """Write what `perception.objects.load_finder` reads.

    That is weights, how large objects are, and the robots whose views they were trained on.
    """
    sizes = {where: {s: (2 * size.radius, size.height, base + size.height / 2)
                     for s, size in known.items()}
             for where, known, base in (('floor', FLOOR_SIZE, 0.0),
                                        ('table', TABLE_SIZE, TABLE_HEIGHT_M))}
    # One entry: safetensors writes several in no fixed order, and equal runs would differ.
    content = save({n: v.contiguous() for n, v in weights.items()},
                   {'about': json.dumps({'sizes_m': sizes, 'robots': robots, 'run': run})})
    write_atomically(path, content)


def main() -> None:
    """Read the arguments, and train."""
    parser = argparse.ArgumentParser(description='Train the network that finds objects')
    parser.add_argument('--data', type=Path, nargs='+', required=True, metavar='DIR',
                        help='pictures, of one robot a folder')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR')
    parser.add_argument('--steps', type=int, default=Options.steps)
    parser.add_argument('--batch-size', type=int, default=Options.batch_size)
    parser.add_argument('--learning-rate', type=float, default=Options.learning_rate)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--init-from', type=Path, metavar='FILE',
                        help='begin with the weights of another run')
    arguments = parser.parse_args()
    print(Trainer(Options(**vars(arguments) | {'data': tuple(arguments.data)})).run())


if __name__ == '__main__':
    main()
