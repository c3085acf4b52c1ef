"""The `vla` command: bad input ends with one line and 2, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import VERBS, main

ROOT = Path(__file__).resolve().parents[2]
SUITE = '- {id: a, instruction: turn left, task: turn, direction: left, seed: 1}\n' \
        '- {id: b, instruction: stop, task: stop, seed: 2}\n'


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / 'suite.yaml'
    path.write_text(SUITE, encoding='utf-8')
    return path


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, '--help'])
    assert ended.value.code == 0
    assert f'vla {verb}' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [['fly'], ['eval'], ['eval', '--suite']])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize('change', [
    {'--suite': 'no-such.yaml'}, {'--policy': 'no-such-folder'}, {'--robot': 'no-such-robot'},
    {'--workers': '0'}, {'--policy': '.'}])
def test_bad_input_is_one_line_and_changes_nothing(
        change: dict[str, str], suite: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    given = {'--suite': str(suite), '--policy': 'scripted', '--workers': '1',
             '--json': str(tmp_path / 'out' / 'report.json'), **change}
    before = sorted(tmp_path.rglob('*'))
    assert main(['eval', *(part for pair in given.items() for part in pair)]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert message.startswith('vla eval: ')
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(('verb', 'change'), [
    *((verb, change) for verb in ('demo', 'run') for change in (
        {'--policy': 'no-such-folder'}, {'--policy': '.'}, {'--robot': 'no-such-robot'})),
    ('demo', {'--suite': 'no-such.yaml'}), ('demo', {'--seed': '-1'}),
    ('run', {'--params': 'no-such.yaml'}),
    ('run', {'--remap': 'cmd_vel:=/base/'}),
    ('run', {'--namespace': '1robot'}), ('demo', {'--namespace': 'robot 1'}),
    ('run', {'--params': str(ROOT / 'config' / 'robots' / 'humanoid.yaml')})])
def test_graph_is_not_begun_with_bad_input(verb: str, change: dict[str, str], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    """The demo used to bring up the graph, and to say only that a node had ended."""
    pytest.importorskip('rclpy')
    monkeypatch.chdir(tmp_path)
    given = {'--policy': 'scripted', **change}
    assert main([verb, *(part for pair in given.items() for part in pair)]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_parameters_of_a_misspelt_node_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    """Regression: ROS ignores them, and so the thresholds stayed as they were."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'mine.yaml'
    path.write_text('/**: {ros__parameters: {use_sim_time: false}}\n'
                    '/safety_monitor: {ros__parameters: {safety.slow_ttc_s: 2.0}}\n'
                    'saftey_monitor: {ros__parameters: {safety.slow_ttc_s: 2.0}}\n')
    assert main(['run', '--policy', 'scripted', '--params', str(path)]) == 2
    message = capsys.readouterr().err
    assert 'no node saftey_monitor (did you mean safety_monitor?)' in message
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('verb', ['demo', 'run'])
def test_graph_is_not_begun_with_a_checkpoint_for_another_robot(
        verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """`vla run` used to bring up the graph, for the controller to find out."""
    pytest.importorskip('rclpy')
    robot = tmp_path / 'other.yaml'
    text = (ROOT / 'config' / 'robots' / 'humanoid.yaml').read_text(encoding='utf-8')
    robot.write_text(text.replace('left_elbow', 'left_hinge'), encoding='utf-8')
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    assert main([verb, '--policy', 'default', '--robot', str(robot)]) == 2
    message = capsys.readouterr().err.strip()
    assert 'left_elbow' in message and len(message.splitlines()) == 1
    assert not list((tmp_path / 'here').iterdir())


def test_eval_writes_the_report(suite: Path, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'report.json'
    assert main(['eval', '--suite', str(suite), '--policy', 'scripted', '--workers', '1',
                 '--json', str(out)]) == 0
    report = json.loads(out.read_text(encoding='utf-8'))
    assert [e['id'] for e in report['episodes']] == ['a', 'b']
    assert all(e['success'] for e in report['episodes'])
    assert report['families']['turn']['n'] == 1
    assert 'turn' in capsys.readouterr().out


@pytest.mark.slow
def test_eval_in_several_processes_gives_the_same(suite: Path, tmp_path: Path) -> None:
    reports = []
    for workers in ('1', '2'):
        out = tmp_path / f'{workers}.json'
        subprocess.run([sys.executable, '-m', 'vla_humanoid_control.cli.main', 'eval', '--suite',
                        str(suite), '--policy', 'scripted', '--latency', '0.02', '--workers',
                        workers, '--json', str(out)], check=True, capture_output=True, timeout=100,
                       env={**os.environ, 'PYTHONPATH': str(ROOT)})
        reports.append(json.loads(out.read_text(encoding='utf-8')))
    assert reports[0] == reports[1]


@pytest.mark.parametrize('verb', ['demo', 'eval', 'collect'])
@pytest.mark.parametrize('camera', ['front', 'outside'])
def test_a_camera_that_the_simulator_lacks_is_named(
        verb: str, camera: str, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Regression: the demo ended in KeyError 'head', after it had brought up the graph."""
    pytest.importorskip('rclpy')
    robot = tmp_path / 'mine.yaml'
    text = (ROOT / 'config' / 'robots' / 'humanoid.yaml').read_text(encoding='utf-8')
    robot.write_text(text.replace('  head: {topic', f'  {camera}: {{topic'), encoding='utf-8')
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    more = {'demo': ['--policy', 'scripted'], 'collect': ['--out', 'data'],
            'eval': ['--suite', str(suite), '--policy', 'scripted']}[verb]
    assert main([verb, '--robot', str(robot), *more]) == 2
    message = capsys.readouterr().err.strip()
    assert str(robot) in message and f'no camera {camera}' in message and 'head' in message
    assert len(message.splitlines()) == 1
    assert not list((tmp_path / 'here').iterdir())


def test_without_a_reader_it_ends_without_a_word(suite: Path) -> None:
    """Regression: `vla demo | head` ended in a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, '-m', 'vla_humanoid_control.cli.main', 'eval',
                            '--policy', 'scripted', '--workers', '1', '--suite', str(suite)],
                           stdout=writer, stderr=subprocess.PIPE, text=True, timeout=100,
                           env={**os.environ, 'PYTHONPATH': str(ROOT)})
    os.close(writer)
    assert ended.returncode == 141
    assert 'Error' not in ended.stderr
