"""How long to wait before a server is asked again."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.1, 2.0
"""Bounds of the wait [s]."""


class BackOff:
    """Twice as long after each failure, from `FIRST_S` to `LONGEST_S`; success begins anew."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def failed(self) -> float:
        """So long to wait now [s]."""
        wait_s, self._next_s = self._next_s, min(LONGEST_S, 2 * self._next_s)
        return wait_s

    def succeeded(self) -> None:
        """The server answers."""
        self._next_s = FIRST_S
