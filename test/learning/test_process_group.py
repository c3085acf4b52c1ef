"""Training under torchrun: real processes learn what one learns, and keep to themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.learning import behaviour_cloning, train

ROOT = Path(__file__).parents[2]
_WORKER = """
import json, os, sys
from pathlib import Path
import torch
from vla_humanoid_control.learning.process_group import joined, leads

def listening():
    own = {os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')
           if os.path.lexists(f'/proc/self/fd/{n}')}
    for name in ('tcp', 'tcp6'):
        for line in Path(f'/proc/self/net/{name}').read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == '0A' and f'socket:[{fields[9]}]' in own:
                yield fields[1].partition(':')[0]

with joined(torch.device('cpu')) as team:
    followed = [team.follow(turn if team.rank == 0 else -1.0) for turn in range(3)]
    parameters = [torch.zeros(2, 3), torch.zeros(4)]
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, 10.0 * i + team.rank)
    values = torch.tensor([float(team.rank), 5.0])
    team.average(parameters, values)
    Path(sys.argv[1], f'{team.rank}.json').write_text(json.dumps({
        'followed': followed, 'leads': leads(), 'size': team.size, 'values': values.tolist(),
        'gradients': [p.grad.unique().tolist() for p in parameters],
        'listening': sorted(set(listening()))}))
"""


def torchrun(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node',
         str(processes), *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}, cwd=ROOT)


def settings_of(run: dict[str, Any], model: Path, data: Path, output: Path, config: Path
                ) -> dict[str, Any]:
    """A run file: `small_model` without dropout, whose chance is each process's own."""
    parts = yaml.safe_load(model.read_text(encoding='utf-8'))
    for part in ('language', 'scope'):
        parts['parts'][part]['dropout'] = 0.0
    short = yaml.safe_load(config.read_text(encoding='utf-8'))
    return {'model': parts, 'training': {
        **short, 'data': [str(data)], 'output': str(output), 'threads': 1, 'float32': True,
        'steps': 6, 'validate_every': 1, 'learning_rate': 0.001, **run}}


def written(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings), encoding='utf-8')
    return path


def validated(output: Path) -> np.ndarray:
    """Losses of the validation after each step, [steps, losses]."""
    lines = [json.loads(x) for x in (output / 'log.jsonl').read_text().splitlines()]
    return np.array([[line[f'val/{n}'] for n in ('action', 'progress', 'target', 'instruction')]
                     for line in lines if 'val/action' in line])


def test_processes_follow_average_and_listen_on_loopback_alone(tmp_path: Path) -> None:
    (tmp_path / 'worker.py').write_text(_WORKER, encoding='utf-8')
    ended = torchrun(tmp_path / 'worker.py', tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]
    assert [t['leads'] for t in told] == [True, False]
    for one in told:
        assert one['followed'] == [0.0, 1.0, 2.0] and one['size'] == 2
        assert one['gradients'] == [[0.5], [10.5]] and one['values'] == [0.5, 5.0]
        assert one['listening'] == ['0100007F']  # 127.0.0.1


@pytest.fixture(scope='module')
def alone(demo_data: Path, small_model: Path, short_training: Path,
          tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    folder = tmp_path_factory.mktemp('alone')
    assert vla(['train', str(written(folder / 'run.yaml', settings_of(
        {}, small_model, demo_data, folder / 'run', short_training)))]) == 0
    return folder / 'run'


@pytest.mark.timeout(300)  # seconds to import, in each process, on however slow a machine
def test_two_processes_learn_what_one_does(alone: Path, demo_data: Path, small_model: Path,
                                           short_training: Path, tmp_path: Path) -> None:
    run = written(tmp_path / 'run.yaml', settings_of(
        {}, small_model, demo_data, tmp_path / 'run', short_training))
    ended = torchrun('-m', 'vla_humanoid_control.cli.main', 'train', run)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [str(tmp_path / 'run' / 'checkpoint')]
    assert ended.stderr.count('encoding phrasings') == 1
    assert ended.stderr.count('validation at step') == 6
    together, one = validated(tmp_path / 'run'), validated(alone)
    assert together.shape == one.shape == (6, 4)
    np.testing.assert_allclose(together, one, atol=1e-5, rtol=0)
    assert (one[0] - one[-1]).min() > 1e-3  # so that there is something to agree on


@pytest.mark.timeout(300)
def test_two_processes_go_on_where_one_was(
        alone: Path, demo_data: Path, small_model: Path, short_training: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    run = written(tmp_path / 'run.yaml', settings_of(
        {'save_every_s': 0.0}, small_model, demo_data, tmp_path / 'run', short_training))
    step, calls = behaviour_cloning.train_step, iter(range(7))

    def interrupted(*arguments: Any) -> dict[str, float]:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return step(*arguments)
    monkeypatch.setattr(train, 'train_step', interrupted)
    assert vla(['train', str(run)]) == 130
    assert len(validated(tmp_path / 'run')) == 4
    ended = torchrun('-m', 'vla_humanoid_control.cli.main', 'train', run)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count('validation at step') == 2
    np.testing.assert_allclose(validated(tmp_path / 'run'), validated(alone), atol=1e-5, rtol=0)


def test_small_batches_one_after_the_other_are_one_large_one(
        alone: Path, demo_data: Path, small_model: Path, short_training: Path, tmp_path: Path
        ) -> None:
    """With more pieces than the last batch of an epoch has rows, and than there are texts."""
    run = written(tmp_path / 'run.yaml', settings_of(
        {'accumulate': 7}, small_model, demo_data, tmp_path / 'run', short_training))
    assert vla(['train', str(run)]) == 0
    np.testing.assert_allclose(validated(tmp_path / 'run'), validated(alone), atol=1e-5, rtol=0)
    states = [torch.load(folder / 'training_state.pt', weights_only=True)
              for folder in (alone, tmp_path / 'run')]
    assert states[0]['step'] == states[1]['step'] == 6
    rates = [s['optimizer']['param_groups'][0]['lr'] for s in states]
    assert rates[0] == rates[1]
    first, second = (load_file(folder / 'checkpoint' / 'model.safetensors')
                     for folder in (alone, tmp_path / 'run'))
    assert first.keys() == second.keys()


def test_what_is_wrong_is_said_under_torchrun_too(tmp_path: Path) -> None:
    ended = torchrun('-m', 'vla_humanoid_control.cli.main', 'train', '--stage', 'confidence',
                     '--checkpoint', tmp_path, '--data', tmp_path, '--output', tmp_path / 'run')
    assert ended.returncode != 0 and not (tmp_path / 'run').exists()
    assert '--stage confidence is trained by one process' in ended.stderr
