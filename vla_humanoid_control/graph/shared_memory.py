"""Fast DDS's shared memory, which programs of one user cannot share with those of another."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

_FOLDER = Path('/dev/shm')
_FIRST_PORT, _PORTS_OF_A_DOMAIN = 7400, 250


def belongs_to_others(domain_id: int, folder: Path = _FOLDER) -> bool:
    """Whether a program of another user takes part in a ROS domain by way of shared memory.

    Args:
        domain_id: The domain.
        folder: Where shared memory lies.
    """
    first = _FIRST_PORT + _PORTS_OF_A_DOMAIN * domain_id
    try:
        files = [file for file in folder.iterdir()
                 if (port := re.fullmatch(r'fastrtps_port(\d+)_el', file.name))
                 and first <= int(port[1]) < first + _PORTS_OF_A_DOMAIN]
    except OSError:  # there is none
        return False
    return any(_is_of_another(file) for file in files)


def _is_of_another(lock: Path) -> bool:
    """Whether it is another user's, and held; one of a killed process stays behind."""
    try:
        if lock.stat().st_uid == os.geteuid():
            return False
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
