"""How long the processes of a graph live: no node outlives the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

PARENT_VARIABLE = 'VLA_PARENT_PID'
"""Of a launcher that cannot see to it itself that a node ends with it."""
_PR_SET_PDEATHSIG = 1
# Looked up here: a process that has just been forked must not wait for anything.
_prctl = ctypes.CDLL(None).prctl if sys.platform == 'linux' else None

Handler = Callable[[int, FrameType | None], Any]


def end_with(parent: int) -> None:
    """Have the system send SIGTERM to this process when its parent ends, however that ends.

    Where it has ended already, this process is sent SIGTERM at once.

    Args:
        parent: Process id of the one that starts it.
    """
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Something may be between the two, such as a debugger: then that is what it ends with.
    if os.getppid() != parent and not _is_alive(parent):
        os.kill(os.getpid(), signal.SIGTERM)


def end_with_launcher() -> None:
    """As `end_with`, for a launcher that has left its process id in the environment."""
    if (parent := os.environ.pop(PARENT_VARIABLE, '')).isdecimal():
        end_with(int(parent))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def on_end(handler: Handler) -> None:
    """Call back for every signal that asks a process to end: SIGINT, SIGTERM, a closed terminal.

    Who started this process to outlive its terminal (nohup) is heeded.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit where they would end the process on the spot.

    What somebody else handles, or ignores, stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    mine = [number for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) == signal.SIG_DFL]
    for number in mine:
        signal.signal(number, end)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number in mine:
                signal.signal(number, signal.SIG_DFL)
