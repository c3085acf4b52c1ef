"""Remembers an emergency stop across a restart of the safety monitor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_humanoid_control.support.errors import UserError


@dataclass(frozen=True)
class LatchFile:
    """A small file that exists while the robot is latched, with the reason in it."""

    path: Path

    @staticmethod
    def of(robot: str, context: Any) -> LatchFile:
        """The file of a robot on its ROS domain, below `ROS_HOME` (`~/.ros`).

        Raises:
            UserError: The folder cannot be made.
        """
        home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros')
        folder = home / 'vla_humanoid_control'
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'{folder} cannot be made ({error.strerror}), where an emergency stop '
                            'is remembered. Set ROS_HOME, or remember_latch to false.') from error
        return LatchFile(folder / f'latched_{Path(robot).name}_{context.get_domain_id()}')

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
