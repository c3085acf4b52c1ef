"""Reading training configurations into their dataclasses."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path, read_yaml

T = TypeVar('T')


def load_training_config(kind: type[T], name_or_path: str, **overrides: Any) -> T:
    """Read a YAML file of `config/train/`, or any other, into a frozen dataclass.

    Args:
        kind: The dataclass.
        name_or_path: Name in `config/train/`, or path of a YAML file.
        **overrides: Values to replace, where not None.

    Raises:
        UserError: The file is missing, or a setting is unknown, missing or of another type.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('train', f'{name_or_path}.yaml')
    data = read_yaml(path, 'Training configuration',
                     'Give a name in config/train/ or the path of a YAML file.')
    if not isinstance(data, dict):
        raise UserError(f'Training configuration {path} must be a mapping.')
    data.update({key: value for key, value in overrides.items() if value is not None})
    return _fill(kind, data, str(path))


def _fill(kind: Any, data: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(data) - set(known))
    missing = sorted(n for n, f in known.items() if n not in data and f.default is MISSING
                     and f.default_factory is MISSING)
    if unknown or missing:
        raise UserError(f'Training configuration {where}: unknown {unknown}, missing {missing}.')
    values = {}
    for name, value in data.items():
        default = known[name].default_factory
        if default is not MISSING and is_dataclass(default):
            if not isinstance(value, dict):
                raise UserError(f'Training configuration {where}: {name} must be a mapping.')
            value = _fill(default, value, f'{where}: {name}')
        elif isinstance(value, bool) or not isinstance(value, (int, float, dict)):
            raise UserError(f'Training configuration {where}: {name} must be a number, '
                            f'got {value!r}.')
        values[name] = value
    return kind(**values)
