"""Processes that share work, and that do not outlive the one that started them.

A fresh interpreter each: neither torch nor an EGL context survives a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, NoReturn, TypeVar

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.interrupts import undisturbed, uninterrupted_children

CONTEXT = multiprocessing.get_context('spawn')

Job = TypeVar('Job')
Result = TypeVar('Result')


def parallel_map(work: Callable[[Job], Result], jobs: Sequence[Job], count: int
           ) -> Generator[Result, None, None]:
    """Results of `work` for each job, as they come, in no particular order.

    Args:
        work: A function of a module, or `partial` of one.
        jobs: What it is called with; pickled.
        count: Processes; a single one is this.

    Raises:
        UserError: A process was killed. What `work` raises, is raised here too.
    """
    count = min(count, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    # A pipe each: no lock is shared that a process might take to its grave.
    pipes = [CONTEXT.Pipe() for _ in range(count)]
    with crew(_serve, [(work, theirs) for _, theirs in pipes]) as processes:
        busy = {}
        todo = iter(jobs)
        for (ours, theirs), process, job in zip(pipes, processes, todo):
            ours.send(job)
            theirs.close()  # so that this end hears when the other one is gone
            busy[ours] = process
        while busy:
            ready = connection.wait(list(busy))
            for ours in [line for line in busy if line in ready]:
                try:
                    succeeded, result = ours.recv()
                    for job in todo:
                        ours.send(job)
                        break
                    else:
                        del busy[ours]
                except (EOFError, OSError) as error:
                    busy[ours].join()
                    raise UserError(death(busy[ours])) from error
                if not succeeded:
                    raise result
                yield result


def reports(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]
            ) -> Generator[Any, None, None]:
    """What processes report, as it comes, until all of them have ended.

    Args:
        work: A function of a module; its last argument is a function to report something with.
        arguments: Those before it, of each process; pickled.

    Raises:
        UserError: One of them failed, or was killed.
    """
    pipes = [CONTEXT.Pipe(duplex=False) for _ in arguments]
    its_own = [(work, given, theirs) for given, (_, theirs) in zip(arguments, pipes)]
    with crew(_report, its_own) as processes:
        running = {}
        for (ours, theirs), process in zip(pipes, processes):
            theirs.close()  # so that this end hears when the other one is gone
            running[ours] = process
        while running:
            ready = connection.wait(list(running))
            for ours in [line for line in running if line in ready]:
                try:
                    report = ours.recv()
                except (EOFError, OSError) as error:
                    process = running.pop(ours)
                    process.join()
                    if process.exitcode:
                        raise UserError(death(process)) from error
                    continue
                if isinstance(report, UserError):
                    raise report
                yield report


@contextmanager
def crew(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]
         ) -> Iterator[list[SpawnProcess]]:
    """Processes that each call `work` with some arguments; those left at the end are terminated.

    Args:
        work: A function of a module.
        arguments: Of each process; pickled.
    """
    processes: list[SpawnProcess] = []
    # It starts with the first process otherwise, and lets SIGINT through again behind itself:
    # that process then hears what it must not hear.
    resource_tracker.ensure_running()
    with _ending_in_order():
        try:
            for its_own in arguments:
                process = CONTEXT.Process(target=_work, args=(work, its_own), daemon=True)
                # A process that is not yet up prints a traceback when an interrupt reaches it, or
                # when this one is interrupted before it has sent the work.
                with undisturbed(), uninterrupted_children():
                    process.start()
                    processes.append(process)
            yield processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()


def death(process: SpawnProcess) -> str:
    """How a process ended that should not have, and what to do, for people."""
    code = process.exitcode or 0
    if code < 0:
        return (f'A worker process was killed by signal {-code}. Where memory was short, use '
                'fewer --workers.')
    return f'A worker process ended with status {code}; the reason stands above.'


def follow_parent() -> None:
    """In a worker: end as soon as the parent is gone; an interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)  # whatever the worker is doing: nobody is left to take it

    threading.Thread(target=watch, daemon=True).start()


def _serve(work: Callable[[Job], Result], line: connection.Connection) -> None:
    while True:
        try:
            job = line.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = True, work(job)
        except Exception as error:  # To the parent, which raises it.
            if not isinstance(error, UserError):
                traceback.print_exc()  # where it came from does not travel with it
            answer = False, error
        line.send(answer)


def _report(work: Callable[..., None], arguments: tuple[Any, ...], line: connection.Connection
            ) -> None:
    try:
        work(*arguments, line.send)
    except UserError as error:
        line.send(error)
    except Exception as error:
        line.send(UserError(f'A worker failed: {type(error).__name__}: {error}'))
        raise


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
