"""Where results go: whether they can, asked before anything costs time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vla_humanoid_control.support.errors import UserError


def check_folder(path: Path, option: str) -> None:
    """Refuse a folder in which nothing can be written. Makes nothing, and leaves nothing behind.

    Args:
        path: It need not exist, nor the folders above it.
        option: What names it, such as '--out'.

    Raises:
        UserError: Something else is in its place, or writing there is not allowed.
    """
    try:
        place = path.absolute()
        while not _is_there(place):
            place = place.parent
        if not place.is_dir():
            raise UserError(f'{option} {path}: {place} is not a folder. Give another place.')
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise _unusable(path, option, error) from error


def check_file(path: Path, option: str) -> None:
    """Refuse a file that cannot be written. Makes nothing, and changes nothing.

    Args:
        path: It need not exist, nor the folders above it; one that exists may be overwritten.
        option: What names it, such as '--json'.

    Raises:
        UserError: It is a folder, or writing there is not allowed.
    """
    try:
        if path.is_dir():
            raise UserError(f'{option} {path} is a folder; give the name of a file.')
        if not path.exists():
            check_folder(path.parent, option)
        elif path.is_file():
            with path.open('ab'):
                pass
    except OSError as error:
        raise _unusable(path, option, error) from error


def make_folder(path: Path, option: str) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        UserError: It cannot be made, or nothing can be written in it.
    """
    check_folder(path, option)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, option, error) from error


def _is_there(path: Path) -> bool:
    """As `os.path.lexists`, but a name that cannot be is an error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _unusable(path: Path, option: str, error: OSError) -> UserError:
    return UserError(f'{option} {path} cannot be written: {error.strerror}. Give another place.')
