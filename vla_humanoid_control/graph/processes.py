"""The processes of a graph: started together, watched, ended together, their output recorded."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vla_humanoid_control.graph.bringup import Deployment, NodeEntry, environment, graph
from vla_humanoid_control.graph.lifetime import end_with, ended_in_order, on_end
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.interrupts import undisturbed
from vla_humanoid_control.support.outputs import LineWriter, complain, print_line

# What a node says of an error: by its logger, by `managed.main`, at the end of a traceback.
_ERROR = re.compile(r'\[(?:ERROR|FATAL)\] \[[^]]*\] \[[^]]*\]: (?!Traceback)(.+)|error: (.+)|'
                    r'([\w.]+(?:Error|Exception): .+)')

_LAST_WORDS = ('Traceback', 'Fatal Python error')
"""How Python begins to say what ended it, before a node answers to signals by itself."""


class ProcessDiedError(UserError):
    """A node ended that should not have."""


@dataclass(frozen=True)
class Program:
    """A program of others that runs beside the nodes.

    Attributes:
        name: What it is called in the log.
        command: What is run, with its arguments.
    """

    name: str
    command: tuple[str, ...]


class ProcessGroup:
    """Runs the nodes as processes, collects what they print, and notices when one dies.

    Use as a context manager: all are stopped at its end, also where that is SIGTERM or a closed
    terminal; where this process is killed, they stop by themselves. A reader of the output that
    goes away or stops reading, and a disk that is full or hangs, hold up no node.

    Args:
        entries: Nodes and programs, in stopping order.
        log_path: File that all output goes to, each line after the node's name.
        echo: Also called with each line, in a thread of its own; None for silence.
        extra_environment: Goes before `environment()`.
    """

    def __init__(self, entries: tuple[NodeEntry | Program, ...], log_path: Path,
                 echo: Callable[[str], Any] | None = print_line,
                 extra_environment: Mapping[str, str] | None = None) -> None:
        self._entries = entries
        self._log_path = log_path
        self._echo = echo
        self._environment = {**os.environ, **environment(), 'PYTHONUNBUFFERED': '1',
                             'PYTHONPATH': _python_path(), **(extra_environment or {})}
        self._log: IO[str] | None = None
        self._signals = contextlib.ExitStack()
        self._recorder: LineWriter | None = None
        self._printer: LineWriter | None = None
        self._readers: list[threading.Thread] = []
        self._said: dict[str, deque[str]] = {}
        self._stopping = False
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> ProcessGroup:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self._log_path.open('a', encoding='utf-8')
        # A burst of all nodes waits for the disk, and is not lost: some 10 MB at most.
        self._recorder = LineWriter(self._record, room=100_000)
        self._printer = None if self._echo is None else LineWriter(self._echo)
        try:
            self._signals.enter_context(ended_in_order())
            for entry in self._entries:
                self.start(entry)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self, entry: NodeEntry | Program) -> None:
        """Start one node or program; also to start it again."""
        process = subprocess.Popen(  # a session of its own: Ctrl-C reaches it by way of `stop`
            _command(entry), env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
            start_new_session=True, preexec_fn=functools.partial(end_with, os.getpid()))
        self.processes[entry.name] = process
        self._said[entry.name] = deque(maxlen=50)
        reader = threading.Thread(target=self._collect, args=(entry.name, process), daemon=True,
                                  name=entry.name)
        reader.start()
        self._readers.append(reader)

    def check(self) -> None:
        """Raise ProcessDiedError where a node has ended, with its last error."""
        for name, process in self.processes.items():
            code = process.poll()
            if code is not None:
                how = f'was killed by signal {-code}' if code < 0 else f'ended with status {code}'
                raise ProcessDiedError(f'{name} {how}{self._reason(name)}. Its last lines are in '
                                       f'{self._log_path}.')

    def _reason(self, name: str) -> str:
        for reader in self._readers:
            if reader.name == name:
                reader.join(1.0)  # what it said last may be under way
        for line in reversed(list(self._said[name])):
            said = _ERROR.match(line)
            if said is not None and not line.endswith('see its log above.'):
                return ': ' + said.group(said.lastindex or 0).removeprefix(f'{name}: ').rstrip('.')
        return ''

    def wait(self, until: Callable[[], bool], poll_s: float = 0.2) -> None:
        """Wait until something is true; ProcessDiedError where a node ends before that."""
        while not until():
            self.check()
            time.sleep(poll_s)

    def stop(self, timeout_s: float = 8.0) -> None:
        """End all, one after the other, so that safety brings the base to rest before the end."""
        self._stopping = True
        try:
            with undisturbed():
                for entry in self._entries:
                    self._end(entry.name, timeout_s)
                for reader in self._readers:
                    reader.join(1.0)
                self._end_record()
        finally:
            self._signals.close()

    def _end(self, name: str, timeout_s: float) -> None:
        process = self.processes.get(name)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._write(name, f'did not end within {timeout_s:g} s and is killed')
            process.kill()
            process.wait()

    def _end_record(self) -> None:
        recorder, printer = self._recorder, self._printer
        self._recorder = self._printer = None
        if printer is not None:
            printer.close(1.0)
        if recorder is None:
            return
        if printer is not None and printer.dropped:
            recorder.put(f'[graph] {printer.dropped} lines could not be printed, as nobody read '
                         'them')
        if recorder.close(1.0) and self._log is not None:
            self._log.close()
            self._log = None

    def _collect(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        held: list[str] = []
        for line in process.stdout:
            # A node that is stopped while it starts tells where it was: for the log alone.
            hold = bool(held) or (self._stopping and line.startswith(_LAST_WORDS))
            if hold:
                held.append(line.rstrip('\n'))
            self._write(name, line.rstrip('\n'), echo=not hold)
        if 'KeyboardInterrupt' not in held and self._printer is not None:
            for line in held:
                self._printer.put(f'[{name}] {line}')

    def _write(self, name: str, line: str, echo: bool = True) -> None:
        """Never waits: a node whose output nobody takes would come to a halt in `print`."""
        self._said[name].append(line)
        for writer in (self._recorder, self._printer if echo else None):
            if writer is not None:
                writer.put(f'[{name}] {line}')

    def _record(self, text: str) -> None:
        """Append a line; where that fails, the record ends with a report and the graph goes on."""
        if (log := self._log) is None:
            return
        try:
            log.write(text + '\n')
            log.flush()
        except OSError as error:
            self._log = None
            with contextlib.suppress(OSError):  # once more the same error, for what it held back
                log.close()
            report = (f'[graph] {self._log_path}: {error.strerror}. The record of this run ends '
                      'here; the run goes on.')
            (complain if self._printer is None else self._printer.put)(report)


def run_graph(deployment: Deployment, log_path: Path) -> None:
    """Run the graph until Ctrl-C, SIGTERM, or the end of its terminal.

    Args:
        deployment: Which.
        log_path: File for the output of all nodes. One from before is kept beside it, as `.1`.

    Raises:
        ProcessDiedError: A node ended by itself.
    """
    if log_path.is_file():  # and not /dev/null
        log_path.replace(log_path.with_name(f'{log_path.name}.1'))
    stopping = threading.Event()
    on_end(lambda *_: stopping.set())
    with ProcessGroup(graph(deployment), log_path) as group:
        group.wait(stopping.is_set)


def _command(entry: NodeEntry | Program) -> list[str]:
    if isinstance(entry, Program):
        return list(entry.command)
    command = [sys.executable, '-m', entry.module, '--ros-args', '--enclave', entry.enclave]
    # Of several values for one parameter ROS takes the last, but those that name the node before
    # all others: what the shipped file says is given as values, so that choices go before it.
    for name, value in entry.shipped.items():
        command += ['-p', f'{name}:={_yaml(value)}']
    if entry.chosen_file:
        command += ['--params-file', str(entry.parameter_file)]
    for name, value in entry.parameters.items():
        command += ['-p', f'{name}:={_yaml(value)}']
    for name, value in entry.remappings.items():
        command += ['-r', f'{name}:={value}']
    if entry.namespace:
        command += ['-r', f'__ns:={entry.namespace}']
    return command


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # quoted, so that a name such as 'on' or '1' stays a string
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def _python_path() -> str:
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get('PYTHONPATH', '')
    return os.pathsep.join(filter(None, (root, inherited)))
