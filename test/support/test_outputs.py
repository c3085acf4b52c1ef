"""Where results go is looked at first, and the look changes nothing."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import LineWriter, check_file, check_folder, make_folder


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob('*'))}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'file'
    path.write_text('precious', encoding='utf-8')
    return path


def test_a_place_that_can_be_used_is_left_as_it_is(tmp_path: Path, file: Path) -> None:
    before = everything(tmp_path)
    for path in (tmp_path, tmp_path / 'new', tmp_path / 'new' / 'below'):
        check_folder(path, '--out')
    for path in (file, tmp_path / 'new.json', tmp_path / 'new' / 'x.json', Path('/dev/null')):
        check_file(path, '--json')
    assert everything(tmp_path) == before
    make_folder(tmp_path / 'new' / 'below', '--out')
    assert (tmp_path / 'new' / 'below').is_dir()


@pytest.mark.parametrize('check', [check_folder, check_file, make_folder])
@pytest.mark.parametrize('name', ['file/below', 'file/below/it', 'dangling/below', 'x' * 300])
def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path, file: Path, name: str,
                                                check: Callable[[Path, str], None]) -> None:
    (tmp_path / 'dangling').symlink_to(tmp_path / 'nowhere' / 'at all')
    before = everything(tmp_path)
    with pytest.raises(UserError, match=r'^--out .*Give another place'):
        check(tmp_path / name, '--out')
    assert everything(tmp_path) == before


def test_files_and_folders_are_told_apart(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UserError, match='not a folder'):
        check_folder(file, '--out')
    with pytest.raises(UserError, match='is a folder'):
        check_file(tmp_path, '--json')


@pytest.mark.skipif(not Path('/proc/self').is_dir(), reason='needs a place nobody can write to')
def test_a_place_that_is_not_to_be_written_is_refused() -> None:
    for check in (check_folder, check_file):
        with pytest.raises(UserError, match='cannot be written'):
            check(Path('/proc/self/new'), '--out')


@pytest.mark.parametrize(('arguments', 'option'), [
    (['demo', '--policy', 'scripted', '--out'], '--out'),
    (['run', '--policy', 'scripted', '--log'], '--log'),
    (['bench', '--quick', '--policy', 'scripted', '--out'], '--out'),
    (['collect', '--out'], '--out'),
    (['train', '--data', 'no-such', '--output'], '--output'),
    (['eval', '--policy', 'scripted', '--suite', 'SUITE', '--json'], '--json'),
])
def test_every_verb_looks_before_it_begins(tmp_path: Path, file: Path, arguments: list[str],
                                           option: str, capsys: pytest.CaptureFixture[str]
                                           ) -> None:
    """Regression: tracebacks, some of them after all episodes had been run."""
    if arguments[0] in ('demo', 'run', 'bench'):
        pytest.importorskip('rclpy')
    suite = tmp_path / 'suite.yaml'
    suite.write_text('- {id: a, instruction: turn left, task: turn, direction: left, seed: 1}\n',
                     encoding='utf-8')
    given = [str(suite) if part == 'SUITE' else part for part in arguments]
    assert main([*given, str(file / 'below')]) == 2
    message = capsys.readouterr().err.strip().splitlines()
    assert len(message) == 1 and f'{option} {file}' in message[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'suite.yaml']


@pytest.mark.parametrize('name', ['report.png', 'report.json'])
def test_a_report_and_its_diagram_need_two_places(tmp_path: Path, name: str,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """Regression: a report named .png was overwritten by its own diagram."""
    (tmp_path / 'report.png').mkdir()
    assert main(['eval', '--policy', 'scripted', '--suite', 'no-such.yaml', '--json',
                 str(tmp_path / name)]) == 2
    assert 'report.png' in capsys.readouterr().err


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_lines_are_written_in_order_and_none_is_dropped_where_somebody_reads() -> None:
    lines: list[str] = []
    writer = LineWriter(lines.append)
    for number in range(500):
        writer.put(str(number))
    assert writer.close(20.0) and writer.dropped == 0
    assert lines == [str(number) for number in range(500)]


def test_nobody_waits_for_a_reader_that_has_stopped_reading() -> None:
    """Regression: a full pipe held up whoever printed, and so, at last, the safety monitor."""
    reads, lines = threading.Event(), []

    def write(line: str) -> None:
        reads.wait()
        lines.append(line)

    writer = LineWriter(write, room=3)
    for number in range(10):
        writer.put(str(number))
    assert not writer.close(0.01)
    assert writer.dropped >= 6
    reads.set()
    wait_until(lambda: lines[-1:] == ['3'] or lines[-1:] == ['2'])


def test_a_gap_shows_where_it_is_once_somebody_reads_again() -> None:
    reads, lines = threading.Event(), []

    def write(line: str) -> None:
        reads.wait()
        lines.append(line)

    writer = LineWriter(write, room=1)
    wait_until(lambda: writer.put('kept') or writer.dropped)
    reads.set()
    wait_until(lambda: len(lines) >= 2)
    writer.put('after')
    assert writer.close(20.0)
    assert sum('dropped here' in line for line in lines) == 1


def test_a_reader_that_is_gone_costs_the_lines_alone() -> None:
    """Regression: the error ended the thread that read a node's output."""
    def write(line: str) -> None:
        raise BrokenPipeError(32, 'Broken pipe')

    writer = LineWriter(write)
    for _ in range(5):
        writer.put('for nobody')
    assert writer.close(20.0) and writer.dropped == 5


TALKS = """
import ctypes, sys
from vla_humanoid_control.support.outputs import never_wait_for_readers
never_wait_for_readers()
printf = ctypes.CDLL(None).dprintf
for number in range(1500):
    print('from Python', number)
    printf(2, b'from C, which knows nothing of that\\n')
open(sys.argv[1], 'w').write('done')
"""


@pytest.mark.parametrize('kind', ['pipe', 'terminal', 'socket', 'reader gone', 'closed'])
def test_a_process_whose_output_nobody_takes_goes_on(kind: str, tmp_path: Path) -> None:
    """Regression: a node that is run alone came to a halt in its next warning."""
    ends: list[int] = []
    if kind == 'terminal':
        ends = list(os.openpty())
    elif kind == 'socket':
        ends = [end.detach() for end in socket.socketpair()]
    else:
        ends = list(os.pipe())
    if kind == 'reader gone':
        os.close(ends.pop(0))
    script = [sys.executable, '-c', TALKS, str(tmp_path / 'mark')]
    if kind == 'closed':
        script = ['sh', '-c', 'exec "$0" "$@" >&- 2>&- <&-', *script]
    talks = subprocess.Popen(script, stdin=subprocess.DEVNULL, stdout=ends[-1], stderr=ends[-1],
                             env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    try:
        assert talks.wait(60) == 0
        assert (tmp_path / 'mark').read_text() == 'done'
        if kind == 'socket':
            assert os.read(ends[0], 15).startswith(b'from ')
        if kind == 'pipe':  # the other end of this pipe still blocks: it is others' as well
            assert os.get_blocking(ends[-1])
            assert os.read(ends[0], 15).startswith(b'from ')
    finally:
        talks.kill()
        for end in ends:
            os.close(end)
