"""Where results go is looked at first, and the look changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import check_file, check_folder, make_folder


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
    (['demo', '--checkpoint', 'scripted', '--out'], '--out'),
    (['run', '--checkpoint', 'scripted', '--log'], '--log'),
    (['bench', '--quick', '--checkpoint', 'scripted', '--out'], '--out'),
    (['collect', '--out'], '--out'),
    (['train', '--data', 'no-such', '--output'], '--output'),
    (['eval', '--checkpoint', 'scripted', '--suite', 'SUITE', '--json'], '--json'),
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
    assert main(['eval', '--checkpoint', 'scripted', '--suite', 'no-such.yaml', '--json',
                 str(tmp_path / name)]) == 2
    assert 'report.png' in capsys.readouterr().err
