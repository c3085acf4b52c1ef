"""Which policies there are: names and checkpoint folders, in one explicit place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vla_humanoid_control.confidence.gate import LOWEST_THRESHOLD, GateConfig
from vla_humanoid_control.confidence.score import ALPHA, SIGNALS, Combinations
from vla_humanoid_control.interfaces import Policy, PolicySpec
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
HYSTERESIS = 0.1
"""An open gate closes below its threshold by this share."""


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
    _check_fits(policy, name_or_path, robot)
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


def check_robot(spec: PolicySpec, robot: RobotSpec, folder: Path) -> None:
    """Refuse a checkpoint that was made for another robot.

    Raises:
        UserError: Joints or action channels are others, or a camera is missing; says which.
    """
    for what, wanted, there in (('joints', spec.joint_names, robot.joint_names),
                                ('action channels', spec.channels, robot.action_channels)):
        if wanted != there:
            differ = [n for n in wanted if n not in there] + [n for n in there if n not in wanted]
            raise UserError(f'Checkpoint {folder} was trained for other {what} than robot '
                            f'{robot.name} has: {", ".join(differ[:6]) or "another order"}. '
                            'Use a checkpoint for this robot.')
    missing = [c for c in spec.cameras if c not in robot.cameras]
    if missing:
        raise UserError(f'Checkpoint {folder} needs cameras that robot {robot.name} lacks: '
                        f'{", ".join(missing)}. Name them in the robot file.')


def gate_config(name_or_path: str, signals: Sequence[str] = SIGNALS, alpha: float = ALPHA
                ) -> GateConfig:
    """The gate that a policy asks for: its checkpoint's conformal threshold, with hysteresis.

    Args:
        name_or_path: As in `load_policy`.
        signals: What the policy's confidence is made of.
        alpha: Share of successful episodes that the gate may stop, in (0, 1).

    Policies without one, such as 'scripted', get the defaults of `GateConfig`.

    Raises:
        UserError: The checkpoint's `statistics.json` cannot be read.
    """
    path = _folder(name_or_path) / 'statistics.json'
    if name_or_path in NAMED and not path.exists():
        return GateConfig()
    try:
        confidence = json.loads(path.read_text(encoding='utf-8'))['confidence']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} cannot be read ({error}). Give the folder of a checkpoint.') \
            from error
    combinations = Combinations.from_list(confidence, str(path))
    if not combinations.by_signals:
        return GateConfig()
    # The promise is about never falling below the threshold, so it opens there and closes below.
    value = max(LOWEST_THRESHOLD, combinations.choose(signals).threshold(alpha))
    return GateConfig(open_threshold=value,
                      close_threshold=max(LOWEST_THRESHOLD, value * (1 - HYSTERESIS)))


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


def _check_fits(policy: Policy, name: str, robot: RobotSpec) -> None:
    spec = policy.spec
    problems = {
        'cameras': set(spec.cameras) - set(robot.cameras),
        'joints': set(spec.joint_names) - set(robot.joint_names),
        'action channels': set(spec.channels) - set(robot.action_channels),
    }
    for what, missing in problems.items():
        if missing:
            raise UserError(f'Policy {name!r} needs {what} that robot {robot.name} lacks: '
                            f'{", ".join(sorted(missing))}. Use a policy for this robot.')
