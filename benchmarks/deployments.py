"""One checkpoint in several precisions, compiled, or on a GPU: `vla bench --models`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.compare import write_part
from benchmarks.local import HEIGHT, WIDTH, passes_ms
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.models.deployment import ModelDeployment
from vla_humanoid_control.policy.embodiment import FittedPolicy
from vla_humanoid_control.policy.registry import checkpoint_folder, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.outputs import make_folder, write_atomically
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.types import RobotObservation

DEPLOYMENTS = {
    'float32': ModelDeployment(), 'bfloat16': ModelDeployment('bfloat16'),
    'int8': ModelDeployment('int8'), 'float32, compiled': ModelDeployment(compile=True)}
if torch.cuda.is_available():
    DEPLOYMENTS |= {'float32, GPU': ModelDeployment(device='cuda'),
                    'bfloat16, GPU': ModelDeployment('bfloat16', device='cuda')}
THREADS = 2
_EPISODES, _ANSWERS, _COMPARED = 60, 60, 20
_SAID = 'go to the red box'
_UNSEEN = config_path('suites', 'unseen.yaml')
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
        robot = load_robot('humanoid')
        rows = _answers({name: load_policy(str(path), robot, trust=None)
                         for name, path in copies.items()}, robot, 6 if quick else _ANSWERS)
        ids, count = [e.id for e in load_suite(_UNSEEN)], 4 if quick else _EPISODES
        suite = write_part(Path(folder, 'suite.yaml'), ids[::len(ids) // count][:count])
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


def _answers(policies: dict[str, FittedPolicy], robot: RobotSpec, count: int
             ) -> dict[str, dict[str, Any]]:
    """Median milliseconds, and the largest difference of an action from the first policy's."""
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]
    spent = passes_ms(list(policies.values()), robot, frames, _SAID, count)  # [count, P]
    rows: dict[str, dict[str, Any]] = {}
    for (name, policy), taken in zip(policies.items(), spent.T):
        actions = _actions(policy, robot, frames[:_COMPARED])
        rows[name] = {'ms': float(np.median(taken)), 'actions': actions}
    plain = rows['float32']['actions']
    return {name: {'ms': row['ms'], 'differs': float(np.abs(row['actions'] - plain).max())}
            for name, row in rows.items()}


def _actions(policy: FittedPolicy, robot: RobotSpec, frames: Sequence[NDArray[np.uint8]]
             ) -> NDArray[np.float32]:
    policy.reset(_SAID)
    camera, = policy.spec.cameras
    return np.stack([policy.infer(RobotObservation(i, {camera: frame}, robot.home)).actions
                     for i, frame in enumerate(frames)])


def _succeeds(checkpoint: Path, suite: Path) -> tuple[int, int]:
    report = checkpoint / 'report.json'
    subprocess.run([sys.executable, '-m', 'vla_humanoid_control.cli.main', 'eval', '--suite',
                    str(suite), '--policy', str(checkpoint), '--allow-uncalibrated', '--ungated',
                    '--latency', str(_LATENCY_S), '--json', str(report)],
                   stdout=subprocess.DEVNULL, check=True)
    families = json.loads(report.read_text(encoding='utf-8'))['families'].values()
    return sum(f['successes'] for f in families), sum(f['n'] for f in families)
