"""Ctrl-C interrupts once, waits for what must be finished, and is not lost in a destructor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vla_humanoid_control.support.interrupts import interruptible, undisturbed

ROOT = Path(__file__).resolve().parents[2]


def press() -> None:
    """Ctrl-C, heard by this process before it returns."""
    signal.raise_signal(signal.SIGINT)  # to this thread: another one would take its time


def test_a_second_press_does_not_tear_what_cleans_up() -> None:
    """Regression: it was raised in the middle of stopping the nodes."""
    done: list[str] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with interruptible() as came:
            try:
                press()
            except KeyboardInterrupt:
                press()
                done.append('cleaned up')
                raise
    except KeyboardInterrupt:
        done.append('interrupted')
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert done == ['cleaned up', 'interrupted']
    assert len(came) == 1


def test_without_a_press_all_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as came:
        pass
    assert not came and signal.getsignal(signal.SIGINT) is before


def test_what_must_be_finished_is_finished_first() -> None:
    """Regression: a press while the video was closed left a file that could not be played."""
    done: list[str] = []

    def close() -> None:
        with undisturbed():
            press()
            done.append('written')
        done.append('went on')
    with pytest.raises(KeyboardInterrupt):
        close()
    assert done == ['written']


def test_a_press_in_a_destructor_is_not_lost() -> None:
    """Regression: Python prints a traceback there, and goes on as if nothing had been pressed."""
    code = """
import os, signal, sys, time
from vla_humanoid_control.support.interrupts import interruptible
class Resource:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)
with interruptible():
    try:
        resource = Resource()
        del resource
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=50,
                          check=False, env={**os.environ, 'PYTHONPATH': str(ROOT)},
                          preexec_fn=lambda: signal.signal(signal.SIGINT,
                                                           signal.default_int_handler))
    assert (done.returncode, done.stderr) == (130, '')


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP'])
def test_whoever_asks_to_end_waits_until_files_are_closed(name: str) -> None:
    code = f"""
import os, signal
from vla_humanoid_control.support.interrupts import undisturbed
with undisturbed():
    os.kill(os.getpid(), signal.{name})
    print('closed', flush=True)
print('went on', flush=True)
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False, text=True,
                          capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.Signals[name], 'closed\n')
