"""`vla eval`: what it refuses before anything starts."""

from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main


def test_broken_cameras_are_not_for_the_graph(tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / 'suite.yaml'
    suite.write_text('- {id: a, instruction: look up, task: gesture, gesture: look_up, seed: 1, '
                     'camera: black}\n', encoding='utf-8')
    assert main(['eval', '--suite', str(suite), '--ros', '--json', str(tmp_path / 'r.json')]) == 2
    assert 'leave out --ros' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [suite]
