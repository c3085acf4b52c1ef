"""Which policies there are: names and checkpoint folders, in one explicit place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.confidence.score import ALPHA, SIGNALS
from vla_humanoid_control.confidence.thresholds import calibrated_gate
from vla_humanoid_control.interfaces import Policy, PolicySpec
from vla_humanoid_control.policy.fit import check_fits, check_robot
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import resource_path


def _checkpoint(folder: Path, robot: RobotSpec, signals: Sequence[str]) -> Policy:
    # Imported when needed: a robot that runs the scripted policy needs no torch.
    from vla_humanoid_control.policy.native import CheckpointPolicy
    return CheckpointPolicy.load(folder, robot, signals)


NAMED: dict[str, Callable[[RobotSpec, Sequence[str]], Policy]] = {
    'scripted': lambda robot, signals: ScriptedPolicy(robot),
    'default': lambda robot, signals: _checkpoint(resource_path('checkpoints', 'default'), robot,
                                                  signals),
}
"""Policy name to loader."""
DEFAULT_POLICY = 'default'


def load_policy(name_or_path: str, robot: RobotSpec, signals: Sequence[str] = SIGNALS) -> Policy:
    """A policy, ready for `reset`.

    Args:
        name_or_path: A name in `NAMED`, or the folder of a checkpoint.
        robot: The robot that it is to move; its channels and joints must be those of the policy.
        signals: What a checkpoint's confidence is made of, see `confidence/score.py`.

    Raises:
        UserError: There is no such policy, or it does not fit the robot.
    """
    if name_or_path in NAMED:
        policy = NAMED[name_or_path](robot, signals)
    elif Path(name_or_path).is_dir():
        policy = _checkpoint(Path(name_or_path), robot, signals)
    else:
        raise UserError(f'Policy {name_or_path!r} is neither a folder nor one of '
                        f'{", ".join(NAMED)}. Give a name or the folder of a checkpoint.')
    check_fits(policy, name_or_path, robot)
    return policy


def check_policy(name_or_path: str, robot: RobotSpec) -> None:
    """Refuse a checkpoint that `load_policy` would refuse, without loading it.

    Nothing of it stays in this process, which may have a robot to look after for days: what needs
    torch runs in one of its own.

    Args:
        name_or_path: As in `load_policy`.
        robot: The robot that it is to move.

    Raises:
        UserError: The checkpoint cannot be read, does not fit the robot, or has other weights
            than its `config.json` says.
    """
    folder = _folder(name_or_path)
    path = folder / 'config.json'
    if name_or_path in NAMED and not path.exists():
        return
    try:
        fields = json.loads(path.read_text(encoding='utf-8'))['policy']
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                  for name, value in fields.items()}
        spec = PolicySpec(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path} cannot be read ({error}). Give the folder of a checkpoint.') \
            from error
    check_robot(spec, robot, folder)
    _check_weights(folder)


def gate_config(name_or_path: str, signals: Sequence[str] = SIGNALS, alpha: float = ALPHA
                ) -> GateConfig:
    """The gate that a policy asks for: `calibrated_gate` of its checkpoint.

    Args:
        name_or_path: As in `load_policy`. Policies without a calibration, such as 'scripted', get
            the defaults of `GateConfig`.
        signals: What the policy's confidence is made of.
        alpha: Share of successful episodes that the gate may stop, in (0, 1).

    Raises:
        UserError: The checkpoint's `statistics.json` cannot be read.
    """
    folder = _folder(name_or_path)
    if name_or_path in NAMED and not (folder / 'statistics.json').exists():
        return GateConfig()
    return calibrated_gate(folder, signals, alpha)


def _folder(name_or_path: str) -> Path:
    return resource_path('checkpoints', name_or_path) if name_or_path in NAMED \
        else Path(name_or_path)


def _check_weights(folder: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get('PYTHONPATH', ''))))
    check = subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.models.checkpoint', str(folder)],
        env={**os.environ, 'PYTHONPATH': paths}, capture_output=True, text=True, errors='replace',
        check=False)
    if check.returncode:
        said = check.stderr.strip().splitlines() or [f'status {check.returncode}']
        raise UserError(said[-1] if check.returncode == 2 else
                        f'Checkpoint {folder} cannot be checked ({said[-1]}). Run make setup, or '
                        'train or copy the checkpoint again.')
