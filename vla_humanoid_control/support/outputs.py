"""Where results go: whether they can, asked before anything costs time; lines for slow readers."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import queue
import select
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from vla_humanoid_control.support.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that an interruption leaves the old one."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    with temporary.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def check_folder(path: Path, option: str) -> None:
    """Refuse a folder in which nothing can be written. Makes nothing, and leaves nothing behind.

    Args:
        path: It need not exist, nor the folders above it.
        option: What names it, such as '--out'.

    Raises:
        UserError: Something else is in its place, or writing there is not allowed.
    """
    try:
        place = path.absolute()
        while not _is_there(place):
            place = place.parent
        if not place.is_dir():
            raise UserError(f'{option} {path}: {place} is not a folder. Give another place.')
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise _unusable(path, option, error) from error


def check_file(path: Path, option: str) -> None:
    """Refuse a file that cannot be written. Makes nothing, and changes nothing.

    Args:
        path: It need not exist, nor the folders above it; one that exists may be overwritten.
        option: What names it, such as '--json'.

    Raises:
        UserError: It is a folder, or writing there is not allowed.
    """
    try:
        if path.is_dir():
            raise UserError(f'{option} {path} is a folder; give the name of a file.')
        if not path.exists():
            check_folder(path.parent, option)
        elif path.is_file():
            with path.open('ab'):
                pass
    except OSError as error:
        raise _unusable(path, option, error) from error


def make_folder(path: Path, option: str) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        UserError: It cannot be made, or nothing can be written in it.
    """
    check_folder(path, option)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, option, error) from error


def _is_there(path: Path) -> bool:
    """As `os.path.lexists`, but a name that cannot be is an error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _unusable(path: Path, option: str, error: OSError) -> UserError:
    return UserError(f'{option} {path} cannot be written: {error.strerror}. Give another place.')


class LineWriter:
    """Writes lines in a thread of its own, so that nobody waits for whoever reads them.

    What finds no room, or cannot be written, is dropped and counted.

    Args:
        write: Writes one line. It may block for ever; an OSError drops the line.
        room: How many lines may wait.

    Attributes:
        dropped: Lines that were not written.
    """

    def __init__(self, write: Callable[[str], Any], room: int = 2000) -> None:
        self.dropped = 0
        self._write = write
        self._waiting: queue.Queue[str | None] = queue.Queue(room)
        self._thread = threading.Thread(target=self._run, daemon=True, name='line writer')
        self._thread.start()

    def put(self, line: str) -> None:
        """Hand over a line. Returns at once."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float) -> bool:
        """Write what waits, for at most about that long; what is left by then is dropped.

        Returns:
            Whether the writing has come to its end; else it hangs, and is left behind.
        """
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.dropped += self._waiting.qsize()
        return not self._thread.is_alive()

    def _run(self) -> None:
        told = 0
        while (line := self._waiting.get()) is not None:
            try:
                if (missing := self.dropped - told) > 0:
                    self._write(f'... {missing} lines were dropped here, as nobody read them')
                    told += missing
                self._write(line)
            except OSError:  # nobody reads any more
                self.dropped += 1


def print_line(text: str) -> None:
    """Print a line, past Python's buffer: a thread that blocks there could not be left behind."""
    _print(text, sys.stdout)


def complain(text: str, timeout_s: float = 2.0) -> None:
    """Print a line on stderr, where somebody reads it within that time; else without it."""
    writer = LineWriter(lambda line: _print(line, sys.stderr))
    writer.put(text)
    writer.close(timeout_s)


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # it was closed before Python began
        return
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # a stand-in in memory
        print(text, file=stream, flush=True)
        return
    data = (text + '\n').encode(stream.encoding or 'utf-8', 'replace')
    while data:
        data = data[os.write(descriptor, data):]


def nobody_reads(stream: TextIO | None) -> bool:
    """Whether the reader of a pipe has gone.

    From then on what is printed goes nowhere: else Python would try once more at its end, and
    complain.
    """
    if stream is None:
        return False
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are told whatever is asked for
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return True


def never_wait_for_readers() -> None:
    """From now on nothing that this process prints makes it wait; what does not fit is dropped.

    Holds for code in C and C++, too. A pipe or terminal is opened anew, because a flag of the
    one that was inherited would change it for the shell and for other processes as well.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: else the next file to be opened would be printed into
            os.open(os.devnull, os.O_RDWR)
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        _unblock(number)
        setattr(sys, name, io.TextIOWrapper(_Lossy(number), errors='backslashreplace',
                                            write_through=True))


def _unblock(number: int) -> None:
    kind = os.fstat(number).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(number)):
        return
    try:
        anew = os.open(f'/proc/self/fd/{number}', os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket, as under systemd; or of another user
        _relay(number)
    else:
        os.dup2(anew, number)
        os.close(anew)


def _relay(number: int) -> None:
    """Put a pipe in front, which a thread empties; what is printed beyond its room is dropped."""
    outside = os.dup(number)
    inside, anew = os.pipe()
    os.set_blocking(anew, False)
    os.dup2(anew, number)
    os.close(anew)

    def run() -> None:
        while data := os.read(inside, 4096):
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(outside, data):]

    thread = threading.Thread(target=run, daemon=True, name='output')
    thread.start()

    def end() -> None:
        os.dup2(outside, number)  # which closes the pipe
        thread.join(1.0)

    atexit.register(end)


class _Lossy(io.BufferedIOBase):
    """Takes everything; passes on what can be written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, data)
        return len(data)
