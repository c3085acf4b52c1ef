"""Reads robot files: everything is required, and what is not known is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_humanoid_control.robot.spec import (
    LEAST_COMMAND_TIMEOUT_S,
    MAX_MOUNT,
    MAX_TILT_RAD,
    MAX_TIMEOUT_S,
    MOST_COMMAND_TIMEOUT_S,
    MOUNTED,
    SENSORS,
    JointSpec,
    MotionLimits,
    RobotSpec,
    SensorSpec,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import is_name
from vla_humanoid_control.support.resources import config_path, read_yaml, resource_path
from vla_humanoid_control.types import BASE_CHANNELS

_MOTION = ('velocity', 'acceleration', 'jerk')


def load_robot(name_or_path: str) -> RobotSpec:
    """Read a robot file.

    Args:
        name_or_path: A name in `config/robots/`, or the path of a YAML file.

    Raises:
        UserError: It is missing, unreadable, lacks a limit, or has something that is not known;
            or the model that it names is missing. The message says where.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('robots', f'{name_or_path}.yaml')
    return _Reader(str(path)).robot(read_yaml(
        path, 'Robot file', 'Give a name in config/robots/ or the path of a YAML file.'))


class _Reader:
    """Checks a parsed robot file field by field, so that an error can say where it is."""

    def __init__(self, path: str) -> None:
        self._path = path

    def robot(self, document: Any) -> RobotSpec:
        root = self._mapping(document, 'top level', [
            'name', 'mjcf', 'base_frame', 'footprint_radius_m', 'max_tilt_rad',
            'command_timeout_s', 'base', 'joints', 'cameras', 'sensors'])
        joints = self._mapping(self._get(root, 'joints', ''), 'joints')
        axes = {channel: channel.split('/')[1] for channel in BASE_CHANNELS}
        base = self._mapping(self._get(root, 'base', ''), 'base', list(axes.values()))
        cameras = self._mapping(self._get(root, 'cameras', ''), 'cameras')
        sensors = self._mapping(self._get(root, 'sensors', ''), 'sensors', SENSORS)
        self._get(sensors, 'joint_states', 'sensors')
        tilt_rad = self._positive(root, 'max_tilt_rad', '')
        if tilt_rad >= MAX_TILT_RAD:
            self._fail('max_tilt_rad', f'must be less than {MAX_TILT_RAD:.3f}, got {tilt_rad:g}')
        timeout_s = self._positive(root, 'command_timeout_s', '')
        if not LEAST_COMMAND_TIMEOUT_S <= timeout_s <= MOST_COMMAND_TIMEOUT_S:
            self._fail('command_timeout_s', f'must be in [{LEAST_COMMAND_TIMEOUT_S:g}, '
                       f'{MOST_COMMAND_TIMEOUT_S:g}], got {timeout_s:g}')
        return RobotSpec(
            name=self._text(root, 'name', ''),
            mjcf=self._mjcf(root),
            joints=tuple(self._joint(n, j) for n, j in joints.items()),
            base={c: self._motion(self._mapping(self._get(base, axis, 'base'), f'base.{axis}',
                                                _MOTION), f'base.{axis}')
                  for c, axis in axes.items()},
            footprint_radius_m=self._positive(root, 'footprint_radius_m', ''),
            max_tilt_rad=tilt_rad,
            command_timeout_s=timeout_s,
            cameras={n: self._sensor(f, f'cameras.{n}') for n, f in cameras.items()},
            file=self._path,
            sensors={n: self._sensor(f, f'sensors.{n}', n in MOUNTED)
                     for n, f in sensors.items()},
            base_frame=self._frame(root, 'base_frame', '') if 'base_frame' in root
            else RobotSpec.base_frame,
        )

    def _mjcf(self, root: Mapping[str, Any]) -> str | None:
        if root.get('mjcf') is None:
            return None
        name = self._text(root, 'mjcf', '')
        if not resource_path(name).is_file():
            self._fail('mjcf', f'names a model that does not exist, {resource_path(name)}; '
                               'correct it, or remove it to go without the posture check')
        return name

    def _joint(self, name: str, value: Any) -> JointSpec:
        where = f'joints.{name}'
        fields = self._mapping(value, where, ['position', 'home', *_MOTION, 'controlled'])
        bounds = self._get(fields, 'position', where)
        if not isinstance(bounds, list) or len(bounds) != 2:
            self._fail(f'{where}.position', 'must be [lower, upper]')
        lower, upper = (self._number(b, f'{where}.position') for b in bounds)
        home = self._number(self._get(fields, 'home', where), f'{where}.home')
        if not lower < upper or not lower <= home <= upper:
            self._fail(where, f'needs lower < upper with home between them, got '
                              f'[{lower}, {upper}] and {home}')
        controlled = fields.get('controlled', True)
        if not isinstance(controlled, bool):
            self._fail(f'{where}.controlled', 'must be true or false')
        return JointSpec(name, lower, upper, home, self._motion(fields, where), controlled)

    def _motion(self, fields: Mapping[str, Any], where: str) -> MotionLimits:
        return MotionLimits(*(self._positive(fields, key, where) for key in _MOTION))

    def _sensor(self, value: Any, where: str, mounted: bool = False) -> SensorSpec:
        mounting = ('frame', 'mount') if mounted else ()
        fields = self._mapping(value, where, ['topic', 'timeout_s', *mounting])
        topic = self._text(fields, 'topic', where)
        if not is_name(topic):
            self._fail(f'{where}.topic', 'must be the name of a topic, such as scan, or /scan '
                                         f'for one outside of the namespace, got {topic!r}')
        timeout_s = self._positive(fields, 'timeout_s', where)
        if timeout_s > MAX_TIMEOUT_S:
            self._fail(f'{where}.timeout_s',
                       f'must be {MAX_TIMEOUT_S:g} s or less, got {timeout_s:g}')
        # What an image shows is never in the frame of the base: its axes are the camera's.
        if not mounted or (where != 'sensors.depth' and not fields.keys() & {*mounting}):
            return SensorSpec(topic, timeout_s)
        return SensorSpec(topic, timeout_s, self._frame(fields, 'frame', where),
                          self._mount(self._get(fields, 'mount', where), f'{where}.mount'))

    def _frame(self, fields: Mapping[str, Any], key: str, where: str) -> str:
        name = self._text(fields, key, where).strip('/')
        if not name or any(c.isspace() for c in name):
            self._fail(f'{where}.{key}'.lstrip('.'), f'must be the name of a frame, got {name!r}')
        return name

    def _mount(self, value: Any, where: str) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != 6:
            self._fail(where, 'must be [x, y, z, roll, pitch, yaw]')
        numbers = tuple(self._number(v, where) for v in value)
        if max(map(abs, numbers)) > MAX_MOUNT:
            self._fail(where, f'must be in metres and radians, up to {MAX_MOUNT:g}, got {value}')
        return numbers

    def _mapping(self, value: Any, where: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
        """A mapping with keys of text; with no others than `known`, where that is given."""
        if not isinstance(value, dict) or not value:
            self._fail(where, 'must be a non-empty mapping')
        result: Mapping[str, Any] = value
        for key in result:
            if not isinstance(key, str):
                self._fail(where, f'has the key {key!r}, which must be text; put it in quotes')
            if known and key not in known:
                self._fail(where, f'has the unknown key {key!r}; there are {", ".join(known)}')
        return result

    def _get(self, fields: Mapping[str, Any], key: str, where: str) -> Any:
        if key not in fields:
            self._fail(f'{where}.{key}'.lstrip('.'), 'is missing; limits have no defaults')
        return fields[key]

    def _text(self, fields: Mapping[str, Any], key: str, where: str) -> str:
        value = self._get(fields, key, where)
        if not isinstance(value, str) or not value:
            self._fail(f'{where}.{key}'.lstrip('.'), f'must be text, got {value!r}')
        return str(value)

    def _positive(self, fields: Mapping[str, Any], key: str, where: str) -> float:
        place = f'{where}.{key}'.lstrip('.')
        number = self._number(self._get(fields, key, where), place)
        if number <= 0:
            self._fail(place, f'must be greater than 0, got {number}')
        return number

    def _number(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not math.isfinite(value):
            self._fail(where, f'must be a finite number, got {value!r}')
        return float(value)

    def _fail(self, where: str, problem: str) -> None:
        raise UserError(f'Robot file {self._path}: {where} {problem}.')
