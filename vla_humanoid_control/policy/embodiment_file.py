"""Reads mapping files: which of a robot's cameras, joints and channels are which of a policy's.

Of a policy that says itself what it sees and gives, a file names what is called otherwise:

    images: {front: head, wrist: null}       # role: camera; null shows it black
    channels: {waist: waist_yaw, tail: null} # its channel: the robot's; null is none
    scale: {waist: [0.0, -0.01745]}          # the robot's value is offset + factor × the policy's

Of a policy that does not, such as one behind a server, it says all of it:

    images: {observation/image: {camera: head, size: [224, 224], fit: pad}}
    states: {observation/state: [left_elbow, left_gripper]}
    actions:
      arm: {kind: joint_delta, relative_to: observation, channels: [left_elbow]}
      hand: {kind: gripper, channels: [left_gripper]}
      other: {kind: ee_pose, effector: right_grasp, channels: [x, y, z, rx, ry, rz]}
    horizon: 10
    dt_s: 0.05
    rate_hz: 5      # how often it wants to be asked
    latency_s: 0.3  # how long it takes to answer, at most but for rare cases
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vla_humanoid_control.interfaces import (
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    PolicySpec,
    StateFeature,
)
from vla_humanoid_control.policy.embodiment import EmbodimentMap
from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import config_path, read_yaml

_KEYS = ('images', 'states', 'actions', 'horizon', 'dt_s', 'rate_hz', 'latency_s', 'channels',
         'scale')
_SPEC_KEYS = ('states', 'actions', 'horizon', 'dt_s', 'rate_hz', 'latency_s')


@dataclass(frozen=True)
class EmbodimentFile:
    """What a mapping file says.

    Attributes:
        path: Where it is.
        names: What is called otherwise.
        spec: What the policy sees and gives; None where it says so itself.
    """

    path: Path
    names: EmbodimentMap
    spec: PolicySpec | None


def load_embodiment(name_or_path: str) -> EmbodimentFile:
    """Read a mapping file.

    Args:
        name_or_path: A name in `config/embodiments/`, or the path of a YAML file.

    Raises:
        UserError: It is missing, or says something that makes no sense; says where.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('embodiments', f'{name_or_path}.yaml')
    data = read_yaml(path, 'Mapping file', 'Give a name in config/embodiments/ or the path of a '
                     'YAML file.')
    try:
        root = _mapping(data, 'it', _KEYS)
        images = {role: _image(given, f'images.{role}')
                  for role, given in _mapping(root.get('images', {}), 'images').items()}
        names = EmbodimentMap(
            {role: camera for role, (camera, _) in images.items()},
            {name: _text(target, f'channels.{name}', optional=True) for name, target
             in _mapping(root.get('channels', {}), 'channels').items()},
            {name: _pair(pair, f'scale.{name}') for name, pair
             in _mapping(root.get('scale', {}), 'scale').items()})
        spec = _spec(root, {role: more for role, (_, more) in images.items()}) \
            if any(key in root for key in _SPEC_KEYS) else None
    except ValueError as error:
        raise UserError(f'Mapping file {path}: {error}. Correct it there; policy/'
                        'embodiment_file.py says what belongs into it.') from None
    return EmbodimentFile(path, names, spec)


def _spec(root: Mapping[str, Any], images: Mapping[str, Mapping[str, Any]]) -> PolicySpec:
    missing = [key for key in ('actions', 'horizon', 'dt_s') if key not in root]
    if missing:
        raise ValueError(f'{", ".join(missing)} must be there where the policy does not say it')
    features = []
    for role, more in images.items():
        if 'size' not in more:
            raise ValueError(f'images.{role} must have a size, [width, height]')
        size = _pair(more['size'], f'images.{role}.size')
        features.append(ImageFeature(
            role, (int(size[0]), int(size[1])),
            _text(more.get('fit', 'stretch'), f'images.{role}.fit'),  # type: ignore[arg-type]
            tuple(_number(t, f'images.{role}.times_s') for t in more.get('times_s', [0.0]))))
    states = tuple(StateFeature(name, _names(given, f'states.{name}')) for name, given
                   in _mapping(root.get('states', {}), 'states').items())
    groups = tuple(_group(name, given) for name, given
                   in _mapping(root['actions'], 'actions').items())
    horizon = root['horizon']
    if isinstance(horizon, bool) or not isinstance(horizon, int):
        raise ValueError(f'horizon must be a whole number, got {horizon!r}')
    actions = ActionSpace(groups, horizon, _number(root['dt_s'], 'dt_s'))
    spec = PolicySpec(tuple(features), states, actions)
    return replace(spec, rate_hz=_number(root.get('rate_hz', spec.rate_hz), 'rate_hz'),
                   latency_s=_number(root.get('latency_s', spec.latency_s), 'latency_s'))


def _group(name: str, given: Any) -> ActionGroup:
    where = f'actions.{name}'
    data = _mapping(given, where, ('kind', 'channels', 'relative_to', 'effector'))
    kinds = [kind.value for kind in ActionKind]
    kind = _text(data.get('kind'), f'{where}.kind')
    if kind not in kinds:
        raise ValueError(f'{where}.kind must be one of {", ".join(kinds)}, got {kind!r}')
    return ActionGroup(name, ActionKind(kind), _names(data.get('channels'), f'{where}.channels'),
                       data.get('relative_to', ''),
                       _text(data.get('effector', ''), f'{where}.effector'))


def _image(given: Any, where: str) -> tuple[str | None, Mapping[str, Any]]:
    """The camera, and what else is said of an image."""
    if not isinstance(given, dict):
        return _text(given, where, optional=True), {}
    data = _mapping(given, where, ('camera', 'size', 'fit', 'times_s'))
    if 'camera' not in data:
        raise ValueError(f'{where}.camera is missing: the name of a camera, or null')
    return _text(data['camera'], f'{where}.camera', optional=True), data


def _mapping(given: Any, where: str, known: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ValueError(f'{where} must be a mapping from names, got {given!r:.60}')
    for key in given:
        if known is not None and key not in known:
            raise ValueError(f'{where} has no {with_nearest(key, known)}')
    return given


def _text(given: Any, where: str, optional: bool = False) -> Any:
    if not isinstance(given, str) and not (optional and given is None):
        raise ValueError(f'{where} must be a name{" or null" if optional else ""}, got '
                         f'{given!r:.60}')
    return given


def _names(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f'{where} must be a list of names, got {given!r:.60}')
    return tuple(given)


def _pair(given: Any, where: str) -> tuple[float, float]:
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError(f'{where} must be two numbers, got {given!r:.60}')
    return _number(given[0], where), _number(given[1], where)


def _number(given: Any, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        raise ValueError(f'{where} must be a number, got {given!r:.60}')
    return float(given)
