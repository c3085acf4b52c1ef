"""Processes that share work: none of them outlives the one that started them."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.workers import parallel_map, reports

ROOT = Path(__file__).resolve().parents[2]
# In a module of its own, which new processes can import.
_SOURCE = """
import sys
import time
from pathlib import Path
from vla_humanoid_control.support.workers import crew, parallel_map

def endless(job):
    Path(f'working_{job}').touch()
    time.sleep(600)

if __name__ == '__main__':
    try:
        if sys.argv[1] == 'parallel_map':
            list(parallel_map(endless, [0, 1], 2))
        else:
            with crew(endless, [(0,), (1,)]) as processes:
                for process in processes:
                    process.join()
    finally:
        Path('in_order').touch()
"""


def wait_for(condition: Callable[[], bool], timeout_s: float = 40.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    try:
        children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except FileNotFoundError:
        return []
    return [n for child in map(int, children) for n in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def hear_ctrl_c() -> None:
    """A shell starts what goes on in the background with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end(process: subprocess.Popen[bytes], number: int) -> int:
    """Send a signal; wait until the process and all that it started are gone."""
    pids = descendants(process.pid)
    assert len(pids) >= 2
    try:
        process.send_signal(number)
        code = process.wait(20)
        wait_for(lambda: not any(map(is_alive, pids)), 20)
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)
    return code


@pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')
@pytest.mark.parametrize('way', ['parallel_map', 'crew'])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_one_that_started_them(tmp_path: Path, way: str,
                                                    number: signal.Signals) -> None:
    """Regression: workers whose parent was killed went on for ever."""
    (tmp_path / 'endless.py').write_text(_SOURCE, encoding='utf-8')
    process = subprocess.Popen([sys.executable, 'endless.py', way], cwd=tmp_path,
                               stderr=subprocess.DEVNULL, preexec_fn=hear_ctrl_c,
                               env={**os.environ, 'PYTHONPATH': str(ROOT)})
    try:
        wait_for(lambda: all((tmp_path / f'working_{n}').exists() for n in range(2)))
        code = end(process, number)
    finally:
        process.kill()
    assert (tmp_path / 'in_order').exists() == (number != signal.SIGKILL)
    assert code == {signal.SIGTERM: 143, signal.SIGKILL: -9, signal.SIGINT: -2}[number]


_PRESSED_WHILE_STARTING = """
import multiprocessing.util, os, signal, sys, threading, time
from vla_humanoid_control.support.workers import crew

def endless(job):
    time.sleep(600)

def spawn_and_press(*arguments):
    pid = spawn(*arguments)
    if b'resource_tracker' not in b' '.join(map(os.fsencode, arguments[1])):
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
        time.sleep(0.2)  # whatever waits for the signal acts on it here
    return pid

if __name__ == '__main__':
    # A thread that hears signals too, as those of a library do.
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    spawn, multiprocessing.util.spawnv_passfds = (multiprocessing.util.spawnv_passfds,
                                                  spawn_and_press)
    try:
        with crew(endless, [(0,), (1,)]):
            time.sleep(600)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize(('name', 'code'), [('SIGINT', 130), ('SIGTERM', 143)])
def test_a_press_while_a_worker_is_started_tears_no_worker(tmp_path: Path, name: str, code: int
                                                           ) -> None:
    """Regression: the worker's work was cut off on its way, and it printed a traceback."""
    (tmp_path / 'starting.py').write_text(_PRESSED_WHILE_STARTING, encoding='utf-8')
    run = subprocess.run([sys.executable, 'starting.py', name], cwd=tmp_path, text=True,
                         capture_output=True, timeout=60, preexec_fn=hear_ctrl_c,
                         env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert (run.returncode, run.stderr) == (code, '')


_WHAT_WORKERS_BLOCK = """
import multiprocessing.util, os
from vla_humanoid_control.support.workers import crew

def spawn_and_look(*arguments):
    pid = spawn(*arguments)
    with open(f'/proc/{pid}/status') as status:
        blocked = next(line.split()[1] for line in status if line.startswith('SigBlk'))
    if b'resource_tracker' not in b' '.join(map(os.fsencode, arguments[1])):
        print(int(blocked, 16) >> 1 & 1)  # SIGINT is the second
    return pid

if __name__ == '__main__':
    spawn, multiprocessing.util.spawnv_passfds = (multiprocessing.util.spawnv_passfds,
                                                  spawn_and_look)
    with crew(int, [(0,), (1,)]):
        pass
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')
def test_no_worker_hears_ctrl_c_before_it_is_up(tmp_path: Path) -> None:
    """Regression: the first one did, for what multiprocessing starts beside it unblocks it."""
    (tmp_path / 'starting.py').write_text(_WHAT_WORKERS_BLOCK, encoding='utf-8')
    run = subprocess.run([sys.executable, 'starting.py'], cwd=tmp_path, text=True, timeout=60,
                         capture_output=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert run.stdout.split() == ['1', '1'], run.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')
def test_collecting_ends_when_it_is_killed(tmp_path: Path) -> None:
    """Regression: `vla collect` left two workers behind."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', 'collect', '--out', str(tmp_path),
         '--frames', '6000', '--workers', '2'], stderr=subprocess.DEVNULL, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)})
    try:
        wait_for(lambda: len(descendants(process.pid)) >= 3)  # with multiprocessing's own helper
        end(process, signal.SIGKILL)
    finally:
        process.kill()


def test_results_are_those_of_one_process() -> None:
    jobs = [-3, 1, -2]
    assert sorted(parallel_map(abs, jobs, 2)) == sorted(parallel_map(abs, jobs, 1)) == [1, 2, 3]


# Likewise. The other worker goes on, and must not keep the news away.
_MORTAL = """
import os
import signal
import time
from pathlib import Path
from vla_humanoid_control.support.errors import UserError

def work(fate, report=None):
    if fate == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == 'refused':
        raise UserError('no such thing')
    if fate == 'failed':
        raise ValueError('a defect')
    for number in range(6000 if fate == 'busy' else 3):
        if report is not None:
            report(number)
        time.sleep(0.01 if fate == 'busy' else 0)
    if fate == 'busy':
        Path(__file__).with_name('ended').touch()
    return fate
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    (tmp_path / 'mortal.py').write_text(_MORTAL, encoding='utf-8')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module('mortal').work
    del sys.modules['mortal']


@pytest.mark.timeout(60)
@pytest.mark.parametrize(('fate', 'words'), [
    ('killed', 'killed by signal 9'), ('refused', '^no such thing$'), ('failed', 'a defect')])
@pytest.mark.parametrize('way', ['parallel_map', 'reports'])
def test_the_end_of_a_worker_is_noticed(way: str, fate: str, words: str,
                                        work: Callable[..., str], tmp_path: Path) -> None:
    """Regression: `vla collect` and `vla eval` waited for ever for one that was killed."""
    kind = ValueError if (way, fate) == ('parallel_map', 'failed') else UserError
    results = parallel_map(work, ['busy', fate, 'busy'], 2) if way == 'parallel_map' \
        else reports(work, [('busy',), (fate,)])
    with pytest.raises(kind, match=words):
        list(results)
    assert not (tmp_path / 'ended').exists()  # the other one was not waited for


def test_reports_come_in_order(work: Callable[..., str]) -> None:
    assert list(reports(work, [('well',)])) == [0, 1, 2]
    assert list(reports(work, [])) == []
    assert list(parallel_map(work, ['well'] * 5, 2)) == ['well'] * 5
