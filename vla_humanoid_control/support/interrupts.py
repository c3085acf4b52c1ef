"""Ctrl-C: it interrupts once, and what must not be left half done is finished first."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

CLEAN_UP_S = 15.0
"""For so long after a Ctrl-C further ones belong to it [s]: a second press must not tear what
cleans up after the first."""


@contextmanager
def interruptible() -> Iterator[list[float]]:
    """Have Ctrl-C raise `KeyboardInterrupt` in the main thread, once.

    Python discards an exception that a signal raises inside a destructor or a callback from C, and
    says so with a traceback; here it is raised again a moment later.

    Yields:
        When Ctrl-C was pressed, on the steady clock [s]; empty before that. An interrupted import
        may end in any other error, which then is none of its own.
    """
    came: list[float] = []
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background
        yield came
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if came and now - came[-1] < CLEAN_UP_S:
            return
        came.append(now)
        raise KeyboardInterrupt

    def on_discarded(discarded: Any) -> None:
        if not issubclass(discarded.exc_type, KeyboardInterrupt):
            unraisable(discarded)
            return
        came.clear()
        # To the main thread itself, which may be asleep by then.
        again = threading.Timer(0.05, signal.pthread_kill,
                                (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()

    unraisable, sys.unraisablehook = sys.unraisablehook, on_discarded
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield came
    finally:
        # After a Ctrl-C the process is about to end; a further one would only add a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN if came else before)
        sys.unraisablehook = unraisable


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let whoever asks this process to end wait until the block has closed files or processes."""
    if threading.current_thread() is not threading.main_thread():  # others hear no signals
        yield
        return
    waiting: list[int] = []
    # Not by a signal mask: any other thread would take the signal, and Python still act on it.
    before = {number: signal.signal(number, lambda number, _: waiting.append(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) not in (None, signal.SIG_IGN)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def uninterrupted_children() -> Iterator[None]:
    """Start processes that never hear the terminal's Ctrl-C: it is their parent's to answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
