"""One checkpoint in several precisions, and compiled, in one run: `vla bench --models`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import Observation, Prompt
from vla_humanoid_control.models.deployment import ModelDeployment
from vla_humanoid_control.policy.native import CheckpointPolicy
from vla_humanoid_control.policy.registry import checkpoint_folder
from vla_humanoid_control.support.outputs import make_folder, write_atomically
from vla_humanoid_control.support.resources import config_path

DEPLOYMENTS = {
    'float32': ModelDeployment(), 'bfloat16': ModelDeployment('bfloat16'),
    'int8': ModelDeployment('int8'), 'float32, compiled': ModelDeployment(compile=True)}
THREADS = 2
_EPISODES, _ANSWERS, _WARM = 60, 60, 3
_LATENCY_S = 0.05


def compare_deployments(policy: str, out: Path, quick: bool) -> int:
    """Measure, print, and write `deployments.json`.

    Args:
        policy: A checkpoint of this package: its name or folder.
        out: Where the figures go.
        quick: A few answers and episodes, to see that it works.

    Raises:
        UserError: It is no checkpoint of this package.
    """
    source = checkpoint_folder(policy)
    make_folder(out, '--out')
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        copies = {name: _copy(source, Path(folder, str(i)), deployment)
                  for i, (name, deployment) in enumerate(DEPLOYMENTS.items())}
        rows = _answers({name: CheckpointPolicy.load(path) for name, path in copies.items()},
                        6 if quick else _ANSWERS)
        suite = _suite(Path(folder, 'suite.yaml'), 4 if quick else _EPISODES)
        for name, path in copies.items():
            rows[name]['successes'], rows[name]['episodes'] = _succeeds(path, suite)
    base = rows['float32']['ms']
    print(f'{policy} at {THREADS} threads, in turns:\n')
    print(f'{"":20} {"ms":>7} {"of float32":>11} {"action differs":>15} {"succeeds":>10}')
    for name, row in rows.items():
        print(f'{name:20} {row["ms"]:7.1f} {row["ms"] / base:11.0%} {row["differs"]:15.4f} '
              f'{row["successes"]:>5} of {row["episodes"]}')
    write_atomically(out / 'deployments.json', json.dumps(rows, indent=1).encode())
    return 0


def _copy(source: Path, folder: Path, deployment: ModelDeployment) -> Path:
    """The same checkpoint with another deployment."""
    shutil.copytree(source, folder)
    path = folder / 'config.json'
    config = json.loads(path.read_text(encoding='utf-8'))
    path.write_text(json.dumps({**config, 'deployment': deployment.to_dict()}), encoding='utf-8')
    return folder


def _answers(policies: dict[str, CheckpointPolicy], count: int) -> dict[str, dict[str, Any]]:
    """Median milliseconds, and the largest difference of an action from the first policy's."""
    rng = np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in policies}
    differs = dict.fromkeys(policies, 0.0)
    for policy in policies.values():
        policy.reset(Prompt('go to the red box'))
    for turn in range(count + _WARM):
        reference: NDArray[np.float32] | None = None
        shown = None
        for name, policy in policies.items():
            shown = shown or Observation(
                0, {f.role: rng.integers(0, 255, (len(f.times_s), f.size[1], f.size[0], 3),
                                         np.uint8) for f in policy.spec.images},
                {s.name: np.zeros((1, len(s.channels))) for s in policy.spec.states})
            began = time.perf_counter()
            actions = policy.infer(shown).actions
            if turn >= _WARM:
                spent[name].append(1000 * (time.perf_counter() - began))
            reference = actions if reference is None else reference
            differs[name] = max(differs[name], float(np.abs(actions - reference).max()))
    return {name: {'ms': float(np.median(v)), 'differs': differs[name]}
            for name, v in spent.items()}


def _suite(path: Path, count: int) -> Path:
    """Some of the unseen episodes, spread over all of them."""
    episodes = yaml.safe_load(config_path('suites', 'unseen.yaml').read_text(encoding='utf-8'))
    path.write_text(yaml.safe_dump(episodes[::len(episodes) // count][:count]), encoding='utf-8')
    return path


def _succeeds(checkpoint: Path, suite: Path) -> tuple[int, int]:
    report = checkpoint / 'report.json'
    subprocess.run([sys.executable, '-m', 'vla_humanoid_control.cli.main', 'eval', '--suite',
                    str(suite), '--policy', str(checkpoint), '--allow-uncalibrated', '--ungated',
                    '--latency', str(_LATENCY_S), '--json', str(report)],
                   stdout=subprocess.DEVNULL, check=True)
    families = json.loads(report.read_text(encoding='utf-8'))['families'].values()
    return sum(f['successes'] for f in families), sum(f['n'] for f in families)
