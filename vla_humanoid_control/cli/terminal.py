"""Lines that a person types, read without waiting, whatever bytes they are made of."""

from __future__ import annotations

import os
import select
from typing import TextIO

LONGEST = 4096
"""More bytes of a line are not kept: no command is so long."""
_CHUNK = 65536


class Terminal:
    """Standard input as bytes: text decoding would end at the first byte that is no UTF-8.

    No thread reads it: one that waits in a read holds a lock which Python wants at its end.

    Args:
        source: Usually `sys.stdin`; None, as Python has it where it is closed, is at its end.

    Attributes:
        has_ended: Whether nothing more will come.
    """

    def __init__(self, source: TextIO | None) -> None:
        self._partial = b''
        try:
            self._descriptor = -1 if source is None else source.fileno()
        except (OSError, ValueError):  # closed, or no file at all
            self._descriptor = -1
        self.has_ended = self._descriptor < 0

    def lines(self) -> list[bytes]:
        """Lines that have come since the last call, without their ends; also an unended last."""
        lines: list[bytes] = []
        while not self.has_ended and select.select([self._descriptor], [], [], 0.0)[0]:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except OSError:  # the terminal is gone
                chunk = b''
            self.has_ended = not chunk
            *whole, rest = (self._partial + chunk).split(b'\n')
            if self.has_ended and rest:  # whoever ends the input has ended the line, too
                whole, rest = [*whole, rest], b''
            lines += [line[:LONGEST] for line in whole]
            self._partial = rest[:LONGEST]
        return lines
