"""Processes that share work, and that do not outlive the one that started them.

A fresh interpreter each: neither torch nor an EGL context survives a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, NoReturn, TypeVar

CONTEXT = multiprocessing.get_context('spawn')

Job = TypeVar('Job')
Result = TypeVar('Result')


def shared(work: Callable[[Job], Result], jobs: Sequence[Job], count: int) -> Iterator[Result]:
    """Results of `work` for each job, as they come, in no particular order.

    Args:
        work: A function of a module, or `partial` of one.
        jobs: What it is called with; pickled.
        count: Processes; a single one is this.
    """
    if min(count, len(jobs)) <= 1:
        yield from map(work, jobs)
        return
    with _ending_in_order(), CONTEXT.Pool(min(count, len(jobs)), follow_parent) as pool:
        yield from pool.imap_unordered(work, jobs)


@contextmanager
def crew(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]
         ) -> Iterator[list[SpawnProcess]]:
    """Processes that each call `work` with some arguments; those left at the end are terminated.

    Args:
        work: A function of a module.
        arguments: Of each process; pickled.
    """
    processes: list[SpawnProcess] = []
    with _ending_in_order():
        try:
            for its_own in arguments:
                process = CONTEXT.Process(target=_work, args=(work, its_own), daemon=True)
                process.start()
                processes.append(process)
            yield processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()


def follow_parent() -> None:
    """In a worker: end as soon as the parent is gone; an interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)  # whatever the worker is doing: nobody is left to take it

    threading.Thread(target=watch, daemon=True).start()


def _work(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    follow_parent()
    work(*arguments)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM is an exit like others meanwhile: what is open is closed, and workers are ended."""
    if threading.current_thread() is not threading.main_thread():  # others cannot set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # as a shell would report it
