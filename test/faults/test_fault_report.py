"""The table of faults: what is repeated, what is counted, and when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fault_report import Fault, FaultRecord, late_percentile, table

TESTS = '''
import pytest

@pytest.mark.parametrize('topic', ['a', 'b'])
def test_fault_01_stops(fault, topic):
    """A cable is pulled."""
    with open('runs', 'a') as runs:
        runs.write(topic)
    fault.stopped_after(0.32 + 0.01 * len(open('runs').read()) {late}, 0.3)

def test_fault_02_refused(fault):
    """Nonsense is said."""
    with open('runs', 'a') as runs:
        runs.write('-')
    fault.happened('refused')
'''


def run(folder: Path, *options: str, late: str = '') -> tuple[int, str, str]:
    """The conftest of this folder over tests that start nothing: exit code, runs, table."""
    (folder / 'test_it.py').write_text(TESTS.replace('{late}', late))
    paths = (str(Path(__file__).parent), *sys.path)
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'conftest', '-p', 'no:cacheprovider',
         '--rootdir', str(folder), '--fault-table', 'table.md', *options, 'test_it.py'],
        cwd=folder, env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        capture_output=True, text=True, timeout=60)
    assert (folder / 'table.md').exists(), done.stdout + done.stderr
    return done.returncode, (folder / 'runs').read_text(), (folder / 'table.md').read_text()


def test_what_measures_a_stop_is_repeated_and_nothing_else(tmp_path: Path) -> None:
    """Every fault had one sample, so that the 99th percentile was the greatest of all."""
    code, runs, text = run(tmp_path, '--fault-repeats', '3')
    assert code == 0
    assert sorted(runs) == list('-aaabbb')
    assert text.count('| 1 | A cable is pulled |') == 2  # a row for each topic
    assert text.count('| 300 | 3 | ') == 2
    assert '| 2 | Nonsense is said | refused |  |  |  |  | pass |' in text
    assert '3 of 3 passed' in text
    assert 'n = 6: median 50 ms, 99th percentile 80 ms (required: 100 ms)' in text


def test_stops_that_come_too_late_fail_the_run(tmp_path: Path) -> None:
    code, runs, text = run(tmp_path, late='+ 0.1')
    assert runs == 'ab-'
    assert '3 of 3 passed' in text
    assert '99th percentile 140 ms' in text
    assert code == 1


def test_the_latest_stop_of_a_test_gives_its_deadline() -> None:
    record = FaultRecord(18, 'scans', result='pass')
    fault = Fault(record)
    for seconds, deadline_s in ((0.35, 0.3), (0.59, 0.5), (0.1, 0.3)):
        fault.stopped_after(seconds, deadline_s)
    assert record.late_s == pytest.approx([0.05, 0.09, -0.2])
    assert '| 18 | scans |  | 500 | 3 | 50 | 90 | pass |' in table([record])


def test_one_failure_among_repetitions_fails_the_row() -> None:
    runs = [FaultRecord(1, 'x', 'first', 'a', [0.0], 0.3, 'pass'),
            FaultRecord(1, 'x', 'second', 'a', [0.1], 0.3, 'fail')]
    assert '| 1 | x | first | 300 | 2 | 0 | 100 | fail |' in table(runs)
    assert '0 of 1 passed' in table(runs)


def test_the_percentile_is_of_all_stops_together() -> None:
    records = [FaultRecord(1, 'x', late_s=[n / 1000 for n in range(100)]),
               FaultRecord(2, 'y', late_s=[5.0]), FaultRecord(3, 'z')]
    assert late_percentile(records) == pytest.approx(0.099)
    assert late_percentile(records, 0.5) == pytest.approx(0.050)
    assert late_percentile([FaultRecord(3, 'z')]) is None
