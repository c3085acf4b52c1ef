"""The nodes under measurement, noting which camera frame each of their commands follows from.

Run as a module with the name of a node: `python -m benchmarks.traced_safety`. Nothing else about
the nodes is changed: a note is one tuple in a list, and is written when the process ends, to the
file that the environment variable `VLA_BENCH_TRACE` names.
"""

from __future__ import annotations

import os

import numpy as np

TRACE = 'VLA_BENCH_TRACE'


class Trace:
    """Notes of one process.

    Attributes:
        commands: When publishing a command began [ns], stamp of the frame that it follows from
            [ns], and 1 where it carries the policy's action.
        frames: Camera frames that the node's callback received.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[int, int, int]] = []
        self.frames = 0

    def save(self) -> None:
        """Write the notes; called when the process ends."""
        np.savez(os.environ[TRACE], frames=self.frames,
                 commands=np.array(self.commands, np.int64).reshape(-1, 3))
