"""Reads the sections of a robot file that say what the robot is made of; see `anatomy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_humanoid_control.robot.anatomy import (
    BODIES,
    HANDS,
    LEAST_ON_TABLE,
    LEGGED,
    NEAREST_M,
    PLANAR,
    EndEffectorSpec,
    Gestures,
    Optics,
    SimulationSpec,
    WorkplaceSpec,
)
from vla_humanoid_control.robot.fields import Fields
from vla_humanoid_control.tasks.task import TABLE_SLOTS

ANATOMY = ('body', 'end_effectors', 'support', 'postures', 'swing', 'looks', 'simulation')
"""Keys of a robot file that are read here; a robot that is not simulated may lack them."""
OPTICS = ('size', 'fovy_deg', 'body', 'mount')
MAX_MOUNT = 10.0
"""No sensor is mounted further from the base [m], or turned by more [rad]."""

_POSE = ('x', 'y', 'z', 'roll', 'pitch', 'yaw')
_MOST_PIXELS, _MOST_DEG = 4096, 170.0

Ranges = Mapping[str, tuple[float, float]]
"""Joint name to its position limits."""


class AnatomyReader(Fields):
    """Checks those sections."""

    def anatomy(self, root: Mapping[str, Any], joints: Ranges) -> dict[str, Any]:
        """Fields of `RobotSpec` that follow from them; those that are absent keep defaults."""
        found: dict[str, Any] = {}
        if 'body' in root:
            found['body'] = self._one_of(root, 'body', '', BODIES)
        if 'support' in root:
            found['support'] = self.texts(root, 'support', '')
        if 'end_effectors' in root:
            hands = self.mapping(root['end_effectors'], 'end_effectors', HANDS)
            found['end_effectors'] = {
                side: self._hand(hand, f'end_effectors.{side}', joints)
                for side, hand in hands.items()}
        found['gestures'] = Gestures(
            self._postures(root, 'postures', joints),
            self._joints(root['swing'], 'swing', joints, within=False) if 'swing' in root else {},
            self._postures(root, 'looks', joints))
        if 'simulation' in root:
            found['simulation'] = self._simulation(root, found.get('body', PLANAR))
        return found

    def optics(self, fields: Mapping[str, Any], where: str) -> Optics:
        """What a camera sees and where it is."""
        width, height = self.numbers(fields, 'size', where, ('width', 'height'))
        if not all(1 <= v <= _MOST_PIXELS and v == int(v) for v in (width, height)):
            self.fail(f'{where}.size', f'must be whole numbers of 1 to {_MOST_PIXELS}')
        angle = self.positive(fields, 'fovy_deg', where)
        if angle > _MOST_DEG:
            self.fail(f'{where}.fovy_deg', f'must be {_MOST_DEG:g} or less, got {angle:g}')
        return Optics((int(width), int(height)), angle, self.text(fields, 'body', where),
                      self.mount(fields, where))

    def mount(self, fields: Mapping[str, Any], where: str) -> tuple[float, ...]:
        """Where a sensor is: metres, then radians."""
        numbers = self.numbers(fields, 'mount', where, _POSE)
        if max(map(abs, numbers)) > MAX_MOUNT:
            self.fail(f'{where}.mount', f'must be in metres and radians, up to {MAX_MOUNT:g}, got '
                                        f'{fields["mount"]}')
        return numbers

    def _hand(self, value: Any, where: str, joints: Ranges) -> EndEffectorSpec:
        fields = self.mapping(value, where, ('site', 'shoulder', 'joints', 'body', 'at', 'grip'))
        names = self.texts(fields, 'joints', where)
        for name in names:
            if name not in joints:
                self.fail(f'{where}.joints', f'names {name}, which is no joint of the robot')
        site, shoulder = (self.text(fields, key, where) for key in ('site', 'shoulder'))
        grip = self._joints(fields['grip'], f'{where}.grip', joints) if 'grip' in fields else {}
        if not fields.keys() & {'body', 'at'}:
            return EndEffectorSpec(site, shoulder, names, grip=grip)
        return EndEffectorSpec(site, shoulder, names, self.text(fields, 'body', where),
                               self.numbers(fields, 'at', where, _POSE[:3]), grip)

    def _postures(self, root: Mapping[str, Any], key: str,
                  joints: Ranges) -> dict[str, dict[str, float]]:
        if key not in root:
            return {}
        return {name: self._joints(posture, f'{key}.{name}', joints)
                for name, posture in self.mapping(root[key], key).items()}

    def _joints(self, value: Any, where: str, joints: Ranges,
                within: bool = True) -> dict[str, float]:
        found = {}
        for name, number in self.mapping(value, where).items():
            place = f'{where}.{name}'
            if name not in joints:
                self.fail(place, 'is no joint of the robot')
            found[name] = self.number(number, place)
            lower, upper = joints[name]
            if within and not lower <= found[name] <= upper:
                self.fail(place, f'must be in [{lower:g}, {upper:g}], got {found[name]:g}')
        return found

    def _simulation(self, root: Mapping[str, Any], body: str) -> SimulationSpec:
        legged = ('walking', 'mesh_share', 'gains') if body == LEGGED else ()
        fields = self.mapping(root['simulation'], 'simulation', ('trunk', 'imu', 'workplace',
                                                                    *legged))
        trunk, imu = (self.text(fields, key, 'simulation') for key in ('trunk', 'imu'))
        place = self._workplace(fields['workplace']) if 'workplace' in fields \
            else WorkplaceSpec()
        if not legged:
            return SimulationSpec(trunk, imu, place)
        share = self.positive(fields, 'mesh_share', 'simulation')
        if share > 1:
            self.fail('simulation.mesh_share', f'must be 1 or less, got {share:g}')
        gains = self.numbers(fields, 'gains', 'simulation', ('stiffness', 'damping')) \
            if 'gains' in fields else None
        if gains is not None and min(gains) <= 0:
            self.fail('simulation.gains', f'must be positive, got {fields["gains"]}')
        return SimulationSpec(trunk, imu, place, self.text(fields, 'walking', 'simulation'),
                              share, gains)

    def _workplace(self, value: Any) -> WorkplaceSpec:
        where = 'simulation.workplace'
        single = ('height_m', 'stand_off_m', 'aside_m', 'most', 'sight_aside')
        fields = self.mapping(value, where, (*single, 'depth_m', 'sight_m'))
        numbers = {key: self.positive(fields, key, where) for key in single}
        most = int(numbers.pop('most'))
        if most != fields['most'] or not LEAST_ON_TABLE <= most <= TABLE_SLOTS:
            self.fail(f'{where}.most', f'must be a whole number of {LEAST_ON_TABLE} to '
                                       f'{TABLE_SLOTS}, got {fields["most"]}')
        ranges = {key: self.numbers(fields, key, where, ('least', 'most'))
                  for key in ('depth_m', 'sight_m')}
        for key, (least, most_m) in ranges.items():
            if not 0 < least < most_m:
                self.fail(f'{where}.{key}', f'must rise from above 0, got {fields[key]}')
        if ranges['sight_m'][1] <= NEAREST_M:
            self.fail(f'{where}.sight_m', f'must end beyond {NEAREST_M} m, where the robot begins '
                                          f'to go to things, got {fields["sight_m"]}')
        return WorkplaceSpec(
            numbers['height_m'], numbers['stand_off_m'], ranges['depth_m'], numbers['aside_m'],
            most, ranges['sight_m'], numbers['sight_aside'])

    def _one_of(self, root: Mapping[str, Any], key: str, where: str,
                known: tuple[str, ...]) -> str:
        value = self.text(root, key, where)
        if value not in known:
            self.fail(f'{where}.{key}'.lstrip('.'), f'must be one of {", ".join(known)}, got '
                                                    f'{value!r}')
        return value
