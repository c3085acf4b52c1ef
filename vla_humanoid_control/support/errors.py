"""The one error that a person is meant to read: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_USER_ERROR = 2
"""Exit status of whatever ends with a `UserError`."""


class UserError(Exception):
    """Bad input or a missing prerequisite. The command line prints it and exits with 2."""


def with_nearest(name: str, known: Iterable[str]) -> str:
    """The name, with the known one that it is most like, if any: 'nme (did you mean name?)'."""
    matches = difflib.get_close_matches(name, list(known), 1)
    return f'{name} (did you mean {matches[0]}?)' if matches else name
