"""The file that an emergency stop is remembered in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from vla_humanoid_control.ros.latch_file import LatchFile
from vla_humanoid_control.support.errors import UserError

CONTEXT = SimpleNamespace(get_domain_id=lambda: 3)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('ROS_HOME', str(tmp_path / 'ros'))
    return tmp_path / 'ros' / 'vla_humanoid_control'


def test_a_latch_of_the_root_namespace_keeps_its_name(home: Path) -> None:
    """One that an earlier version has written still holds."""
    assert LatchFile.of('humanoid', CONTEXT).path == home / 'latched_humanoid_3'
    assert LatchFile.of('humanoid', CONTEXT, '/').path == home / 'latched_humanoid_3'


def test_robots_in_namespaces_have_a_latch_each(home: Path) -> None:
    """Regression: a stop of one robot was remembered, and forgotten, for another one, too."""
    spaces = ['/', '/robot1', '/robot2', '/robot1/arm', '/robot1_arm', '/robot1__arm']
    latches = [LatchFile.of('humanoid', CONTEXT, space) for space in spaces]
    assert len({latch.path for latch in latches}) == len(spaces)
    latches[1].write('ESTOP: button')
    assert [bool(latch.reason) for latch in latches] == [False, True, *[False] * 4]
    latches[2].write('')
    assert latches[1].reason == 'ESTOP: button'


@pytest.mark.parametrize('robot', ['a/../../b', '..', '/', 'x' * 300, 'ä' * 200, 'a\0b', 'a b'])
@pytest.mark.parametrize('space', ['/', '/' + 'n' * 200])
def test_every_name_gives_a_file_in_its_folder(home: Path, robot: str, space: str) -> None:
    latch = LatchFile.of(robot, CONTEXT, space)
    latch.write('ESTOP')
    assert latch.reason == 'ESTOP' and [p.parent for p in home.iterdir()] == [home]


def test_without_a_home_directory_one_sentence_says_what_to_do(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a traceback, where a service has no HOME and its user no entry."""
    def nobody() -> Path:
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.delenv('ROS_HOME', raising=False)
    monkeypatch.setattr(Path, 'home', nobody)
    with pytest.raises(UserError, match='Set ROS_HOME'):
        LatchFile.of('humanoid', CONTEXT)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'file').touch()
    for place in (tmp_path / 'file', Path('/proc/nowhere')):
        monkeypatch.setenv('ROS_HOME', str(place))
        with pytest.raises(UserError, match='Set ROS_HOME'):
            LatchFile.of('humanoid', CONTEXT)
