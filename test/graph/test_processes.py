"""Processes of a graph: one record, one end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vla_humanoid_control.graph import processes
from vla_humanoid_control.graph.bringup import Deployment, NodeEntry
from vla_humanoid_control.graph.processes import ProcessDiedError, ProcessGroup


def entry(name: str) -> NodeEntry:
    return NodeEntry(name, {}, Path('none.yaml'), module=name)


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs small modules in place of nodes: {name: source}."""
    def make(sources: dict[str, str]) -> tuple[ProcessGroup, Path]:
        for name, source in sources.items():
            (tmp_path / f'{name}.py').write_text(source)
        log = tmp_path / 'log' / 'graph.log'
        return ProcessGroup(tuple(entry(n) for n in sources), log, echo=None,
                            extra_environment={'PYTHONPATH': str(tmp_path)}), log
    return make


WAITS = 'import signal, time\nprint("up", flush=True)\n' \
        'signal.signal(signal.SIGINT, lambda *_: (print("down"), exit(0)))\ntime.sleep(60)\n'


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 10.0
    while text not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)


def test_output_of_all_comes_to_one_place_and_all_are_stopped_in_order(group) -> None:
    processes, log = group({'first': WAITS, 'second': WAITS})
    with processes as running:
        wait_for(log, '[first] up')
        wait_for(log, '[second] up')
        running.check()
    assert all(p.returncode == 0 for p in processes.processes.values())
    lines = log.read_text().splitlines()
    assert lines.index('[first] down') < lines.index('[second] down')


@pytest.mark.parametrize(('source', 'how'), [('exit(3)', 'ended with status 3'),
                                             ('exit(0)', 'ended with status 0'),
                                             ('import os\nos.kill(os.getpid(), 9)',
                                              'was killed by signal 9')])
def test_death_of_a_process_ends_the_run_with_an_error(group, source: str, how: str) -> None:
    processes, _ = group({'lives': WAITS, 'dies': source})
    with pytest.raises(ProcessDiedError, match=f'dies {how}'), processes as running:
        running.wait(lambda: False, poll_s=0.01)
    assert processes.processes['lives'].poll() is not None


@pytest.mark.parametrize(('source', 'reason'), [
    ('print("error: dies: no such scene.")\nexit(2)', 'status 2: no such scene. Its'),
    ('print("[ERROR] [12.5] [dies]: bad weights")\n'
     'print("error: dies could not configure; see its log above.")\nexit(2)',
     'status 2: bad weights. Its'),
    ('print("[ERROR] [12.5] [dies]: Traceback (most recent call last):")\n'
     'print("  File")\nprint("KeyError: 7")\nprint("bye")\nexit(1)', 'status 1: KeyError: 7. Its'),
    ('raise ValueError("odd")', 'status 1: ValueError: odd. Its'),
    ('print("all is well")', 'status 0. Its'),
])
def test_death_of_a_process_is_reported_with_its_last_error(group, source: str, reason: str
                                                            ) -> None:
    """Regression: `vla demo` only said that humanoid_sim had ended with status 2."""
    processes, _ = group({'dies': source})
    with pytest.raises(ProcessDiedError, match=reason), processes as running:
        running.wait(lambda: False, poll_s=0.01)


def test_each_run_begins_its_log_anew_and_keeps_the_one_before(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: `vla run` added to the same file for ever."""
    monkeypatch.setattr(processes, 'graph', lambda _: ())
    monkeypatch.setattr(processes, 'on_end', lambda _: None)
    monkeypatch.setattr(ProcessGroup, 'wait', lambda *_: None)
    log = tmp_path / 'log' / 'graph.log'
    for text in ('first', 'second', 'third'):
        processes.run_graph(Deployment(), log)
        assert log.read_text() == ''
        log.write_text(text)
    assert {p.name: p.read_text() for p in log.parent.iterdir()} \
        == {'graph.log': 'third', 'graph.log.1': 'second'}


LAUNCHES = """
import sys, threading
from pathlib import Path
from vla_humanoid_control.graph.bringup import NodeEntry
from vla_humanoid_control.graph.processes import ProcessGroup
entry = NodeEntry('talks', {{}}, Path('none'), module='talks')
with ProcessGroup((entry,), Path(sys.argv[1])) as group:
    group.wait(Path(sys.argv[2]).exists)
"""
TALKS = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (print('down'), exit(0)))
for number in range(3000):
    print('x' * 100, number, flush=True)
open({mark!r}, 'w').close()
time.sleep(60)
"""


@pytest.mark.parametrize('reader', ['gone', 'asleep'])
def test_a_node_goes_on_where_nobody_reads_what_it_prints(tmp_path: Path, reader: str) -> None:
    """Regression: with `vla run | head`, safety_monitor came to a halt once a pipe was full."""
    mark, log = tmp_path / 'mark', tmp_path / 'graph.log'
    (tmp_path / 'talks.py').write_text(TALKS.format(mark=str(mark)))
    root = Path(processes.__file__).resolve().parents[2]
    launcher = subprocess.Popen(
        [sys.executable, '-c', LAUNCHES.format(), str(log), str(mark)], stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join((str(root), str(tmp_path)))})
    try:
        assert launcher.stdout is not None
        if reader == 'gone':
            launcher.stdout.close()
        assert launcher.wait(60) == 0
    finally:
        launcher.kill()
    lines = log.read_text().splitlines()
    assert sum(line.startswith('[talks] xxx') for line in lines) == 3000
    assert '[talks] down' in lines
    assert re.fullmatch(r'\[graph\] \d+ lines could not be printed.*', lines[-1])


def test_a_record_that_hangs_holds_up_no_node(group, tmp_path: Path) -> None:
    """A log on a network disk that is gone, or on a pipe."""
    mark = tmp_path / 'mark'
    processes, log = group({'talks': TALKS.format(mark=str(mark))})
    log.parent.mkdir()
    os.mkfifo(log)
    holds_it = os.open(log, os.O_RDWR)  # and never reads
    try:
        with processes as running:
            running.wait(mark.exists, poll_s=0.01)
    finally:
        os.close(holds_it)


def test_process_that_ignores_the_signal_is_killed_and_said_so(group) -> None:
    deaf = 'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n' \
           'print("up", flush=True)\ntime.sleep(60)\n'
    processes, log = group({'deaf': deaf})
    with processes as running:
        wait_for(log, 'up')
        running.stop(timeout_s=0.2)
    assert 'is killed' in log.read_text()
    assert processes.processes['deaf'].returncode == -9


@pytest.mark.skipif(sys.platform != 'linux', reason='uses a Linux call')
def test_processes_die_with_the_one_that_started_them(tmp_path: Path) -> None:
    (tmp_path / 'node.py').write_text('import os, time\nprint(os.getpid(), flush=True)\n'
                                      'time.sleep(60)\n')
    root = Path(processes.__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, '-c', f"""
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from vla_humanoid_control.graph.bringup import NodeEntry
from vla_humanoid_control.graph.processes import ProcessGroup
entry = NodeEntry('node', {{}}, Path('none'), module='node')
with ProcessGroup((entry,), Path({str(tmp_path / 'log')!r}),
                  echo=lambda line: print(line, flush=True),
                  extra_environment={{'PYTHONPATH': {str(tmp_path)!r}}}):
    time.sleep(60)
"""], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    child = int(parent.stdout.readline().split()[-1])
    parent.kill()
    parent.wait()
    end = time.monotonic() + 5.0
    while Path(f'/proc/{child}').exists() \
            and Path(f'/proc/{child}/stat').read_text().split()[2] != 'Z':
        assert time.monotonic() < end
        time.sleep(0.01)
