"""Checks of a parsed file, field by field, so that an error can say where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from vla_humanoid_control.support.errors import UserError


class Fields:
    """Reads fields of one file. Every method raises UserError with the place.

    Args:
        path: The file, for messages.
        what: What it is, for messages.
    """

    def __init__(self, path: str, what: str = 'Robot file') -> None:
        self.path, self._what = path, what

    def mapping(self, value: Any, where: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
        """A mapping with keys of text; with no others than `known`, where that is given."""
        if not isinstance(value, dict) or not value:
            self.fail(where, 'must be a non-empty mapping')
        result: Mapping[str, Any] = value
        for key in result:
            if not isinstance(key, str):
                self.fail(where, f'has the key {key!r}, which must be text; put it in quotes')
            if known and key not in known:
                self.fail(where, f'has the unknown key {key!r}; there are {", ".join(known)}')
        return result

    def get(self, fields: Mapping[str, Any], key: str, where: str) -> Any:
        """What a key that must be there has."""
        if key not in fields:
            self.fail(f'{where}.{key}'.lstrip('.'), 'is missing; limits have no defaults')
        return fields[key]

    def text(self, fields: Mapping[str, Any], key: str, where: str) -> str:
        """Text that is not empty."""
        value = self.get(fields, key, where)
        if not isinstance(value, str) or not value:
            self.fail(f'{where}.{key}'.lstrip('.'), f'must be text, got {value!r}')
        return str(value)

    def texts(self, fields: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A list of texts that is not empty."""
        value = self.get(fields, key, where)
        if not isinstance(value, list) or not value \
                or not all(isinstance(v, str) and v for v in value):
            self.fail(f'{where}.{key}'.lstrip('.'), f'must be a list of names, got {value!r}')
        return tuple(value)

    def positive(self, fields: Mapping[str, Any], key: str, where: str) -> float:
        """A finite number above 0."""
        place = f'{where}.{key}'.lstrip('.')
        number = self.number(self.get(fields, key, where), place)
        if number <= 0:
            self.fail(place, f'must be greater than 0, got {number}')
        return number

    def numbers(self, fields: Mapping[str, Any], key: str, where: str,
                names: Sequence[str]) -> tuple[float, ...]:
        """As many finite numbers as there are names for them."""
        place, value = f'{where}.{key}'.lstrip('.'), self.get(fields, key, where)
        if not isinstance(value, list) or len(value) != len(names):
            self.fail(place, f'must be [{", ".join(names)}]')
        return tuple(self.number(v, place) for v in value)

    def number(self, value: Any, where: str) -> float:
        """A finite number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not math.isfinite(value):
            self.fail(where, f'must be a finite number, got {value!r}')
        return float(value)

    def fail(self, where: str, problem: str) -> NoReturn:
        """Refuse the file."""
        raise UserError(f'{self._what} {self.path}: {where} {problem}.')
