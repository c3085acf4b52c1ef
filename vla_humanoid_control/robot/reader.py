"""Reads robot files: everything is required, and what is not known is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_humanoid_control.robot.anatomy_reader import ANATOMY, OPTICS, AnatomyReader
from vla_humanoid_control.robot.packages import located
from vla_humanoid_control.robot.spec import (
    LEAST_COMMAND_TIMEOUT_S,
    MAX_TILT_RAD,
    MAX_TIMEOUT_S,
    MOST_COMMAND_TIMEOUT_S,
    MOST_LAG_S,
    MOUNTED,
    SENSORS,
    JointSpec,
    MotionLimits,
    RobotSpec,
    SensorSpec,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import is_name
from vla_humanoid_control.support.resources import config_path, read_yaml
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


class _Reader(AnatomyReader):
    """Checks a parsed robot file."""

    def robot(self, document: Any) -> RobotSpec:
        root = self.mapping(document, 'top level', [
            'name', 'mjcf', 'base_frame', 'footprint_radius_m', 'max_tilt_rad',
            'command_timeout_s', 'base', 'joints', 'cameras', 'sensors', *ANATOMY])
        joints = self.mapping(self.get(root, 'joints', ''), 'joints')
        axes = {channel: channel.split('/')[1] for channel in BASE_CHANNELS}
        base = self.mapping(self.get(root, 'base', ''), 'base', list(axes.values()))
        driven = {axis: self.mapping(self.get(base, axis, 'base'), f'base.{axis}',
                                     (*_MOTION, 'lag_s')) for axis in axes.values()}
        cameras = self.mapping(self.get(root, 'cameras', ''), 'cameras')
        sensors = self.mapping(self.get(root, 'sensors', ''), 'sensors', SENSORS)
        self.get(sensors, 'joint_states', 'sensors')
        tilt_rad = self.positive(root, 'max_tilt_rad', '')
        if tilt_rad >= MAX_TILT_RAD:
            self.fail('max_tilt_rad', f'must be less than {MAX_TILT_RAD:.3f}, got {tilt_rad:g}')
        timeout_s = self.positive(root, 'command_timeout_s', '')
        if not LEAST_COMMAND_TIMEOUT_S <= timeout_s <= MOST_COMMAND_TIMEOUT_S:
            self.fail('command_timeout_s', f'must be in [{LEAST_COMMAND_TIMEOUT_S:g}, '
                       f'{MOST_COMMAND_TIMEOUT_S:g}], got {timeout_s:g}')
        found = {n: self._joint(n, j) for n, j in joints.items()}
        return RobotSpec(
            name=self.text(root, 'name', ''),
            mjcf=self._mjcf(root),
            joints=tuple(found.values()),
            base={c: self._motion(driven[axis], f'base.{axis}') for c, axis in axes.items()},
            base_lag_s=tuple(self._lag(driven[axis], f'base.{axis}') for axis in axes.values()),
            footprint_radius_m=self.positive(root, 'footprint_radius_m', ''),
            max_tilt_rad=tilt_rad,
            command_timeout_s=timeout_s,
            cameras={n: self._camera(f, f'cameras.{n}') for n, f in cameras.items()},
            file=self.path,
            sensors={n: self._sensor(f, f'sensors.{n}', n in MOUNTED)
                     for n, f in sensors.items()},
            base_frame=self._frame(root, 'base_frame', '') if 'base_frame' in root
            else RobotSpec.base_frame,
            **self.anatomy(root, {n: (j.lower, j.upper) for n, j in found.items()}),
        )

    def _mjcf(self, root: Mapping[str, Any]) -> str | None:
        if root.get('mjcf') is None:
            return None
        name = self.text(root, 'mjcf', '')
        try:
            located(name)
        except UserError as error:
            self.fail('mjcf', f'names a model that does not exist: {error}; correct it, or remove '
                      'it to go without the posture check')
        return name

    def _joint(self, name: str, value: Any) -> JointSpec:
        where = f'joints.{name}'
        fields = self.mapping(value, where, ['position', 'home', *_MOTION, 'controlled'])
        bounds = self.get(fields, 'position', where)
        if not isinstance(bounds, list) or len(bounds) != 2:
            self.fail(f'{where}.position', 'must be [lower, upper]')
        lower, upper = (self.number(b, f'{where}.position') for b in bounds)
        home = self.number(self.get(fields, 'home', where), f'{where}.home')
        if not lower < upper or not lower <= home <= upper:
            self.fail(where, f'needs lower < upper with home between them, got '
                              f'[{lower}, {upper}] and {home}')
        controlled = fields.get('controlled', True)
        if not isinstance(controlled, bool):
            self.fail(f'{where}.controlled', 'must be true or false')
        return JointSpec(name, lower, upper, home, self._motion(fields, where), controlled)

    def _motion(self, fields: Mapping[str, Any], where: str) -> MotionLimits:
        return MotionLimits(*(self.positive(fields, key, where) for key in _MOTION))

    def _lag(self, fields: Mapping[str, Any], where: str) -> float:
        lag_s = self.positive(fields, 'lag_s', where) if 'lag_s' in fields else 0.0
        if lag_s > MOST_LAG_S:
            self.fail(f'{where}.lag_s', f'must be {MOST_LAG_S:g} or less, got {lag_s:g}')
        return lag_s

    def _camera(self, value: Any, where: str) -> SensorSpec:
        fields = self.mapping(value, where, ['topic', 'timeout_s', *OPTICS])
        seen = {key: fields[key] for key in fields if key in OPTICS}
        sensor = self._sensor({k: v for k, v in fields.items() if k not in seen}, where)
        return SensorSpec(sensor.topic, sensor.timeout_s,
                          optics=self.optics(seen, where) if seen else None)

    def _sensor(self, value: Any, where: str, mounted: bool = False) -> SensorSpec:
        mounting = ('frame', 'mount') if mounted else ()
        fields = self.mapping(value, where, ['topic', 'timeout_s', *mounting])
        topic = self.text(fields, 'topic', where)
        if not is_name(topic):
            self.fail(f'{where}.topic', 'must be the name of a topic, such as scan, or /scan '
                                         f'for one outside of the namespace, got {topic!r}')
        timeout_s = self.positive(fields, 'timeout_s', where)
        if timeout_s > MAX_TIMEOUT_S:
            self.fail(f'{where}.timeout_s',
                       f'must be {MAX_TIMEOUT_S:g} s or less, got {timeout_s:g}')
        # What an image shows is never in the frame of the base: its axes are the camera's.
        if not mounted or (where != 'sensors.depth' and not fields.keys() & {*mounting}):
            return SensorSpec(topic, timeout_s)
        return SensorSpec(topic, timeout_s, self._frame(fields, 'frame', where),
                          self.mount(fields, where))

    def _frame(self, fields: Mapping[str, Any], key: str, where: str) -> str:
        name = self.text(fields, key, where).strip('/')
        if not name or any(c.isspace() for c in name):
            self.fail(f'{where}.{key}'.lstrip('.'), f'must be the name of a frame, got {name!r}')
        return name
