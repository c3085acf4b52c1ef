"""Remembers an emergency stop across a restart of the safety monitor."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_humanoid_control.support.errors import UserError

LONGEST_NAME = 200
"""Of a file; file systems take 255 [bytes]."""


@dataclass(frozen=True)
class LatchFile:
    """A small file that exists while the robot is latched, with the reason in it."""

    path: Path

    @staticmethod
    def of(robot: str, context: Any, namespace: str = '/') -> LatchFile:
        """The file of a robot on its ROS domain, below `ROS_HOME` (`~/.ros`).

        Args:
            robot: The robot's name.
            context: The node's, which knows the domain.
            namespace: The node's: robots of one kind in one domain have one each.

        Raises:
            UserError: Nothing can be written there.
        """
        # '~' is in no namespace, so that two of them have two files.
        space = ''.join('~' + part for part in namespace.split('/') if part)
        name = re.sub(r'[\0-\x1f]', '_', f'latched_{Path(robot).name}_{context.get_domain_id()}'
                                         f'{space}')
        if len(os.fsencode(name)) > LONGEST_NAME:
            name = f'latched_{hashlib.sha256(os.fsencode(name)).hexdigest()}'
        return LatchFile(_folder() / name)

    @property
    def reason(self) -> str:
        """Why the robot was latched when the file was written; empty if it was not.

        A file that is there and cannot be read counts as a latch.
        """
        try:
            return self.path.read_text(encoding='utf-8', errors='replace') or 'reason lost'
        except FileNotFoundError:
            return ''
        except OSError as error:
            return f'reason lost ({error.strerror})'

    def write(self, reason: str) -> None:
        """Remember a latch; an empty reason forgets it."""
        if reason:
            self.path.write_text(reason, encoding='utf-8')
        else:
            self.path.unlink(missing_ok=True)


class LatchMemory:
    """Keeps a latch file in step with the robot; it is written only where that changes anything.

    Args:
        file: The file; None remembers nothing.
    """

    def __init__(self, file: LatchFile | None) -> None:
        self._file = file
        self._is_latched = bool(self.reason)

    @property
    def reason(self) -> str:
        """Why the robot was latched when the file was written; empty if it was not."""
        return '' if self._file is None else self._file.reason

    def remember(self, reason: str) -> str:
        """Remember a latch, or forget it; gives why that failed, or ''."""
        if self._file is None or self._is_latched == bool(reason):
            return ''
        try:
            self._file.write(reason)
        except OSError as error:
            return f'{self._file.path}: {error.strerror}; an emergency stop will not outlive ' \
                   'this process'
        self._is_latched = bool(reason)
        return ''


def _folder() -> Path:
    advice = ('where an emergency stop is remembered. Set ROS_HOME to a folder that can be '
              'written, or remember_latch to false')
    try:
        home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros')
    except RuntimeError as error:  # neither HOME nor an entry of this user
        raise UserError(f'There is no home directory, {advice}.') from error
    folder = home / 'vla_humanoid_control'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f'{folder} cannot be written ({error.strerror}), {advice}.') from error
    return folder
