"""Configuration of a model: which parts, on which streams, with which settings.

One file in `config/models/` describes one system:

    source:      the paper or the code that it is from
    observes:    cameras (role: [width, height]), frames of history, joints
    gives:       channels and horizon of the actions; scale: deviations (the default) or
                 percentiles, see `transforms.Statistics`
    parts:       name: {part: NAME, of: STREAM or [STREAMS], ...settings}
    heads:       name: {head: NAME, of: STREAM or [STREAMS], ...settings}
    signals:     name: STREAM that tells how bad an answer is: a confidence head, or a distance
    parameters:  the published count: total, of modules by their path, and `without`, a list of
                 parts that the total leaves out
    demo:        what is different at the size that learns on two cores

`observes` and `gives` are those of the published system; a trained model has those of its robot.
A stream is `image` (of the first camera), `image.ROLE`, `text`, `words`, `joints`, `time`, or what
a part or head above it gives. `apart: true` leaves a part out of behaviour cloning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vla_humanoid_control.models.parts import part_class
from vla_humanoid_control.models.streams import Space
from vla_humanoid_control.models.transforms import SCALES
from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import config_path, read_yaml

INPUTS = ('image', 'text', 'words', 'joints', 'time')
"""Streams that come from outside."""
HAND_CHANNELS = 7
"""Of actions that move a hand: motion 3, rotation 3, gripper 1."""
_KEYS = ('source', 'observes', 'gives', 'parts', 'heads', 'signals', 'parameters', 'demo', 'base')
_RESERVED = {'part', 'head', 'of', 'apart'}


@dataclass(frozen=True)
class PartConfig:
    """One part of a model, or a head.

    Attributes:
        kind: Its name in `parts.PARTS` or `parts.HEADS`.
        of: The streams that it is built on.
        settings: Its own.
        head: Whether it is a head.
        apart: Whether behaviour cloning leaves it alone.
    """

    kind: str
    of: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    head: bool = False
    apart: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of the weights, besides the robot.

    Attributes:
        parts: Parts and heads by name, each after those that it is built on.
        signals: Name of a signal to its stream.
        source: Where the architecture is from.
        space: What the published system is made for.
        parameters: Published counts: 'total', and of modules by their path.
        uncounted: Parts that the total leaves out.
        scale: How actions are normalised.
        hand: 'effector', the site of the hand whose motions the actions are, and 'gripper', the
            joint that is its gripper; empty where they are of the robot's own channels.
    """

    parts: Mapping[str, PartConfig]
    signals: Mapping[str, str]
    source: str
    space: Space
    parameters: Mapping[str, int]
    uncounted: tuple[str, ...] = ()
    scale: str = SCALES[0]
    hand: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON and YAML; `from_dict` reads it."""
        space = asdict(self.space)
        observes = {'cameras': {r: list(s) for r, s in space['images'].items()},
                    'frames': space['frames'], 'joints': space['joints']}
        sections: dict[str, dict[str, Any]] = {'parts': {}, 'heads': {}}
        for name, part in self.parts.items():
            sections['heads' if part.head else 'parts'][name] = {
                'head' if part.head else 'part': part.kind, 'of': list(part.of),
                **({'apart': True} if part.apart else {}), **_plain(part.settings)}
        return {'source': self.source, 'observes': observes,
                'gives': {'channels': space['channels'], 'horizon': space['horizon'],
                          'scale': self.scale,
                          **({'hand': dict(self.hand)} if self.hand else {})}, **sections,
                'signals': dict(self.signals),
                'parameters': {**self.parameters, 'without': list(self.uncounted)}}

    @staticmethod
    def from_dict(data: Any, where: str) -> ModelConfig:
        """Check plain data, as read from a file.

        Raises:
            UserError: A setting is missing or unknown; says which.
        """
        where = f'Model configuration {where}'
        check_keys(data, _KEYS, where)
        for section in ('source', 'observes', 'gives', 'heads'):
            if section not in data:
                raise UserError(f'{where} needs {section}.')
        there = {**_section(data, 'parts', where), **_section(data, 'heads', where)}
        parts: dict[str, PartConfig] = {}
        waiting = dict(there)
        while waiting:  # heads may be built on heads, and parts on heads
            ready = [n for n, p in waiting.items()
                     if all(stem(s) in (*INPUTS, *parts) for s in p.of)]
            if not ready:
                _refuse_streams(waiting, there, where)
            for name in ready:
                parts[name] = waiting.pop(name)
        signals = dict(data.get('signals') or {})
        for name, stream in signals.items():
            if stem(str(stream)) not in parts:
                raise UserError(f'{where}: signals.{name} is of {with_nearest(stream, parts)}, '
                                'which no part gives.')
        counts = dict(data.get('parameters') or {})
        uncounted = tuple(map(str, counts.pop('without', None) or ()))
        space, scale = _space(data, where), str(data['gives'].get('scale', SCALES[0]))
        if scale not in SCALES:
            raise UserError(f'{where}: gives.scale must be one of {", ".join(SCALES)}, not '
                            f'{with_nearest(scale, SCALES)}.')
        return ModelConfig(parts, signals, str(data['source']), space,
                           {str(k): int(v) for k, v in counts.items()}, uncounted, scale,
                           _hand(data['gives'], space, where))


def load_model_config(name_or_path: str | Mapping[str, Any], demo: bool = False) -> ModelConfig:
    """Read a model configuration.

    Args:
        name_or_path: A name in `config/models/`, the path of a YAML file, or what such a file
            says.
        demo: At the size that learns on two cores, instead of the published one.

    Raises:
        UserError: There is none, or it is wrong.
    """
    if isinstance(name_or_path, Mapping):
        return _chosen(_on_base(dict(name_or_path)), demo, 'of the run')
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('models', f'{name_or_path}.yaml')
        if not path.exists():
            raise UserError(f'There is no model {with_nearest(name_or_path, model_names())}. '
                            f'There is {", ".join(model_names())}; or give the path of a YAML '
                            'file.')
    return _chosen(_resolved(path), demo, str(path))


def model_names() -> list[str]:
    """Names of the models in `config/models/`."""
    return sorted(p.stem for p in config_path('models').glob('*.yaml'))


def distinct() -> list[str]:
    """One model for each that differs at the size that learns on two cores; the shortest name."""
    kinds: dict[str, str] = {}
    for name in sorted(model_names(), key=lambda n: (len(n), n)):
        whole = load_model_config(name, demo=True).to_dict()
        kinds.setdefault(json.dumps([whole[k] for k in ('observes', 'gives', 'parts', 'heads')]),
                         name)
    return sorted(kinds.values())


def stem(stream: str) -> str:
    """The part that a stream is from."""
    return stream.partition('.')[0]


def _resolved(path: Path) -> dict[str, Any]:
    """A file, on top of the one that it names as its `base`."""
    data = read_yaml(path, 'Model configuration',
                     'Give a name in config/models/ or the path of a YAML file.')
    if not isinstance(data, dict):
        raise UserError(f'Model configuration {path} must be a mapping with parts and heads.')
    return _on_base(data)


def _on_base(data: dict[str, Any]) -> dict[str, Any]:
    if 'base' not in data:
        return data
    base = config_path('models', f'{data["base"]}.yaml')
    return _merged(_resolved(base), {k: v for k, v in data.items() if k != 'base'})


def _chosen(data: dict[str, Any], demo: bool, where: str) -> ModelConfig:
    if demo:
        data = _merged(data, data.get('demo') or {})
    return ModelConfig.from_dict({k: v for k, v in data.items() if k != 'demo'}, where)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged; a null takes a key away; a part of another kind replaces the whole."""
    result = dict(base)
    for key, value in change.items():
        before = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(before, dict) \
                and not any(isinstance(value.get(k), str) and value[k] != before.get(k)
                            for k in ('part', 'head')):
            result[key] = _merged(before, value)
        else:
            result[key] = value
    return result


def _section(data: Mapping[str, Any], section: str, where: str) -> dict[str, PartConfig]:
    found, heads = data.get(section) or {}, section == 'heads'
    if not isinstance(found, dict):
        raise UserError(f'{where}: {section} must map names to settings.')
    key = 'head' if heads else 'part'
    parts = {}
    for name, settings in found.items():
        at = f'{where}: {section}.{name}'
        if not str(name).isidentifier() or name in INPUTS:
            raise UserError(f'{at} is no name that a part may have.')
        if not isinstance(settings, dict) or key not in settings or 'of' not in settings:
            raise UserError(f'{at} needs {key} and of.')
        of = settings['of'] if isinstance(settings['of'], list) else [settings['of']]
        part_class(str(settings[key]), at, heads)
        parts[str(name)] = PartConfig(
            str(settings[key]), tuple(map(str, of)),
            {str(k): v for k, v in settings.items() if k not in _RESERVED}, heads,
            bool(settings.get('apart', False)))
    return parts


def _refuse_streams(waiting: Mapping[str, PartConfig], there: Mapping[str, PartConfig],
                    where: str) -> None:
    for name, part in waiting.items():
        for stream in part.of:
            if stem(stream) not in (*INPUTS, *there):
                raise UserError(f'{where}: {name} is of {with_nearest(stream, (*INPUTS, *there))}'
                                ', which nothing gives.')
    raise UserError(f'{where}: {", ".join(waiting)} are built on each other in a circle.')


def _space(data: Mapping[str, Any], where: str) -> Space:
    observes, gives = data['observes'], data['gives']
    check_keys(observes, ('cameras', 'frames', 'joints'), f'{where}: observes')
    check_keys(gives, ('channels', 'horizon', 'scale', 'hand'), f'{where}: gives')
    try:
        images = {str(r): (int(w), int(h)) for r, (w, h) in observes['cameras'].items()}
        space = Space(images, int(observes.get('joints', 0)), int(gives['channels']),
                      int(gives.get('horizon', 1)), int(observes.get('frames', 1)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f'{where}: observes needs cameras (role: [width, height]), and gives '
                        f'needs channels; {error!r} is wrong.') from error
    sizes = [side for size in images.values() for side in size]
    if not images or min(*sizes, space.channels, space.horizon, space.frames) < 1:
        raise UserError(f'{where}: observes and gives must have numbers of 1 or more.')
    return space


def _hand(gives: Mapping[str, Any], space: Space, where: str) -> dict[str, str]:
    hand = gives.get('hand')
    if hand is None:
        return {}
    check_keys(hand, ('effector', 'gripper'), f'{where}: gives.hand')
    if len(hand) != 2 or space.channels != HAND_CHANNELS:
        raise UserError(f'{where}: gives.hand needs effector and gripper, and gives.channels must '
                        f'be {HAND_CHANNELS}: a motion, a rotation, and the gripper.')
    return {str(k): str(v) for k, v in hand.items()}


def check_keys(data: Any, known: Sequence[str], where: str) -> None:
    """Refuse what is no mapping with some of these keys; UserError names the nearest."""
    if not isinstance(data, dict):
        raise UserError(f'{where} must be a mapping.')
    for key in data:
        if key not in known:
            raise UserError(f'{where} has no {with_nearest(str(key), known)}. It has '
                            f'{", ".join(known)}.')


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
