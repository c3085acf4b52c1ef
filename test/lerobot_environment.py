"""LeRobot's own environment, which `make lerobot` makes: tiny checkpoints, and servers in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / '.venv-lerobot' / 'bin' / 'python'
needs_lerobot = pytest.mark.skipif(not PYTHON.exists(), reason='needs LeRobot: make lerobot')
MAPPING = """
images: {observation.images.head: {camera: head, size: [64, 48], fit: stretch}}
states: {observation.state: [neck_yaw, neck_pitch]}
actions:
  base: {kind: base_twist, channels: [base/linear_x, base/angular_z]}
  done: {kind: mode, channels: [done]}
horizon: 8
dt_s: 0.1
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run that environment's Python to its end."""
    return subprocess.run([PYTHON, *map(str, arguments)], env=_environment(), capture_output=True,
                          text=True, timeout=300)


def make_tiny(kind: str, folder: Path) -> Path:
    """Write a tiny checkpoint with random weights, 'act' or 'smolvla'."""
    ended = run(ROOT / 'test' / 'policy' / 'tiny_lerobot.py', kind, folder)
    assert ended.returncode == 0, ended.stderr
    return folder


@contextmanager
def serving(arguments: Sequence[object], ready: str, folder: Path | None = None) -> Iterator[str]:
    """That environment's Python, once it has said that it is ready: the line that says so."""
    server = subprocess.Popen([PYTHON, *map(str, arguments)], env=_environment(), text=True,
                              cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert server.stdout is not None
    said: list[str] = []
    try:
        for line in server.stdout:
            said.append(line)
            if ready in line:
                break
        assert said and ready in said[-1], ''.join(said)
        yield said[-1]
    finally:
        server.terminate()
        server.communicate(timeout=60)


def _environment() -> dict[str, str]:
    return {**os.environ, 'HF_HUB_OFFLINE': '1', 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1',
            'PYTHONPATH': str(ROOT)}
