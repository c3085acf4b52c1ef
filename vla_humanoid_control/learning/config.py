"""Reading training configurations into their dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from vla_humanoid_control.support.errors import UserError, with_nearest
from vla_humanoid_control.support.resources import config_path, read_yaml

T = TypeVar('T')

_ADD_IT = 'the files in config/train/ have every setting with its meaning'


def load_training_config(kind: type[T], name_or_path: str, **overrides: Any) -> T:
    """Read a YAML file of `config/train/`, or any other, into a frozen dataclass.

    Args:
        kind: The dataclass, which checks its bounds itself. Its fields are numbers, mappings from
            names to numbers (`bounds.required_each`), and dataclasses of the same kind.
        name_or_path: Name in `config/train/`, or path of a YAML file.
        **overrides: Values to replace, where not None.

    Raises:
        UserError: The file is missing, or a setting is unknown, missing, of another type, or
            outside its bounds.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('train', f'{name_or_path}.yaml')
    data = read_yaml(path, 'Training configuration',
                     'Give a name in config/train/ or the path of a YAML file.')
    if isinstance(data, dict):
        data.update({key: value for key, value in overrides.items() if value is not None})
    try:
        return _fill(kind, data, '')
    except ValueError as error:
        raise UserError(f'Training configuration {path}: {error}.') from None


def _fill(kind: type[T], data: Any, where: str) -> T:
    """The dataclass of a mapping; ValueError says which setting is wrong, and how."""
    types, known = get_type_hints(kind), {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    data = _mapping(data, list(known), where)
    missing = [n for n, f in known.items() if n not in data and f.default is MISSING
               and f.default_factory is MISSING]
    if missing:
        raise ValueError(f'{_setting(where, missing[0])} is missing; {_ADD_IT}')
    values = {name: _value(types[name], known[name], value, _setting(where, name))
              for name, value in data.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(_setting(where, str(error))) from None


def _value(kind: Any, field: Field[Any], value: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        return _fill(kind, value, where)
    if get_origin(kind) is not Mapping:
        return _number(kind, value, where)
    numbers = {name: _number(float, number, _setting(where, name)) for name, number
               in _mapping(value, field.metadata['keys'], where).items()}
    if field.metadata['complete'] and (
            missing := [n for n in field.metadata['keys'] if n not in numbers]):
        raise ValueError(f'{_setting(where, missing[0])} is missing; {_ADD_IT}')
    return numbers


def _number(kind: type, value: Any, where: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = ' (YAML reads 1e-3 as text: write 1.0e-3)' if isinstance(value, str) else ''
        raise ValueError(f'{where} must be a number, got {value!r:.80}{hint}')
    if kind is float:
        return float(value)
    if not isinstance(value, int):
        raise ValueError(f'{where} must be a whole number, got {value!r}')
    return value


def _mapping(value: Any, known: list[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{where or "it"} must be a mapping, got {value!r:.80}')
    for name in value:
        if name not in known:
            named = _setting(where, with_nearest(str(name), known))
            raise ValueError(f'there is no setting {named}')
    return value


def _setting(where: str, name: str) -> str:
    return f'{where}.{name}' if where else name
