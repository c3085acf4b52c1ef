"""A checkpoint is one folder that explains itself.

    model.safetensors   weights, float32
    config.json         model configuration, policy specification, robot
    statistics.json     normalisation
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from vla_humanoid_control.interfaces import CHUNK_DT_S, IMAGE_SIZE
from vla_humanoid_control.models.config import ModelConfig
from vla_humanoid_control.models.deployment import ModelDeployment
from vla_humanoid_control.models.spec import ModelSpec
from vla_humanoid_control.models.system import System
from vla_humanoid_control.models.transforms import Statistics
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.types import BASE_CHANNELS

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A model with everything that is needed to run it."""

    model: System
    model_config: ModelConfig
    spec: ModelSpec
    statistics: Statistics
    deployment: ModelDeployment = field(default_factory=ModelDeployment)


def build_model(config: ModelConfig, spec: ModelSpec) -> System:
    """A model of the right shape with random weights."""
    return System(config, spec.space)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().float().contiguous().cpu()
               for name, value in checkpoint.model.state_dict().items()}
    config = {'format': FORMAT, 'model': checkpoint.model_config.to_dict(),
              'policy': asdict(checkpoint.spec), 'deployment': checkpoint.deployment.to_dict()}
    write_atomically(folder / 'config.json', json.dumps(config, indent=1).encode())
    write_atomically(folder / 'statistics.json', checkpoint.statistics.to_json().encode())
    write_atomically(folder / 'model.safetensors', save(tensors))


def save_untrained(folder: Path, config: ModelConfig, robot: RobotSpec) -> None:
    """Write a checkpoint with random weights whose actions lie about the home posture of a robot.

    It is as fast as a trained one, and moves the robot.
    """
    torch.manual_seed(0)
    space = config.space
    spec = ModelSpec(('head',), IMAGE_SIZE, robot.joint_names, robot.action_channels,
                     space.horizon, CHUNK_DT_S, space.frames)
    home = np.array([0.0] * len(BASE_CHANNELS) + [j.home for j in robot.controlled], np.float32)
    save_checkpoint(folder, Checkpoint(build_model(config, spec), config, spec, Statistics(
        robot.home.astype(np.float32), np.ones(len(spec.joint_names), np.float32), home,
        np.full(len(home), 0.01, np.float32))))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UserError: A file is missing or damaged, or the weights have another shape than the
            configuration says.
    """
    config, spec, statistics, deployment = _description(folder)
    model = build_model(config, spec)
    _load_weights(model, folder / 'model.safetensors')
    return Checkpoint(model.eval(), config, spec, statistics, deployment)


def for_robot(start: Checkpoint, spec: ModelSpec) -> tuple[System, tuple[str, ...]]:
    """A model of the same configuration for another robot.

    Returns:
        The model, and the names of its tensors that begin anew, because their shape follows from
        the robot's joints and channels. All others are those of `start`.
    """
    model = build_model(start.model_config, spec)
    known = start.model.state_dict()
    tensors = {n: known[n] if n in known and known[n].shape == t.shape else t
               for n, t in model.state_dict().items()}
    model.load_state_dict(tensors)
    return model, tuple(n for n, t in tensors.items() if t is not known.get(n))


def check_checkpoint(folder: Path) -> None:
    """Refuse what `load_checkpoint` would, from the header of the weights alone.

    Raises:
        UserError: As `load_checkpoint`.
    """
    config, spec, *_ = _description(folder)
    with torch.device('meta'):  # shapes, and no numbers
        expected = _shapes(build_model(config, spec).state_dict())
    path = folder / 'model.safetensors'
    try:
        with safe_open(path, 'pt') as file:
            names = file.keys()
            there = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    _compare(expected, there, path)


def main() -> int:
    """Check the checkpoint that the first argument names; 2 and one sentence where it is wrong."""
    try:
        check_checkpoint(Path(sys.argv[1]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _description(folder: Path) -> tuple[ModelConfig, ModelSpec, Statistics, ModelDeployment]:
    where = folder / 'config.json'
    try:
        data = json.loads(where.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'Checkpoint {folder}: config.json: {error.strerror}. A checkpoint is a '
                        'folder with model.safetensors, config.json and statistics.json.'
                        ) from error
    except ValueError as error:
        raise UserError(f'Checkpoint {where} is damaged: {error}. Copy it again.') from error
    if not isinstance(data, dict) or data.get('format') != FORMAT:
        raise UserError(f'Checkpoint {where} is of another format than {FORMAT}. Use one that '
                        'this version trained.')
    config = ModelConfig.from_dict(data.get('model'), str(where))
    spec = _spec(data.get('policy'), where)
    statistics = Statistics.from_file(folder / 'statistics.json')
    if len(statistics.joint_mean) != len(spec.joint_names) \
            or len(statistics.action_mean) != len(spec.channels):
        raise UserError(f'Checkpoint {folder}: statistics.json does not fit config.json. '
                        'Copy the whole folder again.')
    deployment = ModelDeployment.from_dict(data.get('deployment', {}), str(where))
    return config, spec, statistics, deployment


def _spec(data: Any, where: Path) -> ModelSpec:
    try:
        return ModelSpec(
            cameras=tuple(data['cameras']),
            image_size=(int(data['image_size'][0]), int(data['image_size'][1])),
            joint_names=tuple(data['joint_names']), channels=tuple(data['channels']),
            horizon=int(data['horizon']), dt_s=float(data['dt_s']),
            frames=int(data.get('frames', 1)), effector=str(data.get('effector', '')))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f'Checkpoint {where}: the policy section is damaged: {error!r}. '
                        'Copy it again.') from error


def _load_weights(model: System, path: Path) -> None:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    _compare(_shapes(model.state_dict()), _shapes(tensors), path)
    model.load_state_dict(tensors)


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _compare(expected: Mapping[str, tuple[int, ...]], there: Mapping[str, tuple[int, ...]],
             path: Path) -> None:
    wrong = [n for n in expected.keys() | there.keys() if expected.get(n) != there.get(n)]
    if wrong:
        raise UserError(f'Checkpoint weights {path} are of another shape than config.json beside '
                        f'them says, at {", ".join(sorted(wrong)[:4])}. Copy the whole folder '
                        'again.')


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f'Checkpoint weights {path} cannot be read: {error}. Copy them again.')


if __name__ == '__main__':
    sys.exit(main())
