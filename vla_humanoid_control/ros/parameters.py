"""ROS parameters from frozen dataclasses: declared once, checked on every change.

A field of a dataclass is a parameter. Its default is the field's. Its description is the line of
that name below `Attributes:` in the class's docstring, or the metadata's `description`; its bounds
are the metadata's `lower` and `upper` (see `bounds`). What else must hold is said in
`__post_init__`, by raising ValueError or UserError.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import docs_path

T = TypeVar('T')

Veto = Callable[[Any, frozenset[str]], str]
"""Told the new dataclass and the names that changed; says why not, or '' to accept."""

Apply = Callable[[Any, frozenset[str]], object]
"""Told the new dataclass and the names that changed."""


class Parameters(Generic[T]):
    """One dataclass, declared as parameters of a node and kept up to date.

    Args:
        node: Whose parameters they are.
        kind: A frozen dataclass with fields of bool, int, float, str, or a tuple of float or str.
        defaults: Instance to take the defaults from, where they come from elsewhere.
        judge: Asked with the other checks, before any veto.
        veto: Asked after all checks passed. Like a check it must change nothing: whoever is asked
            after it may refuse the request.
        apply: Told once a request has taken effect.
        prefix: Put before each name, such as 'gate.'.

    Attributes:
        value: What is in force.
        chosen: Fields that a person has set, at the start or since.

    Raises:
        UserError: The values given at start are nonsense; says which and why.
    """

    def __init__(self, node: Node, kind: type[T], *, defaults: T | None = None,
                 judge: Veto | None = None, veto: Veto | None = None,
                 apply: Apply | None = None, prefix: str = '') -> None:
        self._fields = {prefix + f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        self._node, self._prefix = node, prefix
        self._judge, self._veto, self._apply = judge, veto, apply
        self.chosen = frozenset(field.name for name, field in self._fields.items()
                                if name in node._parameter_overrides)
        instance: Any = kind() if defaults is None else defaults
        descriptions = _descriptions(kind)
        values = {}
        for name, field in self._fields.items():
            default = getattr(instance, field.name)
            try:
                parameter = node.declare_parameter(
                    name, list(default) if isinstance(default, tuple) else default,
                    _descriptor(field, default, descriptions))
            except Exception as error:  # rclpy raises several kinds for a bad override
                raise UserError(f'{node.get_name()}: parameter {name}: {error}') from error
            values[field.name] = _checked(node, name, field, default, parameter.value)
        try:
            self.value: T = kind(**values)
        except (ValueError, UserError) as error:
            raise UserError(f'{node.get_name()}: {error}') from error
        # One request may change several dataclasses of a node: all of them, or none.
        requests: _Requests | None = vars(node).get('_parameter_requests')
        if requests is None:
            requests = vars(node)['_parameter_requests'] = _Requests(node)
        requests.groups.append(self)

    def plan(self, changes: Mapping[str, Any]) -> tuple[T, frozenset[str]] | None:
        """What a request makes of this dataclass, and of which fields; None where of none.

        Raises:
            ValueError, UserError: The request is nonsense, or judged to be; says why.
        """
        mine = {name: value for name, value in changes.items() if name in self._fields}
        if not mine:
            return None
        new, names = self._changed(mine), frozenset(self._fields[n].name for n in mine)
        if self._judge and (reason := self._judge(new, names)):
            raise ValueError(reason)
        return new, names

    def veto(self, new: T, names: frozenset[str]) -> str:
        """Why what `plan` gave must not take effect; '' where it may."""
        return self._veto(new, names) if self._veto else ''

    def take(self, new: T, names: frozenset[str]) -> None:
        """What `plan` gave takes effect."""
        self.value = new
        self.chosen |= names
        if self._apply:
            self._apply(new, names)

    def renew(self, defaults: T) -> None:
        """Take other defaults, for whatever no person has set.

        Raises:
            UserError: They do not go with what a person has set; says why.
        """
        chosen = self.chosen
        values = {name: getattr(defaults, field.name) for name, field in self._fields.items()
                  if field.name not in chosen and not field.metadata.get('fixed')}
        result = self._node.set_parameters_atomically([
            Parameter(name, value=list(value) if isinstance(value, tuple) else value)
            for name, value in values.items()])
        self.chosen = chosen
        if not result.successful:
            names = ', '.join(self._prefix + name for name in sorted(chosen))
            raise UserError(f'{self._node.get_name()}: {result.reason}. Its other defaults have '
                            f'changed: set {names} to go with them, or leave them out.')

    def _changed(self, changes: Mapping[str, Any]) -> T:
        values = {}
        for name, value in changes.items():
            field = self._fields[name]
            if field.metadata.get('fixed'):
                raise ValueError(f'{name} can only be set at start')
            values[field.name] = _validated(name, field, getattr(self.value, field.name), value)
        # replace() runs __post_init__, where the conditions between fields are checked.
        return dataclasses.replace(self.value, **values)  # type: ignore[type-var]


SHARED = frozenset({'robot', 'policy', 'trust', 'compressed', 'stamped_twist',
                    'joint_command_type', 'array_commands'})
"""Parameters of several nodes: given to all of them, below `/**`, whoever has none ignores it."""


def refuse_unknown(node: Node) -> None:
    """Refuse values given at start for parameters that a node does not have.

    ROS ignores them, and so a threshold with a slip of the pen would stay as it was. Call it once
    all parameters are declared.

    Raises:
        UserError: There are such values; says what they may have meant.
    """
    unknown = sorted(name for name in node._parameter_overrides
                     if not node.has_parameter(name) and name not in SHARED
                     and not name.startswith('qos_overrides.'))
    if not unknown:
        return
    known = sorted(p for p in node.get_parameters_by_prefix('') if not p.startswith('qos_'))
    hints = [with_nearest(name, known) for name in unknown]
    raise UserError(f'{node.get_name()} has no parameter {", ".join(hints)}. '
                    f'{docs_path("parameters.md")} lists those of each node; what only one node '
                    'has belongs below its name, and not below /**.')


class _Requests:
    """Takes requests to a node's parameters: each takes effect whole, or not at all.

    Where rclpy tells when a request has passed all that it asks (from Iron), nothing takes effect
    before: its own parameters, such as use_sim_time, may be refused after these were accepted.
    """

    def __init__(self, node: Node) -> None:
        self.groups: list[Parameters[Any]] = []
        self._accepted: list[tuple[Parameters[Any], tuple[Any, frozenset[str]]]] = []
        self._is_told = hasattr(node, 'add_post_set_parameters_callback')
        node.add_on_set_parameters_callback(self._judge)
        if self._is_told:
            node.add_post_set_parameters_callback(self._take)

    def _judge(self, changes: list[Parameter]) -> SetParametersResult:
        self._accepted = []
        values = {p.name: p.value for p in changes}
        try:
            plans = [(group, plan) for group in self.groups if (plan := group.plan(values))]
        except (ValueError, UserError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        for group, plan in plans:
            if reason := group.veto(*plan):
                return SetParametersResult(successful=False, reason=reason)
        self._accepted = plans
        if not self._is_told:
            self._take(changes)
        return SetParametersResult(successful=True)

    def _take(self, _changes: list[Parameter]) -> None:
        accepted, self._accepted = self._accepted, []
        for group, plan in accepted:
            group.take(*plan)


def _checked(node: Node, name: str, field: dataclasses.Field[Any], default: Any,
             value: Any) -> Any:
    try:
        return _validated(name, field, default, value)
    except ValueError as error:
        raise UserError(f'{node.get_name()}: {error}') from error


def _validated(name: str, field: dataclasses.Field[Any], example: Any, value: Any) -> Any:
    if isinstance(example, tuple):
        if isinstance(value, (str, bytes)) or not hasattr(value, '__len__'):
            raise ValueError(f'{name} must be a list, got {value!r}')
        kind = type(example[0]) if example else str
        values = tuple(_scalar(name, field, kind, v) for v in value)
        # YAML cannot say what an empty list is a list of; [''] stands for it.
        return values if kind is not str else tuple(v for v in values if v)
    return _scalar(name, field, type(example), value)


def _scalar(name: str, field: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f'{name} must be a {kind.__name__}, got {value!r:.60}')
    if kind is float and not math.isfinite(value):
        raise ValueError(f'{name} must be finite, got {value}')
    lower, upper = _bounds(field)
    if kind in (int, float) and not lower <= value <= upper:
        raise ValueError(f'{name} must be in [{lower:g}, {upper:g}], got {value:g}')
    return value


def _bounds(field: dataclasses.Field[Any]) -> tuple[float, float]:
    return field.metadata.get('lower', -math.inf), field.metadata.get('upper', math.inf)


def _descriptor(field: dataclasses.Field[Any], default: Any,
                descriptions: Mapping[str, str]) -> ParameterDescriptor:
    # Not `read_only` for a fixed field: rclpy would refuse a change without saying why. The type
    # of a float is left open, so that a person may write 1 for 1.0; `_scalar` checks it.
    text = descriptions.get(field.name) or field.metadata.get('description', '')
    descriptor = ParameterDescriptor(description=text, dynamic_typing=isinstance(default, float))
    lower, upper = _bounds(field)
    if math.isfinite(lower) and math.isfinite(upper):
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(lower),
                                                                  to_value=float(upper))]
        elif isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(lower), to_value=int(upper),
                                                     step=1)]
    return descriptor


def _descriptions(kind: type) -> dict[str, str]:
    """Field name to its text below `Attributes:` in the docstring."""
    lines = (inspect.getdoc(kind) or '').partition('Attributes:')[2].splitlines()
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        start = re.match(r'    (\w+(?:, \w+)*): (.*)', line)
        if start:
            names = start[1].split(', ')
            texts.update(dict.fromkeys(names, start[2].strip()))
        elif line.startswith('     '):
            texts.update({n: f'{texts[n]} {line.strip()}' for n in names})
        elif line.strip():
            break
    return texts
