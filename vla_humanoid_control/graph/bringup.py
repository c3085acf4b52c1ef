"""The graph, listed once: for the launch files and for the `vla` command alike."""

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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vla_humanoid_control.graph.lifetime import end_with, ended_in_order, on_end
from vla_humanoid_control.graph.parameter_file import (
    check_node_names,
    parameters_of,
    read_parameter_file,
)
from vla_humanoid_control.graph.shared_memory import belongs_to_others
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.interrupts import undisturbed
from vla_humanoid_control.support.names import full_name, is_name
from vla_humanoid_control.support.outputs import LineWriter, complain, make_folder, print_line
from vla_humanoid_control.support.resources import config_path

# What a node says of an error: by its logger, by `managed.main`, at the end of a traceback.
_ERROR = re.compile(r'\[(?:ERROR|FATAL)\] \[[^]]*\] \[[^]]*\]: (?!Traceback)(.+)|error: (.+)|'
                    r'([\w.]+(?:Error|Exception): .+)')

_LAST_WORDS = ('Traceback', 'Fatal Python error')
"""How Python begins to say what ended it, before a node answers to signals by itself."""

_REACH = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_LOCAL_RANGES, _WIDE_RANGES = ('LOCALHOST', 'OFF'), ('SUBNET', 'SYSTEM_DEFAULT')
_LOCAL_PROFILE, _LOCAL_PROFILE_OF_USERS = 'fastdds.xml', 'fastdds_users.xml'
_WIDE_PROFILE, _WIDE_PROFILE_OF_USERS = 'fastdds_network.xml', 'fastdds_users_network.xml'
_PROFILE_VARIABLES = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'


@dataclass(frozen=True)
class Deployment:
    """What a person chooses; everything else is in the parameter files.

    The values are passed on unread, so a launch file may give substitutions.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        policy: Name of a policy or folder of a checkpoint; '' for the node's own default.
        simulated: Whether the built-in simulator stands in for the robot.
        parameter_file: Parameters of the nodes in YAML, which go before those of the shipped file
            in config/params/; '' for these alone.
        parameters: Node name to parameters that go before those of the files.
        remappings: Topic or service in the code to the one of this robot, for all nodes.
        namespace: The robot's, in which nodes, topics and services are, as `read_namespace`
            gives it.
    """

    robot: Any = 'humanoid'
    policy: Any = ''
    simulated: bool = True
    parameter_file: Any = ''
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ''


@dataclass(frozen=True)
class NodeEntry:
    """One node of the graph; node and executable have the same name.

    Attributes:
        name: Name of node and executable.
        parameters: Its own parameters.
        parameter_file: YAML read before them; a path, or a substitution of launch.
        remappings: Topic name in the code to topic name in the graph.
        module: Python module that is run; by default the one of that name below `nodes/`.
        shipped: Parameters that hold where nothing else gives them.
        namespace: Where it is, as `read_namespace` gives it.
    """

    name: str
    parameters: Mapping[str, Any]
    parameter_file: Any
    remappings: Mapping[str, str] = field(default_factory=dict)
    module: str = ''
    shipped: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = ''

    def __post_init__(self) -> None:
        if not self.module:
            object.__setattr__(self, 'module', f'vla_humanoid_control.nodes.{self.name}')

    @property
    def enclave(self) -> str:
        """Whose rights in config/sros2/policy.xml it has, where ROS enforces them."""
        return full_name(f'vla_humanoid_control/{self.name}', self.namespace)


def graph(deployment: Deployment) -> tuple[NodeEntry, ...]:
    """The nodes, in the order in which they are stopped: whoever moves the robot goes last."""
    robot = {'robot': deployment.robot}
    own: dict[str, dict[str, Any]] = {
        'vla_controller': {**robot, 'policy': deployment.policy},
        'confidence_monitor': {**robot, 'policy': deployment.policy},
        'safety_monitor': robot,
        **({'humanoid_sim': robot} if deployment.simulated else {}),
    }
    default = default_parameters(deployment.simulated)
    document = read_parameter_file(default)
    space = deployment.namespace
    remappings = remapped(deployment.remappings, space, deployment.simulated)
    return tuple(NodeEntry(name, {**values, **deployment.parameters.get(name, {})},
                           deployment.parameter_file or default, remappings, namespace=space,
                           shipped=parameters_of(document, full_name(name, space), default))
                 for name, values in own.items())


def remapped(rules: Mapping[str, str], namespace: str, simulated: bool) -> dict[str, str]:
    """Remappings for a graph in a namespace.

    Whoever remaps /cmd_vel means what the code calls so, in any namespace. What is remapped to
    stays as it is written: a full name is the same for all robots. Each simulator has a time of
    its own, so that in a namespace its clock is there, too.
    """
    if not namespace:
        return dict(rules)
    found = {**{source.removeprefix('/'): target for source, target in rules.items()}, **rules}
    if simulated:
        found.setdefault('/clock', found.get('clock', 'clock'))
    return found


def parse_remappings(rules: Iterable[str]) -> dict[str, str]:
    """Remappings from their form on the command line, such as '/cmd_vel:=/base/cmd_vel'.

    Raises:
        UserError: One is not of that form, or there are two for one name.
    """
    remappings: dict[str, str] = {}
    before: dict[str, str] = {}
    for rule in rules:
        source, _, target = rule.partition(':=')
        if not (is_name(source) and is_name(target)):
            raise UserError(f'Remapping {rule!r} must have the form FROM:=TO with two names, '
                            'such as /cmd_vel:=/base/cmd_vel.')
        name = source.removeprefix('/')
        if before.setdefault(name, target) != target:
            raise UserError(f'{source} is remapped twice, to {before[name]} and {target}.')
        remappings[source] = target
    return remappings


def check_parameter_file(path: str | Path, namespace: str = '') -> None:
    """Refuse a file of parameters whose nodes are not those of the graph.

    Args:
        path: The file.
        namespace: Where the graph is, as `read_namespace` gives it.

    Raises:
        UserError: It cannot be read, has another form, or names a node that there is not.
    """
    names = [full_name(entry.name, namespace) for entry in graph(Deployment())]
    check_node_names(read_parameter_file(Path(path)), names, path)


def default_parameters(simulated: bool) -> Path:
    """The shipped parameter file, which a person's own lies over."""
    return config_path('params', 'demo.yaml' if simulated else 'robot.yaml')


def environment() -> dict[str, str]:
    """Environment variables that the graph wants; what a person has set stays, if not empty.

    Nothing is offered beyond this machine unless `ROS_AUTOMATIC_DISCOVERY_RANGE` says so. Where
    another user's program offers shared memory in the domain, ours go without. Of the package's
    own profiles each process takes anew the one that fits, as others come and go.

    Raises:
        UserError: What it says is unknown, or there is no profile where a variable says.
    """
    reach = _discovery_range()
    local = reach in _LOCAL_RANGES
    middleware = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    plain, of_users = ((_LOCAL_PROFILE, _LOCAL_PROFILE_OF_USERS) if local else
                       (_WIDE_PROFILE, _WIDE_PROFILE_OF_USERS))
    set_by_person = {name: path for name in _PROFILE_VARIABLES
                     if (path := _profile_said(name)) and not _is_own(path, plain, of_users)}
    apart = (not set_by_person and reach != 'OFF' and 'fastrtps' in middleware
             and belongs_to_others(_domain()))
    wanted = {
        # Wheels of ROS lie below the environment's prefix; a sourced ROS says so itself.
        'AMENT_PREFIX_PATH': sys.prefix,
        # Threads of one inference spin while they wait for one another. On cores that others use
        # too, that makes it ten times slower than one thread alone.
        'OMP_NUM_THREADS': str(max(1, (os.cpu_count() or 1) // 4)),
    }
    if local and os.environ.get('ROS_DISTRO') == 'humble' and 'fastrtps' not in middleware:
        # Humble knows no discovery range. Not for Fast DDS, where it would put a small segment of
        # shared memory beside that of the profile; not later, where it is deprecated.
        wanted['ROS_LOCALHOST_ONLY'] = '1'
    if apart and local:
        # With LOCALHOST, ROS adds shared memory to the profile, which keeps to this machine by
        # itself. Another middleware than Fast DDS would not read that.
        reach, wanted['RMW_IMPLEMENTATION'] = 'SYSTEM_DEFAULT', middleware
    # An empty one would switch off what is here, and nobody means that.
    chosen = {name: os.environ.get(name, '').strip() or value for name, value in wanted.items()}
    profile = str(config_path(of_users if apart else plain))
    for name in _PROFILE_VARIABLES:
        chosen[name] = set_by_person.get(name, profile)
        # Fast DDS would go on without, on every interface.
        if not (Path(chosen[name]).is_file() and os.access(chosen[name], os.R_OK)):
            raise UserError(f'{name}: there is no file {chosen[name]} that can be read. Correct '
                            'it, or unset it.')
    return {**chosen, _REACH: reach}


def offers_shared_memory() -> bool:
    """Whether this process does: not with the profiles that `environment` takes beside others."""
    own = _LOCAL_PROFILE_OF_USERS, _WIDE_PROFILE_OF_USERS
    return not all(_is_own(_profile_said(name), *own) for name in _PROFILE_VARIABLES)


def _profile_said(variable: str) -> str:
    return os.environ.get(variable, '').strip()


def _is_own(path: str, *profiles: str) -> bool:
    """Whether a path leads to one of these files of the package."""
    return bool(path) and Path(path).resolve() in {config_path(p).resolve() for p in profiles}


def _domain() -> int:
    """The ROS domain. ROS itself refuses what is no number."""
    said = os.environ.get('ROS_DOMAIN_ID', '')
    return int(said) if said.isascii() and said.isdigit() else 0


def log_arguments() -> list[str]:
    """ROS arguments that switch its log files off, where there is no place to write them.

    ROS would refuse to start. What nodes say is printed all the same.
    """
    without = ['--ros-args', '--disable-external-lib-logs']
    person = os.environ.get('HOME')
    home = os.environ.get('ROS_HOME') or (person and f'{person}/.ros')
    folder = os.environ.get('ROS_LOG_DIR') or (home and f'{home}/log')
    if not folder:
        return without
    try:
        make_folder(Path(os.path.expanduser(folder)), 'log folder')
    except UserError:
        return without
    return []


def _discovery_range() -> str:
    """How far discovery is to reach. Beyond this machine only for who says so to the letter."""
    said = os.environ.get(_REACH, '')
    if said == 'SYSTEM_DEFAULT' and all(_is_own(_profile_said(name), _LOCAL_PROFILE_OF_USERS)
                                        for name in _PROFILE_VARIABLES):
        return 'LOCALHOST'  # which whoever started this process has put so, in `environment`
    meant = said.strip().upper() or 'LOCALHOST'
    if meant in _LOCAL_RANGES:
        return meant
    if said not in _WIDE_RANGES:
        raise UserError(f'{_REACH} is {said!r}, which means nothing to ROS. It must be LOCALHOST '
                        'or OFF to stay on this machine, SUBNET or SYSTEM_DEFAULT to use the '
                        'network.')
    return said


class ProcessDiedError(UserError):
    """A node ended that should not have."""


class ProcessGroup:
    """Runs the nodes as processes, collects what they print, and notices when one dies.

    Use as a context manager: all are stopped at its end, also where that is SIGTERM or a closed
    terminal; where this process is killed, they stop by themselves. A reader of the output that
    goes away or stops reading, and a disk that is full or hangs, hold up no node.

    Args:
        entries: Nodes, in stopping order.
        log_path: File that all output goes to, each line after the node's name.
        echo: Also called with each line, in a thread of its own; None for silence.
        extra_environment: Goes before `environment()`.
    """

    def __init__(self, entries: tuple[NodeEntry, ...], log_path: Path,
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

    def start(self, entry: NodeEntry) -> None:
        """Start one node; also to start it again."""
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


def _command(entry: NodeEntry) -> list[str]:
    command = [sys.executable, '-m', entry.module, '--ros-args', '--enclave', entry.enclave]
    # Of several values for one parameter ROS takes the last.
    for name, value in entry.shipped.items():
        command += ['-p', f'{name}:={_yaml(value)}']
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
