"""A progress line for people, and a log for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class ProgressLine:
    """One line that is rewritten in a terminal, or printed now and then elsewhere."""

    def __init__(self, title: str, out: TextIO | None = None) -> None:
        self._title = title
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._last = 0.0

    def show(self, share: float, rate: float, unit: str, left_s: float, note: str,
             force: bool = False) -> None:
        """Show the state, at most five times a second (every 10 s where there is no terminal).

        Args:
            share: Done share, 0 to 1.
            rate: Units a second.
            unit: Their name.
            left_s: Time left [s].
            note: Anything else.
            force: Show it whatever the time.
        """
        now = time.monotonic()
        if not force and now - self._last < (0.2 if self._terminal else 10.0):
            return
        self._last = now
        filled = int(max(0.0, min(1.0, share)) * 24)
        minutes, seconds = divmod(int(max(0.0, left_s)), 60)
        text = (f'{self._title} [{"#" * filled}{"." * (24 - filled)}] {share:6.1%} '
                f'{rate:.0f} {unit}/s, {minutes}:{seconds:02d} left  {note}')
        self._out.write(f'\r{text}\x1b[K' if self._terminal else f'{text}\n')
        self._out.flush()

    def close(self) -> None:
        """End the line."""
        if self._terminal:
            self._out.write('\n')


class JsonLog:
    """Appends one JSON object a line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        with self._path.open('a', encoding='utf-8') as file:
            file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v
                                   for k, v in record.items()}) + '\n')
