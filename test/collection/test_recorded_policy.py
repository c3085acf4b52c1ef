"""What a robot did is kept, attempt by attempt, and a person says how it ended."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from scripted_robot import ScriptedRobot

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.collection.recorded_policy import RecordedPolicy
from vla_humanoid_control.data.rollouts import RolloutsFolder, RolloutsHeader
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import RobotObservation

ROBOT = load_robot('humanoid')


def seen(number: int) -> RobotObservation:
    return RobotObservation(10**9 + number * 10**8,
                            {'head': np.full((48, 64, 3), 100 + number, np.uint8)}, ROBOT.home)


@pytest.fixture
def folder(tmp_path: Path) -> RolloutsFolder:
    return RolloutsFolder.create(tmp_path / 'recorded', RolloutsHeader.of(
        'scripted', 'x', ROBOT.name, ScriptedRobot(ROBOT).spec, 0.1))


def record(folder: RolloutsFolder) -> list[str]:
    said: list[str] = []
    policy = RecordedPolicy(ScriptedRobot(ROBOT), folder, said.append)
    policy.reset('turn left')
    for number in range(3):
        policy.infer(seen(number))
    policy.reset('rotate left')  # another wording of the same
    policy.infer(seen(3))
    policy.end()
    policy.infer(seen(4))  # was under way
    policy.reset('walk forward')
    policy.infer(seen(5))
    policy.close()
    return said


def test_each_attempt_is_an_episode_and_one_that_another_follows_has_failed(
        folder: RolloutsFolder) -> None:
    said = record(folder)
    episodes = list(folder)
    assert [(e.prompt, e.success, len(e.steps)) for e in episodes] == [
        ('turn left', False, 3), ('rotate left', None, 1), ('walk forward', None, 1)]
    assert len(said) == 3 and 'turn left' in said[0]
    step = episodes[0].steps[2]
    assert step.seen.images['head'].shape == (48, 64, 3)
    assert abs(int(step.seen.images['head'].mean()) - 102) <= 1
    plain = ScriptedRobot(ROBOT)
    plain.reset('turn left')
    np.testing.assert_array_equal(plain.infer(seen(2)).actions, step.chunk.actions)


def test_a_folder_that_cannot_be_written_disturbs_no_robot(folder: RolloutsFolder) -> None:
    (folder.path / 'rollouts.json').unlink()
    folder.path.rmdir()
    said = record(folder)
    assert len(said) == 3 and all('cannot be written' in line for line in said)


def test_a_person_is_asked_about_what_nobody_knows(folder: RolloutsFolder,
                                                   monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    record(folder)
    monkeypatch.setattr('sys.stdin', io.StringIO('what?\ny\nb\n'))
    assert vla(['record', str(folder.path), '--once']) == 0
    assert capsys.readouterr().out.count('Did it succeed?') == 3
    assert [(e.success, e.able) for e in folder] == [(False, True), (True, True), (False, False)]
    monkeypatch.setattr('sys.stdin', io.StringIO(''))
    assert vla(['record', str(folder.path), '--once']) == 0
    assert 'Did it succeed?' not in capsys.readouterr().out


def test_outcomes_of_a_file_are_taken_whole_or_not_at_all(
        folder: RolloutsFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(folder)
    _, second, third = folder.ids
    path = tmp_path / 'outcomes.csv'
    for text, says in ((f'{second},yes\n{third},perhaps\n', 'line 2'),
                       (f'{second},yes,beyond\n', 'line 1'), ('nobody,yes\n', 'no episode nobody'),
                       (None, 'cannot be read')):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        assert vla(['record', str(folder.path), '--outcomes', str(path)]) == 2
        assert says in capsys.readouterr().err
    assert [e.success for e in folder] == [False, None, None]
    path.write_text(f'{second}, yes\n\n{third},no,beyond\n')
    assert vla(['record', str(folder.path), '--outcomes', str(path)]) == 0
    assert [(e.success, e.able) for e in folder] == [(False, True), (True, True), (False, False)]
