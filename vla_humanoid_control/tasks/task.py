"""Tasks: what can be asked, and what counts as success. The one home of both.

Collection, evaluation, the demo and the Gymnasium environment all use these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.scene import COLOURS, FLOOR_SLOTS, SHAPES, TABLE_SLOTS
from vla_humanoid_control.support.errors import UserError

if TYPE_CHECKING:
    from vla_humanoid_control.simulation.world import World

MOVES = {'forward': (1.0, 0.0), 'backward': (-1.0, 0.0), 'left': (0.0, 1.0), 'right': (0.0, -1.0)}
TURNS = ('left', 'right', 'around')
GESTURES = ('wave', 'raise_left', 'raise_right', 'look_left', 'look_right', 'look_up', 'look_down')
FAMILIES = ('move', 'turn', 'stop', 'go_to', 'reach', 'gesture')
OUT_OF_SCOPE = 'out_of_scope'
"""In the place of a family: what the robot cannot do and must not try. For evaluation only."""
ARGUMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    'move': {'direction': tuple(MOVES)}, 'turn': {'direction': TURNS}, 'stop': {},
    'go_to': {'colour': COLOURS, 'shape': SHAPES},
    'reach': {'colour': COLOURS, 'shape': SHAPES}, 'gesture': {'gesture': GESTURES},
    OUT_OF_SCOPE: {}}
"""Family to its arguments, in order, and the values of each."""

MAX_DISTRACTORS = FLOOR_SLOTS + TABLE_SLOTS - 1
"""A scene has room for so many objects beside the target."""

_TIME_LIMIT_S = {'move': 12.0, 'turn': 15.0, 'stop': 3.0, 'go_to': 30.0, 'reach': 20.0,
                 'gesture': 12.0, OUT_OF_SCOPE: 3.0}


@dataclass(frozen=True)
class Task:
    """One thing to do.

    Attributes:
        family: One of `FAMILIES`, or `OUT_OF_SCOPE`.
        arguments: The values of the family's arguments, in order.
        distractors: How many other objects are where the target is: on the table for `reach`, else
            on the floor. What does not fit there is on the other of the two, where otherwise the
            seed decides. None leaves all of it to the seed.
    """

    family: str
    arguments: tuple[str, ...] = ()
    distractors: int | None = None

    @property
    def key(self) -> str:
        """For example 'go_to:red:box'."""
        return ':'.join((self.family, *self.arguments))

    @property
    def time_limit_s(self) -> float:
        """Time within which the policy must declare it done [s]."""
        return _TIME_LIMIT_S[self.family]

    @property
    def settle_s(self) -> float:
        """How long after it was declared done success is judged [s]: stopping needs to be seen."""
        return 0.6 if self.family == 'stop' else 0.0

    @property
    def preamble(self) -> tuple[str, float] | None:
        """An instruction to be carried out first and for how long [s]: one must move to stop."""
        return ('walk forward', 1.2) if self.family == 'stop' else None

    @staticmethod
    def from_key(key: str) -> Task:
        """The inverse of `key`. Raises UserError for an unknown one."""
        family, *arguments = key.split(':')
        names = _arguments(family)
        if len(arguments) != len(names):
            raise UserError(f'Task {family} takes {len(names)} arguments '
                            f'({", ".join(names) or "none"}), got {len(arguments)} in {key!r}.')
        return Task.from_mapping({'task': family, **dict(zip(names, arguments))})

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`, for YAML and JSON."""
        mapping: dict[str, Any] = {'task': self.family,
                                   **dict(zip(ARGUMENTS[self.family], self.arguments))}
        if self.distractors is not None:
            mapping['distractors'] = self.distractors
        return mapping

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> Task:
        """Read `{task, direction | colour, shape | gesture, distractors}`; other keys are ignored.

        Raises:
            UserError: The task or a value is unknown or missing; the message lists what is known.
        """
        family = mapping.get('task')
        values = []
        for name, known in _arguments(family).items():
            value = mapping.get(name)
            if value not in known:
                raise UserError(f'Task {family} needs {name}, one of {", ".join(known)}; '
                                f'got {value!r}.')
            values.append(str(value))
        distractors = mapping.get('distractors')
        if distractors is not None and (isinstance(distractors, bool)
                                        or not isinstance(distractors, int)
                                        or not 0 <= distractors <= MAX_DISTRACTORS):
            raise UserError(f'Task {family}: distractors must be 0 to {MAX_DISTRACTORS}, got '
                            f'{distractors!r}.')
        return Task(str(family), tuple(values), distractors)


def _arguments(family: Any) -> Mapping[str, tuple[str, ...]]:
    """The arguments of a family; UserError for an unknown one."""
    if not isinstance(family, str) or family not in ARGUMENTS:
        raise UserError(f'Unknown task {family!r}. Known tasks: {", ".join(ARGUMENTS)}.')
    return ARGUMENTS[family]


def all_task_keys() -> list[str]:
    """Every task there is, in a fixed order."""
    keys = [f'move:{d}' for d in MOVES] + [f'turn:{d}' for d in TURNS] + ['stop']
    keys += [f'{family}:{c}:{s}' for family in ('go_to', 'reach') for c in COLOURS for s in SHAPES]
    return keys + [f'gesture:{g}' for g in GESTURES]


class TaskMonitor:
    """Watches one episode from the moment of its instruction, and says whether it succeeded."""

    def __init__(self, task: Task, world: World) -> None:
        """Begin to watch.

        Raises:
            UserError: The task's object is not in the scene.
        """
        self.task = task
        self._start_s = world.time_s
        self._start = world.base_pose()
        self._turned = 0.0
        self._last_yaw = self._start[2]
        self._last_fast_s = self._start_s
        self._waves = _WaveCounter()
        if task.family in ('go_to', 'reach'):
            self._target = world.find(*task.arguments)
        self._objects = world.object_poses()

    def update(self, world: World) -> None:
        """Look again. Call at every control step (20 ms)."""
        yaw = world.base_pose()[2]
        self._turned += yaw - self._last_yaw
        self._last_yaw = yaw
        if np.linalg.norm(world.base_twist()[:2]) >= 0.05:
            self._last_fast_s = world.time_s
        if self.task.key == 'gesture:wave':
            self._waves.update(world)

    def success(self, world: World) -> bool:
        """Whether the task is accomplished right now, by the definitions of this module."""
        family = self.task.family
        if family == 'move':
            return self._moved(world)
        if family == 'turn':
            return self._has_turned()
        if family == 'stop':
            return self._last_fast_s - self._start_s <= 0.5
        if family == 'go_to':
            return self._at_object(world) and not self.knocked_over(world)
        if family == 'reach':
            return self._hand_at_object(world) and not self.knocked_over(world)
        return family == 'gesture' and self._gestured(world)

    def knocked_over(self, world: World) -> bool:
        """Whether any object tipped by over 35° or was pushed by over half its width and 5 cm."""
        for placed, before, now in zip(world.objects, self._objects, world.object_poses()):
            shift = float(np.linalg.norm(now[:3] - before[:3]))
            tilt = np.arccos(np.clip(1 - 2 * (now[4] ** 2 + now[5] ** 2), -1, 1))
            if shift > placed.size.radius + 0.05 or (placed.shape != 'ball' and tilt > 0.61):
                return True
        return False

    def _moved(self, world: World) -> bool:
        shift = world.base_pose()[:2] - self._start[:2]
        cos, sin = np.cos(self._start[2]), np.sin(self._start[2])
        forward, left = cos * shift[0] + sin * shift[1], cos * shift[1] - sin * shift[0]
        direction = MOVES[self.task.arguments[0]]
        along = forward * direction[0] + left * direction[1]
        across = abs(forward * direction[1] - left * direction[0])
        return bool(along >= 0.5 and across < 0.2)

    def _has_turned(self) -> bool:
        direction = self.task.arguments[0]
        degrees = np.degrees(self._turned)
        if direction == 'around':
            return bool(abs(abs(degrees) - 180) <= 25)
        return bool((degrees if direction == 'left' else -degrees) >= 45)

    def _at_object(self, world: World) -> bool:
        pose, target = world.base_pose(), world.object_poses()[self._target]
        offset = target[:2] - pose[:2]
        bearing = wrap(np.arctan2(offset[1], offset[0]) - pose[2])
        return bool(np.linalg.norm(offset) <= 0.8 and abs(bearing) <= np.radians(30))

    def _hand_at_object(self, world: World) -> bool:
        return min(world.hand_distance(side, self._target) for side in ('left', 'right')) <= 0.06

    def _gestured(self, world: World) -> bool:
        joints = world.joint_reading().positions
        gesture = self.task.arguments[0]
        if gesture == 'wave':
            return self._waves.count >= 3
        if gesture.startswith('raise'):
            side = gesture.split('_')[1]
            return bool(world.hand_position(side)[2] >= world.shoulder_height(side) + 0.25)
        return {'look_left': joints['neck_yaw'] >= 0.4, 'look_right': joints['neck_yaw'] <= -0.4,
                'look_up': joints['neck_pitch'] <= -0.15,
                'look_down': joints['neck_pitch'] >= 0.5}[gesture]


class _WaveCounter:
    """Counts swings of 0.08 m or more of a raised hand, to either side."""

    def __init__(self) -> None:
        self.count = 0
        self._side: str | None = None
        self._turning_point = 0.0
        self._sign = 0

    def update(self, world: World) -> None:
        raised = [s for s in ('left', 'right')
                  if world.hand_position(s)[2] > world.shoulder_height(s) + 0.05]
        if not raised or (self._side is not None and self._side not in raised):
            self._side, self.count, self._sign = None, 0, 0
            return
        lateral = world.hand_lateral(raised[0] if self._side is None else self._side)
        if self._side is None:
            self._side, self._turning_point = raised[0], lateral
            return
        swing = lateral - self._turning_point
        if self._sign * swing > 0 or (self._sign == 0 and abs(swing) < 0.08):
            if self._sign != 0:
                self._turning_point = lateral
        elif abs(swing) >= 0.08:
            self.count += 1
            self._sign = int(np.sign(swing))
            self._turning_point = lateral


def wrap(angle: float | NDArray[np.float64]) -> float:
    """An angle in (-pi, pi] [rad]."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
