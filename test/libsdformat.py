"""Gazebo's own parser of SDF, for tests: Debian's libsdformat, without the rest of Gazebo."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = 'import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).cmdCheck(sys.argv[2].encode()))'
"""What `ign sdf --check FILE` and `gz sdf --check FILE` call."""


def check(path: Path) -> str:
    """What is wrong with an SDF file; '' where nothing is. Skips where there is no libsdformat."""
    library = next((name for version in range(12, 20) if
                    (name := ctypes.util.find_library(f'sdformat{version}'))), None)
    if library is None:
        pytest.skip('needs libsdformat: apt-get install libsdformat12-12 sdformat-sdf')
    done = subprocess.run([sys.executable, '-c', _SCRIPT, library, str(path)],
                          capture_output=True, text=True, timeout=60)
    return '' if done.returncode == 0 else done.stderr + done.stdout or f'{done.returncode}'
