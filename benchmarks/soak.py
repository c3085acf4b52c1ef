"""Runs the demo's graph for a long time, under load, and reports what wears out.

    python benchmarks/soak.py --seconds 600

The simulator and the three nodes run as in `vla demo`. Commands are given in turn, each after the
one before has ended or after its time. Every core is kept busy by a process of its own, of the
same priority as the nodes, unless `--no-load` is given. For every process it reports memory and
its growth, open file handles and their growth, processor time, and missed deadlines; growth is the
slope of a straight line through the second half of the run, so that what is loaded at the start
does not count. Exits with 1 where a process died, a loop stood still or never told how often it
ran, or the robot was never let move; else with 0.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil

from vla_humanoid_control.cli.shared import add_policy
from vla_humanoid_control.state_text import state_of
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_folder, make_folder
from vla_humanoid_control.types import SafetyState, TaskState

COMMANDS = ('wave hello to us', 'please walk forward a little', 'turn left', 'look up', 'stop',
            'walk over to the red box', 'turn around', 'step to the right',
            'raise your right hand', 'stop, please', 'turn right', 'step back')
COMMAND_S = 12.0
SAMPLE_S = 1.0
MIN_SAMPLES = 4
"""Through fewer, no line can be laid."""
START_S = 300.0  # a loaded machine takes its time
MISSED = {'vla_controller': 'deadlines_missed', 'safety_monitor': 'deadlines_missed',
          'humanoid_sim': 'late_steps'}
"""Node to what it calls the deadlines that it missed, in /diagnostics."""
TICKS = {'vla_controller': 'ticks', 'safety_monitor': 'ticks', 'humanoid_sim': 'steps'}


@dataclass
class Samples:
    """What was seen of one process, once a second.

    Attributes:
        times_s: When [s].
        memory_mb: Resident memory [MB].
        handles: Open file descriptors.
        cpu_s: Processor time used so far [s].
    """

    times_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def take(self, process: psutil.Process, now_s: float) -> None:
        """Look once; a process that has ended is left for others to report."""
        try:
            with process.oneshot():
                memory, handles = process.memory_info().rss / 1e6, process.num_fds()
                times = process.cpu_times()
        except psutil.NoSuchProcess:
            return
        self.times_s.append(now_s)
        self.memory_mb.append(memory)
        self.handles.append(handles)
        self.cpu_s.append(times.user + times.system)


@dataclass(frozen=True)
class Wear:
    """What became of one process. None is unknown: it was seen too few times for that.

    Attributes:
        memory_start_mb, memory_end_mb: Resident memory at the middle of the run and at its end.
        memory_growth_mb_per_h: Slope through the second half.
        handles_start, handles_end: Open file descriptors, likewise.
        handles_growth_per_h: Slope through the second half.
        cpu_share: Processor time by time, 1 is one core.
        ticks, missed: Ticks of its loop and missed deadlines; -1 where it has no such loop.
        died: How it ended before its time; empty where it did not.
    """

    memory_start_mb: float | None
    memory_end_mb: float | None
    memory_growth_mb_per_h: float | None
    handles_start: int | None
    handles_end: int | None
    handles_growth_per_h: float | None
    cpu_share: float | None
    ticks: int
    missed: int
    died: str


def wear(samples: Samples, ticks: int, missed: int, died: str) -> Wear:
    """Figures from samples; fewer than `MIN_SAMPLES`, as of one that died early, give none."""
    if len(samples.times_s) < MIN_SAMPLES:
        return Wear(None, None, None, None, None, None, None, ticks, missed, died)
    half = len(samples.times_s) // 2
    times_h = np.array(samples.times_s[half:]) / 3600.0
    memory, handles = samples.memory_mb[half:], samples.handles[half:]
    seconds = samples.times_s[-1] - samples.times_s[0]
    return Wear(round(memory[0], 1), round(memory[-1], 1),
                round(float(np.polyfit(times_h, memory, 1)[0]), 1), handles[0], handles[-1],
                round(float(np.polyfit(times_h, handles, 1)[0]), 1),
                round((samples.cpu_s[-1] - samples.cpu_s[0]) / seconds, 3), ticks, missed, died)


def table(result: Mapping[str, Wear]) -> str:
    """One line a process, for people."""
    rows = [('process', 'memory MB', 'MB/h', 'handles', 'handles/h', 'cores', 'ticks', 'missed',
             'died')]
    for name, w in result.items():
        rows.append((name, f'{_show(w.memory_start_mb)} -> {_show(w.memory_end_mb)}',
                     _show(w.memory_growth_mb_per_h, '+.1f'),
                     f'{_show(w.handles_start, "d")} -> {_show(w.handles_end, "d")}',
                     _show(w.handles_growth_per_h, '+.1f'), _show(w.cpu_share, '.2f'),
                     _count(w.ticks), _count(w.missed), w.died or 'no'))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join('  '.join([row[0].ljust(widths[0]),
                                *(c.rjust(n) for c, n in zip(row[1:], widths[1:]))])
                     for row in rows)


def _show(number: float | None, form: str = '.1f') -> str:
    return '-' if number is None else format(number, form)


def _count(number: int) -> str:
    return '-' if number < 0 else str(number)


def idle(result: Mapping[str, Wear], states: Mapping[str, int]) -> str:
    """What did not work though every process lived; '' where everything did.

    Args:
        result: Figures of every process.
        states: How often safety was seen in each of its states.
    """
    still = [name for name, w in result.items() if name in TICKS and w.ticks <= 0]
    if still:
        return f'the loop of {", ".join(still)} did not run'
    if not states.get(SafetyState.RUN.value, 0) + states.get(SafetyState.SLOW.value, 0):
        return 'the robot was never let move; safety was in ' + ', '.join(sorted(states))
    return ''


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep so many cores busy."""
    spawn = multiprocessing.get_context('spawn')
    workers = [spawn.Process(target=_burn, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _burn() -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # never outlives the one that asked for it
        sum(i * i for i in range(100_000))


class Soak:
    """One run. The graph must be up; `run` gives commands and looks at every process."""

    def __init__(self, group: Any, director: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        from vla_humanoid_control.ros import qos
        self._group, self._director = group, director
        self.samples = {name: Samples() for name in group.processes}
        self._processes = {name: psutil.Process(p.pid) for name, p in group.processes.items()}
        self._values: dict[str, dict[str, str]] = {}
        self._first: dict[str, dict[str, str]] = {}
        self.outcomes: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self.commands = 0
        director.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics,
                                          qos.EVENT)

    def run(self, seconds: float) -> str:
        """Go on for so long; gives what ended it early, or ''."""
        began_s = time.monotonic()
        try:
            for words in itertools.cycle(COMMANDS):
                self._carry_out(words, began_s, began_s + seconds)
                if time.monotonic() >= began_s + seconds:
                    return ''
        except UserError as error:
            return str(error)
        return ''

    def wear(self) -> dict[str, Wear]:
        """Figures of every process."""
        result = {}
        for name, samples in self.samples.items():
            code = self._group.processes[name].poll()
            died = '' if code is None else f'status {code}'
            result[name] = wear(samples, self._difference(name, TICKS),
                                self._difference(name, MISSED), died)
        return result

    def _carry_out(self, words: str, began_s: float, until_s: float) -> None:
        self._director.say(words)
        self.commands += 1
        command_s = time.monotonic()
        state = ''
        while (now := time.monotonic()) < until_s and now - command_s < COMMAND_S:
            self._look(now - began_s)
            self._director.linger(SAMPLE_S)
            seen = self._director.snapshot()
            state, safety = (state_of(s) for s in (seen.task_state, seen.safety_state))
            self.states[safety] = self.states.get(safety, 0) + 1
            if state in (TaskState.DONE.value, TaskState.FAILED.value):
                break
        self.outcomes[state or 'nothing'] = self.outcomes.get(state or 'nothing', 0) + 1

    def _look(self, now_s: float) -> None:
        for name, process in self._processes.items():
            self.samples[name].take(process, now_s)

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            self._values[status.name] = {v.key: v.value for v in status.values}
            self._first.setdefault(status.name, self._values[status.name])

    def _difference(self, name: str, keys: Mapping[str, str]) -> int:
        key = keys.get(name)
        if key is None or key not in self._values.get(name, {}):
            return -1
        return int(self._values[name][key]) - int(self._first[name].get(key, '0'))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=600.0, help='default: %(default)s')
    parser.add_argument('--load', action=argparse.BooleanOptionalAction, default=True,
                        help='keep every core busy (default)')
    add_policy(parser)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    parser.add_argument('--out', type=Path, default=Path('out', 'soak'),
                        help='folder for soak.json and the log (default: %(default)s)')
    given = parser.parse_args(arguments)
    try:
        if not 5.0 <= given.seconds <= 1e6:
            raise UserError(f'--seconds must be in [5, 1e6], got {given.seconds:g}.')
        return soak(given)
    except UserError as error:
        print(f'soak: {error}', file=sys.stderr)
        return 2


def soak(given: argparse.Namespace) -> int:
    """The run as asked for.

    Raises:
        UserError: Bad input, or the graph does not come up.
    """
    from vla_humanoid_control.control.timing import Timing
    from vla_humanoid_control.graph.bringup import Deployment, environment, graph
    from vla_humanoid_control.graph.processes import ProcessGroup
    from vla_humanoid_control.policy.registry import load_policy
    from vla_humanoid_control.robot.reader import load_robot
    check_folder(given.out, '--out')
    os.environ.update(environment())  # before torch is loaded, which reads from it
    policy = load_policy(given.policy, load_robot(given.robot), given.embodiment, given.trust)
    from vla_humanoid_control.clients.director import Director
    from vla_humanoid_control.graph.domain import claimed_domain
    make_folder(given.out, '--out')
    log = given.out / 'graph.log'
    log.unlink(missing_ok=True)
    cores = os.cpu_count() or 1
    entries = graph(Deployment(robot=given.robot, policy=given.policy,
                               embodiment=given.embodiment, trust=given.trust,
                               timing=Timing.of(policy.spec).parameters()))
    with claimed_domain() as domain_id:
        os.environ['ROS_DOMAIN_ID'] = str(domain_id)
        with ProcessGroup(entries, log, None) as group, Director(False, group.check) as director:
            director.wait_until_ready(START_S)
            print(f'{given.seconds:g} s{f" with {cores} cores kept busy" if given.load else ""} '
                  '...', flush=True)
            with busy_cores(cores if given.load else 0):
                run = Soak(group, director)
                problem = run.run(given.seconds)
            result = run.wear()
    died = [name for name, w in result.items() if w.died]
    problem = problem or idle(result, run.states)
    print(table(result))
    print(f'{run.commands} commands: '
          + ', '.join(f'{n} {state}' for state, n in sorted(run.outcomes.items())))
    print('Seconds in each state of safety: '
          + ', '.join(f'{state} {n * SAMPLE_S:g}' for state, n in sorted(run.states.items())))
    if problem:
        print(f'Did not work: {problem}')
    path = given.out / 'soak.json'
    path.write_text(json.dumps({
        'seconds': given.seconds, 'load': given.load, 'cores': cores, 'commands': run.commands,
        'outcomes': run.outcomes, 'safety_states': run.states, 'problem': problem,
        'processes': {name: asdict(w) for name, w in result.items()}}, indent=1) + '\n',
        encoding='utf-8')
    print(f'Figures: {path}')
    return 1 if died or problem else 0


if __name__ == '__main__':
    sys.exit(main())
