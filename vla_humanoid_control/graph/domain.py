"""ROS domains for graphs that must not meet others: demo, evaluation, tests, measurements."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from vla_humanoid_control.support.errors import UserError

VARIABLE = 'ROS_DOMAIN_ID'
_claims = itertools.count()


@contextmanager
def claimed_domain() -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses at the same time.

    Another one each time: what a killed process leaves in shared memory harms nobody there.

    Raises:
        UserError: All are in use.
    """
    first = os.getpid() + 7 * next(_claims)
    for offset in range(100):
        number = 1 + (first + offset) % 100  # up to 101 keeps clear of ephemeral ports
        # A name without a file: it is one for all users of this machine, needs no folder that can
        # be written, and is free again when its process has ended, however that was.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            try:
                claim.bind(f'\0vla_humanoid_control/domain/{number}')
            except OSError:
                continue
            if not _is_silent(number):  # a robot's own graph, which knows nothing of these locks
                continue
            yield number
            return
    raise UserError('All ROS domains are in use on this machine. Choose one of them yourself: '
                    f'set {VARIABLE}.')


@contextmanager
def own_domain() -> Iterator[str]:
    """The ROS domain that a person has chosen, else a claimed one for the time being.

    It is in the environment meanwhile, where this process and those that it starts find it.

    Raises:
        UserError: All are in use.
    """
    if chosen := os.environ.get(VARIABLE):
        yield chosen
        return
    with claimed_domain() as number:
        os.environ[VARIABLE] = str(number)
        try:
            yield str(number)
        finally:
            del os.environ[VARIABLE]


def _is_silent(number: int) -> bool:
    """Whether nobody has the ports that DDS gives to the first participants of a domain."""
    for port in (7400 + 250 * number, 7410 + 250 * number):  # discovery: to all, and to the first
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                return False
    return True
