"""One thing to do, as data: read and written by suites, collection, the demo and the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import ARGUMENTS, OUT_OF_SCOPE, TASK_KEYS

FLOOR_SLOTS, TABLE_SLOTS = 5, 4
"""A scene has room for so many movable objects, the target among them."""
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


def check_keys(keys: Iterable[str]) -> None:
    """Refuse keys that are no tasks that can be drawn. Raises UserError."""
    for key in keys:
        Task.from_key(key)  # says what is wrong with it
        if key not in TASK_KEYS:
            raise UserError(f'--tasks {key}: nobody can show it, or be judged at it. Give tasks '
                            'such as gesture:wave.')
