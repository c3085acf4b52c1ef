"""Processes that are asked to end, and those that outlive who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = 'import os, signal, subprocess, sys, time\n' \
       'from vla_humanoid_control.graph import lifetime\n'


def run(script: str, before: str = '') -> subprocess.CompletedProcess[str]:
    """Run a script, after another one that prepares its process."""
    return subprocess.run([sys.executable, '-c', HEAD + before + script], timeout=60, text=True,
                          capture_output=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})


IGNORED = 'signal.signal(signal.SIGHUP, signal.SIG_IGN)\n'  # as nohup does
NOTES = 'lifetime.on_end(lambda number, _: print(signal.Signals(number).name))\n'


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_every_request_to_end_is_heard(name: str) -> None:
    """Regression: where the terminal was closed, a node was gone without braking."""
    done = run(f'os.kill(os.getpid(), signal.{name})\n', NOTES)
    assert (done.returncode, done.stdout) == (0, f'{name}\n')


def test_who_was_started_to_outlive_its_terminal_does() -> None:
    assert run('os.kill(os.getpid(), signal.SIGHUP)\n', IGNORED + NOTES).stdout == ''
    inside = 'with lifetime.ended_in_order():\n    os.kill(os.getpid(), signal.SIGHUP)\n'
    assert run(inside + 'print("lives")\n', IGNORED).stdout == 'lives\n'


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP'])
def test_what_is_open_is_closed_before_the_end(name: str) -> None:
    """Regression: SIGTERM ended `vla demo` on the spot, in whatever order its nodes then took."""
    done = run('with lifetime.ended_in_order():\n    try:\n'
               f'        os.kill(os.getpid(), signal.{name})\n'
               '    finally:\n        print("closed")\n')
    assert (done.returncode, done.stdout) == (128 + signal.Signals[name], 'closed\n')
    done = run('with lifetime.ended_in_order():\n    pass\n'
               f'os.kill(os.getpid(), signal.{name})\n')
    assert done.returncode == -signal.Signals[name]


@pytest.mark.skipif(sys.platform != 'linux', reason='uses a Linux call')
@pytest.mark.parametrize('dies', ['before', 'after'])
def test_a_process_ends_with_its_parent(dies: str, tmp_path: Path) -> None:
    """Regression: nodes that `ros2 launch` had started went on without it."""
    child = HEAD + f"""
signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'ended')!r}, 'w'), os._exit(0)))
open({str(tmp_path / 'started')!r}, 'w')
if {dies!r} == 'before':
    while os.getppid() == int(os.environ[lifetime.PARENT_VARIABLE]):
        time.sleep(0.01)
lifetime.end_with_launcher()
assert lifetime.PARENT_VARIABLE not in os.environ  # its own children have another parent
open({str(tmp_path / 'ready')!r}, 'w')
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, '-c', HEAD + f"""
os.environ[lifetime.PARENT_VARIABLE] = str(os.getpid())
subprocess.Popen([sys.executable, '-c', {child!r}])
time.sleep(60)
"""], env={**os.environ, 'PYTHONPATH': str(ROOT)})
    try:
        wait_for(tmp_path / ('started' if dies == 'before' else 'ready'))
    finally:
        parent.kill()
        parent.wait()
    wait_for(tmp_path / 'ended')


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30.0
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)
