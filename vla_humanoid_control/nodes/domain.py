"""A ROS domain for a graph that must not meet another one: for tests and measurements."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_humanoid_control.errors import UserError

_claims = itertools.count()


@contextmanager
def claimed_domain() -> Iterator[int]:
    """A ROS domain that nobody else who asks here uses at the same time, on this machine.

    Another one each time: what a killed process leaves in shared memory harms nobody there.

    Raises:
        UserError: All are in use.
    """
    first = os.getpid() + 7 * next(_claims)
    for offset in range(100):
        number = 1 + (first + offset) % 100  # up to 101 keeps clear of ephemeral ports
        with (Path(tempfile.gettempdir()) / f'vla_test_domain_{number}.lock').open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    raise UserError('All ROS domains are in use by other measurements or tests.')
