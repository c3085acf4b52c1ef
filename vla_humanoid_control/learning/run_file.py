"""One file that describes a run of behaviour cloning, from the model to the robot.

    model: rt1                         # a name in config/models/, a path, or the whole
    training:
      method: bc
      data: [data/demo, data/val]
      output: runs/rt1
      minutes: 15                      # or steps; by default the epochs of the configuration
      batch_size: 128                  # any setting of config/train/bc.yaml
    deployment: {precision: bfloat16}  # see models/deployment.py

Besides: `init_from`, `beside`, `crops`, `seed`, `threads`, `device`, `float32` and `published`, as
on the command line; and `weights`, the folder of a checkpoint of another house to start from
(`models/weights/`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.learning.behaviour_cloning import BcConfig
from vla_humanoid_control.learning.config import load_training_config
from vla_humanoid_control.learning.train import BcOptions
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.deployment import ModelDeployment, device_named
from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import config_path, read_yaml

METHODS = ('bc',)
_SECTIONS = ('model', 'training', 'deployment')
_OF_THE_RUN: Mapping[str, type | tuple[type, ...]] = {
    'method': str, 'data': list, 'beside': list, 'output': str, 'minutes': (int, float),
    'steps': int, 'init_from': str, 'weights': str, 'crops': str, 'seed': int, 'threads': int,
    'device': str, 'float32': bool, 'published': bool}


def load_run_file(path: Path) -> tuple[BcOptions, BcConfig]:
    """Read and check such a file.

    Raises:
        UserError: It cannot be read, or a key or a value is wrong; says which.
    """
    data = read_yaml(path, 'Run file', 'Give the path of a YAML file with model, training and '
                                       'deployment.')
    where = f'Run file {path}'
    _known(data, _SECTIONS, where, '')
    for section in ('model', 'training'):
        if section not in data:
            raise UserError(f'{where}: {section} is missing.')
    if not isinstance(data['model'], (str, dict)):
        raise UserError(f'{where}: model must be a name, a path or a mapping.')
    training = data['training']
    own = [f.name for f in fields(BcConfig)]
    _known(training, [*_OF_THE_RUN, *own], where, 'training')
    for name, kind in _OF_THE_RUN.items():
        if name in training and (not isinstance(training[name], kind)
                                 or (isinstance(training[name], bool) and kind is not bool)):
            raise UserError(f'{where}: training.{name} cannot be {training[name]!r}.')
    for name in ('data', 'output'):
        if not training.get(name):
            raise UserError(f'{where}: training.{name} is missing.')
    for name in ('minutes', 'steps', 'threads'):
        if name in training and not training[name] > 0:
            raise UserError(f'{where}: training.{name} must be greater than 0.')
    if (method := training.get('method', METHODS[0])) not in METHODS:
        raise UserError(f'{where}: training.method must be {", ".join(METHODS)}, not {method}.')
    try:
        device_named(training.get('device', 'auto'))
    except UserError as error:
        raise UserError(f'{where}: training.device: {error}') from None
    if 'weights' in training and 'init_from' in training:
        raise UserError(f'{where}: give training.weights or training.init_from, not both.')
    load_model_config(data['model'], demo=not training.get('published', False))
    options = BcOptions(
        tuple(Path(d) for d in training['data']), Path(training['output']), data['model'],
        Path(training['init_from']) if 'init_from' in training else None, training.get('steps'),
        training.get('minutes'), training.get('seed', 0),
        training.get('threads', os.cpu_count() or 1), not training.get('float32', False),
        training.get('published', False),
        ModelDeployment.from_dict(data.get('deployment') or {}, where),
        Path(training['weights']) if 'weights' in training else None,
        training.get('device', 'auto'), tuple(Path(d) for d in training.get('beside', ())),
        Path(training['crops']) if 'crops' in training else None)
    return options, _config({n: training[n] for n in own if n in training}, where)


def _config(changes: Mapping[str, Any], where: str) -> BcConfig:
    """`config/train/bc.yaml` with some settings changed; in mappings, some of their keys."""
    whole = yaml.safe_load(config_path('train', 'bc.yaml').read_text(encoding='utf-8'))
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(whole.get(name), dict)
        whole[name] = {**whole[name], **value} if both else value
    try:
        return load_training_config(BcConfig, 'bc', **whole)
    except UserError as error:
        raise UserError(f'{where}: training: {str(error).partition(": ")[2]}') from None


def _known(data: Any, known: tuple[str, ...] | list[str], where: str, section: str) -> None:
    if not isinstance(data, dict):
        raise UserError(f'{where}: {section or "it"} must be a mapping.')
    for key in data:
        if key not in known:
            name = with_nearest(str(key), known)
            raise UserError(f'{where}: there is no {f"{section}." if section else ""}{name}.')
