"""What to do, as data: read and written by suites, collection, the demo and the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.amount import DEGREES, METRES, TIMES, Amount
from vla_humanoid_control.tasks.vocabulary import (
    ARGUMENTS,
    FAMILIES,
    HAND_FAMILIES,
    MOVE_M,
    OBJECT_FAMILIES,
    OUT_OF_SCOPE,
    QUANTITY,
    STEPS,
    TASK_KEYS,
    WHICH,
)

FLOOR_SLOTS, TABLE_SLOTS = 5, 4
"""A scene has room for so many movable objects, the target among them."""
MAX_DISTRACTORS = FLOOR_SLOTS + TABLE_SLOTS - 1
"""A scene has room for so many objects beside the target."""
MAX_TWINS = 2
"""In view of the robot there is room for so many further objects like the target."""

_TIME_LIMIT_S = {'move': 12.0, 'turn': 15.0, 'stop': 3.0, 'go_to': 30.0, 'reach': 20.0,
                 'gesture': 12.0, OUT_OF_SCOPE: 3.0, 'pick': 25.0, 'place': 40.0}
_SETTLE_S = {'stop': 0.6, 'pick': 1.2, 'place': 0.8}  # rest and hold are judged over time
_LONGER = {METRES: (MOVE_M, 0.15), DEGREES: (180.0, 15.0)}
"""Unit to how much the time limit is for, and how much more is done in a second at least."""
_BEFORE_REACH = ('reach', 'gesture')
_BETWEEN_STEPS, _BEFORE_AMOUNT, _BEFORE_WHICH = '+', '=', '@'

@dataclass(frozen=True)
class Task:
    """One thing to do; or several, one after the other.

    Attributes:
        family: One of `FAMILIES`, `HAND_FAMILIES`, `OUT_OF_SCOPE`, or `STEPS`.
        arguments: The values of the family's arguments, in order.
        distractors: How many other objects are where the target is: on the table for `reach`, else
            on the floor. What does not fit there is on the other of the two, where otherwise the
            seed decides. None leaves all of it to the seed.
        amount: How much of it; None where the family's own definition says when it is done.
        steps: What to do one after the other, two tasks or more; empty but for `STEPS`.
        twins: How many further objects of the same colour and shape are in the scene: for `go_to`
            in view from the start, for `reach` on the table. For one task with an object only.
        which: Which of them is meant, as the robot sees them at the start, one of `WHICH`; None
            where it is left open, and any of them will do.
    """

    family: str
    arguments: tuple[str, ...] = ()
    distractors: int | None = None
    amount: Amount | None = None
    steps: tuple[Task, ...] = ()
    twins: int = 0
    which: str | None = None

    @property
    def key(self) -> str:
        """For example 'go_to:red:box', 'move:left=2m', or 'turn:left+gesture:wave=3times'.

        The left one of several is 'go_to:red:box@left'; how many there are is not in the key.
        """
        if self.steps:
            return _BETWEEN_STEPS.join(step.key for step in self.steps)
        much = '' if self.amount is None else f'{_BEFORE_AMOUNT}{self.amount}'
        which = '' if self.which is None else f'{_BEFORE_WHICH}{self.which}'
        return ':'.join((self.family, *self.arguments)) + which + much

    @property
    def objects(self) -> tuple[tuple[str, str], ...]:
        """Colour and shape of each object that it names, in order; of one task, no steps."""
        if self.family not in (*OBJECT_FAMILIES, *HAND_FAMILIES):
            return ()
        return tuple(zip(self.arguments[::2], self.arguments[1::2]))

    @property
    def parts(self) -> tuple[Task, ...]:
        """What is to be achieved one after the other: each step, each of several times."""
        if self.steps:
            return tuple(part for step in self.steps for part in step.parts)
        if self.amount is not None and self.amount.unit == TIMES:
            return (replace(self, amount=None),) * int(self.amount.value)
        return (self,)

    @property
    def time_limit_s(self) -> float:
        """Time within which the policy must declare it done [s]; of several, the sum."""
        parts = self.parts
        if parts != (self,):
            return sum(part.time_limit_s for part in parts)
        if self.amount is None:
            return _TIME_LIMIT_S[self.family]
        usual, each_s = _LONGER[self.amount.unit]
        return _TIME_LIMIT_S[self.family] + max(0.0, self.amount.value - usual) / each_s

    @property
    def settle_s(self) -> float:
        """How long after it was declared done success is judged [s].

        Stopping and holding need to be seen, and a way is measured where the base comes to rest.
        """
        last = self.parts[-1]
        return 0.6 if last.amount is not None else _SETTLE_S.get(last.family, 0.0)

    @property
    def preamble(self) -> tuple[str, float] | None:
        """An instruction to be carried out first and for how long [s]: one must move to stop."""
        return ('walk forward', 1.2) if self.family == 'stop' else None

    @staticmethod
    def from_key(key: str) -> Task:
        """The inverse of `key`. Raises UserError for an unknown one."""
        if _BETWEEN_STEPS in key:
            return _in_steps(tuple(Task.from_key(k) for k in key.split(_BETWEEN_STEPS)))
        name, has_amount, amount = key.partition(_BEFORE_AMOUNT)
        name, has_which, which = name.partition(_BEFORE_WHICH)
        family, *arguments = name.split(':')
        names = _arguments(family)
        if len(arguments) != len(names):
            raise UserError(f'Task {family} takes {len(names)} arguments '
                            f'({", ".join(names) or "none"}), got {len(arguments)} in {key!r}.')
        task = Task.from_mapping({'task': family, **dict(zip(names, arguments)),
                                  **({'which': which} if has_which else {})})
        return replace(task, amount=Amount.from_text(family, amount)) if has_amount else task

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`, for YAML and JSON."""
        if self.steps:
            mapping: dict[str, Any] = {'task': STEPS,
                                       'steps': [step._to_step() for step in self.steps]}
        elif self.amount is not None:
            step = self._to_step()
            mapping = {'task': QUANTITY, 'value': step.pop('value'), 'unit': step.pop('unit'),
                       'of': step}
        else:
            mapping = self._to_step()
        if self.distractors is not None:
            mapping['distractors'] = self.distractors
        if self.twins:
            mapping['twins'] = self.twins
        if self.which is not None:
            mapping['which'] = self.which
        return mapping

    def _to_step(self) -> dict[str, Any]:
        """As one of several steps."""
        much = {} if self.amount is None else {'value': self.amount.value,
                                               'unit': self.amount.unit}
        return {'task': self.family, **dict(zip(ARGUMENTS[self.family], self.arguments)), **much}

    @staticmethod
    def from_mapping(mapping: Mapping[str, Any]) -> Task:
        """Read `{task, direction | colour, shape | gesture, distractors}`; other keys are ignored.

        With an object also `{twins, which}`; `which` without `twins` is one of two.
        Or `{task: steps, steps: [{task, ..., value, unit}, ...]}`, where value and unit may be
        missing, or `{task: quantity, of: {task, ...}, value, unit}`.

        Raises:
            UserError: The task or a value is unknown or missing; the message lists what is known.
        """
        family = mapping.get('task')
        if family == STEPS:
            task = _in_steps(_read_steps(mapping.get('steps')))
        elif family == QUANTITY:
            of = _read_part(mapping.get('of'), 'of')
            task = replace(of, amount=Amount.of(of.family, mapping.get('value'),
                                                mapping.get('unit')))
        else:
            task = _read_single(mapping)
        distractors = mapping.get('distractors')
        if distractors is not None and (isinstance(distractors, bool)
                                        or not isinstance(distractors, int)
                                        or not 0 <= distractors <= MAX_DISTRACTORS):
            raise UserError(f'Task {family}: distractors must be 0 to {MAX_DISTRACTORS}, got '
                            f'{distractors!r}.')
        return replace(task, distractors=distractors, **_read_twins(task, mapping))


def _read_twins(task: Task, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """How many of a kind there are, and which is meant. UserError where that cannot be."""
    which = mapping.get('which')
    twins = mapping.get('twins', 0 if which is None else 1)
    if task.family not in OBJECT_FAMILIES or task.amount is not None:
        if twins or which is not None:
            raise UserError(f'Task {task.family}: twins and which are for one task with an object '
                            f'alone, {" or ".join(OBJECT_FAMILIES)}.')
        return {}
    least, most = 0 if which is None else 1, MAX_TWINS
    if isinstance(twins, bool) or not isinstance(twins, int) or not least <= twins <= most:
        raise UserError(f'Task {task.family}: twins must be {least} to {most}, got {twins!r}.')
    known = WHICH[task.family]
    if which is not None and which not in known:
        raise UserError(f'Task {task.family}: which must be one of {", ".join(known)}; got '
                        f'{which!r}.')
    return {'twins': twins, 'which': which}


def _read_single(mapping: Mapping[str, Any]) -> Task:
    """One thing to do, of its family and arguments."""
    family = mapping.get('task')
    values = []
    for name, known in _arguments(family).items():
        value = mapping.get(name)
        if value not in known:
            raise UserError(f'Task {family} needs {name}, one of {", ".join(known)}; '
                            f'got {value!r}.')
        values.append(str(value))
    task = Task(str(family), tuple(values))
    if len(set(task.objects)) < len(task.objects):
        raise UserError(f'Task {family} needs two different objects, got {" ".join(values)}.')
    return task


def _read_part(mapping: Any, where: str, *, amounts: bool = False) -> Task:
    """A task inside of another one, without keys that it does not have."""
    if not isinstance(mapping, Mapping):
        raise UserError(f'{where} must be a mapping such as {{task: turn, direction: left}}, got '
                        f'{mapping!r}.')
    try:
        task = _read_single(mapping)
        known = ('task', *ARGUMENTS[task.family], *(('value', 'unit') if amounts else ()))
        if unknown := [str(key) for key in mapping if key not in known]:
            raise UserError(f'unknown key {", ".join(unknown)}; it has {", ".join(known)}.')
        if 'value' in mapping or 'unit' in mapping:
            task = replace(task, amount=Amount.of(task.family, mapping.get('value'),
                                                  mapping.get('unit')))
    except UserError as error:
        raise UserError(f'{where}: {error}') from None
    return task


def _read_steps(entries: Any) -> tuple[Task, ...]:
    if not isinstance(entries, (list, tuple)):
        raise UserError(f'Task {STEPS} needs steps, a list of tasks; got {entries!r}.')
    return tuple(_read_part(entry, f'step {number}', amounts=True)
                 for number, entry in enumerate(entries, start=1))


def _in_steps(steps: tuple[Task, ...]) -> Task:
    """Several tasks as one; UserError where no robot could do them in one scene."""
    if len(steps) < 2:
        raise UserError(f'Task {STEPS} needs two steps or more, got {len(steps)}.')
    for number, step in enumerate(steps, start=1):
        if step.family not in FAMILIES or step.family == 'stop':
            raise UserError(f'step {number}: {step.family} can be no step; steps are move, turn, '
                            'go_to, reach and gesture.')
        if step.which is not None:
            raise UserError(f'step {number}: which of several is meant can be said of a task '
                            'alone only.')
        if step.family == 'reach' and any(s.family not in _BEFORE_REACH for s in steps[:number]):
            raise UserError(f'step {number}: reach begins at the table, where the robot starts: '
                            'only gestures and other reaching may come before it.')
    named = {family: {step.arguments for step in steps if step.family == family}
             for family in OBJECT_FAMILIES}
    for family, slots in zip(OBJECT_FAMILIES, (FLOOR_SLOTS, TABLE_SLOTS)):
        if len(named[family]) > slots:
            raise UserError(f'{family} has room for {slots} objects in a scene, the steps name '
                            f'{len(named[family])}.')
    if both := sorted(named['go_to'] & named['reach']):
        raise UserError(f'the {" ".join(both[0])} cannot stand on the floor, for go_to, and on '
                        'the table, for reach.')
    return Task(STEPS, steps=steps)


def _arguments(family: Any) -> Mapping[str, tuple[str, ...]]:
    """The arguments of a family; UserError for an unknown one."""
    if not isinstance(family, str) or family not in ARGUMENTS:
        raise UserError(f'Unknown task {family!r}. Known tasks: '
                        f'{", ".join((*ARGUMENTS, STEPS, QUANTITY))}.')
    return ARGUMENTS[family]


def check_keys(keys: Iterable[str]) -> None:
    """Refuse keys that are no tasks that can be drawn. Raises UserError."""
    for key in keys:
        Task.from_key(key)  # says what is wrong with it
        if key not in TASK_KEYS:
            raise UserError(f'--tasks {key}: nobody can show it, or be judged at it. Give tasks '
                            'such as gesture:wave.')
