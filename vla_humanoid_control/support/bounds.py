"""Fields of settings that say themselves what they may be, for checks, nodes and docs alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


def bounded(default: Any, lowest: float, highest: float, *, at_start: bool = False) -> Any:
    """A number, or a tuple of numbers, with inclusive bounds.

    Args:
        default: Its default.
        lowest: What no number may be below.
        highest: What no number may be above.
        at_start: Whether it can be set at start only.
    """
    metadata = {'lower': lowest, 'upper': highest, **({'fixed': True} if at_start else {})}
    return dataclasses.field(default=default, metadata=metadata)


def required(lowest: float, highest: float) -> Any:
    """A number without a default, with inclusive bounds."""
    return bounded(dataclasses.MISSING, lowest, highest)


def required_each(keys: Sequence[str], lowest: float, highest: float, *,
                  complete: bool = True) -> Any:
    """A mapping from names to numbers, without a default, with inclusive bounds for each number.

    Args:
        keys: The names that there may be.
        lowest: What no number may be below.
        highest: What no number may be above.
        complete: Whether each name must be there.
    """
    return dataclasses.field(metadata={'lower': lowest, 'upper': highest, 'keys': list(keys),
                                       'complete': complete})


def fixed(default: Any) -> Any:
    """A field that can be set at start only: text, a switch, a list of names."""
    return dataclasses.field(default=default, metadata={'fixed': True})


def check_bounds(settings: Any) -> None:
    """Check every number of a dataclass against the bounds of its field.

    Raises:
        ValueError: One is outside of them, or NaN; says which.
    """
    for entry in dataclasses.fields(settings):
        if 'lower' not in entry.metadata:
            continue
        lower, upper = entry.metadata['lower'], entry.metadata['upper']
        value = getattr(settings, entry.name)
        named = {f'{entry.name}.{key}': v for key, v in value.items()} \
            if isinstance(value, Mapping) else {entry.name: value}
        for name, numbers in named.items():
            for number in numbers if isinstance(numbers, tuple) else (numbers,):
                if not lower <= number <= upper:  # so is NaN
                    raise ValueError(f'{name} must be in [{lower:g}, {upper:g}], got {number:g}')


def loosened(new: Any, old: Any) -> tuple[str, ...]:
    """Fields of two dataclasses of a kind that grew or were switched off, in their order."""
    return tuple(entry.name for entry in dataclasses.fields(new)
                 if isinstance(before := getattr(old, entry.name), (bool, int, float))
                 and (before and not getattr(new, entry.name) if isinstance(before, bool)
                      else getattr(new, entry.name) > before))
